// Arithmetic. Floats are the engine's; integers are computed on the host with the wrap-around of their own type, which the engine does not
// have in all widths.
#include <cmath>

#include "engine/autograd/tape.h"
#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

using Binary = Tensor (*)(const Tensor&, const Tensor&);
using Whole = std::int64_t (*)(const Call&, int type, std::int64_t, std::int64_t);
std::uint64_t u(std::int64_t v) { return static_cast<std::uint64_t>(v); }
std::int64_t s(std::uint64_t v) { return static_cast<std::int64_t>(v); }

// Before opset 7 a second operand said at which axis of the first it begins.
Tensor aligned(const Call& c, const Tensor& a, const Tensor& b) {
  if (c.opset >= 7 || c.attr("broadcast", 0) == 0 || b.rank() >= a.rank() || !c.has("axis")) return b;
  const int at = c.axis(c.attr("axis", 0), a.rank());
  Shape shape = b.shape();
  while (shape.rank() + at < a.rank()) shape.push_back(1);
  return reshape(b, shape);
}
void same_types(const Call& c) {
  for (std::size_t i = 1; i < c.inputs(); ++i)
    if (c.type(i) != c.type(0)) c.wrong("mixes " + type_name(c.type(0)) + " and " + type_name(c.type(i)));
}
template <Binary F, Whole G>
void binary(Call& c) {
  same_types(c);
  if (c.floats(0)) {
    const Tensor a = c.x(0);
    return c.out(F(a, aligned(c, a, c.x(1))), c.type(0));
  }
  const int type = c.type(0);
  const OnnxValue b{aligned(c, c.in(0).tensor, c.in(1).tensor), type};
  c.out(map_ints(c.in(0), b, type, [&](std::int64_t x, std::int64_t y) { return G(c, type, x, y); }));
}
std::int64_t add_whole(const Call&, int, std::int64_t a, std::int64_t b) { return s(u(a) + u(b)); }
std::int64_t sub_whole(const Call&, int, std::int64_t a, std::int64_t b) { return s(u(a) - u(b)); }
std::int64_t mul_whole(const Call&, int, std::int64_t a, std::int64_t b) { return s(u(a) * u(b)); }
std::int64_t div_whole(const Call& c, int type, std::int64_t a, std::int64_t b) {
  if (b == 0) c.wrong("divides an integer by zero");
  if (is_unsigned64(type)) return s(u(a) / u(b));
  return b == -1 ? s(0 - u(a)) : a / b;
}
std::int64_t max_whole(const Call&, int type, std::int64_t a, std::int64_t b) {
  return is_unsigned64(type) ? s(std::max(u(a), u(b))) : std::max(a, b);
}
std::int64_t min_whole(const Call&, int type, std::int64_t a, std::int64_t b) {
  return is_unsigned64(type) ? s(std::min(u(a), u(b))) : std::min(a, b);
}

Tensor float_mod(const Tensor& a, const Tensor& b) { return mul(sign(a), mod(abs(a), abs(b))); }  // C's fmod
std::int64_t remainder(const Call& c, int type, std::int64_t a, std::int64_t b) {
  if (b == 0) c.wrong("takes an integer modulo zero");
  if (is_unsigned64(type)) return s(u(a) % u(b));
  if (b == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && c.attr("fmod", 0) == 0 && (r < 0) != (b < 0) ? r + b : r;
}
void modulo(Call& c) {
  same_types(c);
  if (c.floats(0) && c.attr("fmod", 0) == 0) return c.out(mod(c.x(0), c.x(1)), c.type(0));
  binary<float_mod, remainder>(c);
}

std::int64_t whole_power(std::int64_t base, std::int64_t e) {
  if (e < 0) return base == 1 ? 1 : base == -1 ? (e % 2 ? -1 : 1) : 0;
  std::uint64_t r = 1;
  for (std::uint64_t b = u(base), k = u(e); k; k >>= 1, b *= b)
    if (k & 1) r *= b;
  return s(r);
}
void power(Call& c) {
  const OnnxValue &a = c.in(0), &b = c.in(1);
  if (c.floats(0)) {
    const Tensor x = c.x(0);
    if (b.tensor.numel() == 1 && b.tensor.rank() <= x.rank() && !b.tensor.requires_grad())
      return c.out(pow(x, Scalar(c.number(1))), a.type);
    return c.out(pow(x, aligned(c, x, cast(c.x(1), x.dtype()))), a.type);
  }
  if (!c.floats(1)) return c.out(map_ints(a, b, a.type, whole_power));
  const Tensor r = pow(cast(here(a.tensor), DType::f64), cast(c.x(1), DType::f64));
  c.out(cast_value({r, kDouble}, a.type, c));
}

template <Binary F, Whole G>
void many(Call& c) {
  if (c.inputs() == 0) c.wrong("wants at least one input");
  same_types(c);
  if (c.floats(0)) {
    Tensor t = c.x(0);
    for (std::size_t i = 1; i < c.inputs(); ++i) t = F(t, c.x(i));
    return c.out(t, c.type(0));
  }
  OnnxValue v = c.in(0);
  const int type = v.type;
  for (std::size_t i = 1; i < c.inputs(); ++i)
    v = map_ints(v, c.in(i), type, [&](std::int64_t x, std::int64_t y) { return G(c, type, x, y); });
  c.out(v);
}
void average(Call& c) {
  Tensor t = c.x(0);
  for (std::size_t i = 1; i < c.inputs(); ++i) t = add(t, c.x(i));
  c.out(div(t, static_cast<double>(c.inputs())), c.type(0));
}

using Unary = Tensor (*)(const Tensor&);
template <Unary F>
void unary(Call& c) {
  if (!c.floats(0)) c.wrong("wants floats, not " + type_name(c.type(0)));
  c.out(F(c.x(0)), c.type(0));
}
template <Unary F, std::int64_t (*G)(std::int64_t)>
void unary_any(Call& c) {
  if (c.floats(0)) return c.out(F(c.x(0)), c.type(0));
  c.out(map_ints(c.in(0), c.type(0), G));
}
std::int64_t neg_whole(std::int64_t v) { return s(0 - u(v)); }
std::int64_t abs_whole(std::int64_t v) { return v < 0 ? neg_whole(v) : v; }
std::int64_t sign_whole(std::int64_t v) { return (v > 0) - (v < 0); }
void absolute(Call& c) {
  if (is_unsigned64(c.type(0))) return c.out(c.in(0));
  unary_any<abs, abs_whole>(c);
}
void signum(Call& c) {
  if (is_unsigned64(c.type(0))) return c.out(map_ints(c.in(0), kUint64, [](std::int64_t v) { return std::int64_t{v != 0}; }));
  unary_any<sign, sign_whole>(c);
}

// The engine has no inverse functions; these are made of what it has, so that gradients come by themselves.
Tensor tan_of(const Tensor& x) { return div(sin(x), cos(x)); }
Tensor root_of_one_minus_square(const Tensor& x) { return sqrt(mul(sub(1, x), add(x, 1))); }
Tensor asin_of(const Tensor& x) { return atan2(x, root_of_one_minus_square(x)); }
Tensor acos_of(const Tensor& x) { return atan2(root_of_one_minus_square(x), x); }
Tensor atan_of(const Tensor& x) { return atan2(x, Tensor::scalar(1, x.dtype())); }
Tensor sinh_of(const Tensor& x) { return mul(sub(expm1(x), expm1(neg(x))), 0.5); }
Tensor cosh_of(const Tensor& x) { return mul(add(exp(x), exp(neg(x))), 0.5); }
Tensor asinh_of(const Tensor& x) {  // the sign apart, or small and large negative numbers lose their digits; then the gradient must be told
  static const auto f = custom(
      "asinh",
      [](Context& c, const Tensors& in) {
        c.keep(in[0]);
        const Tensor a = abs(in[0]), q = square(a);
        return Tensors{mul(sign(in[0]), log1p(add(a, div(q, add(sqrt(add(q, 1)), 1)))))};
      },
      [](const Context& c, const Tensors& dy) { return Tensors{mul(dy[0], rsqrt(add(square(c.saved(0)), 1)))}; });
  return f({x})[0];
}
Tensor acosh_of(const Tensor& x) {
  const Tensor over = sub(x, 1);
  return log1p(add(over, sqrt(mul(over, add(x, 1)))));
}
Tensor atanh_of(const Tensor& x) { return mul(sub(log1p(x), log1p(neg(x))), 0.5); }

void clip(Call& c) {
  const int type = c.type(0);
  if (is_float_type(type)) {
    double low = -std::numeric_limits<double>::infinity(), high = -low;
    if (c.opset < 11) {
      low = c.attr("min", low);
      high = c.attr("max", high);
    } else {
      if (c.has(std::size_t{1})) low = c.number(1);
      if (c.has(std::size_t{2})) high = c.number(2);
    }
    const Tensor x = c.x(0);
    return c.out(low <= high ? clamp(x, low, high) : add(mul(x, 0.0), high), type);  // the upper bound wins
  }
  OnnxValue v = c.in(0);
  if (c.has(std::size_t{1})) v = map_ints(v, c.in(1), type, [&](std::int64_t a, std::int64_t b) { return max_whole(c, type, a, b); });
  if (c.has(std::size_t{2})) v = map_ints(v, c.in(2), type, [&](std::int64_t a, std::int64_t b) { return min_whole(c, type, a, b); });
  c.out(v);
}

void running_sum(Call& c) {
  const bool exclusive = c.attr("exclusive", 0) != 0, reverse = c.attr("reverse", 0) != 0;
  Tensor x = c.x(0);
  const int a = c.axis(c.integer(1), x.rank());
  if (reverse) x = flip(x, {a});
  Tensor y = cumsum(x, a);
  if (exclusive) {
    std::vector<std::pair<std::int64_t, std::int64_t>> front(static_cast<std::size_t>(x.rank()), {0, 0});
    front[static_cast<std::size_t>(a)].first = 1;
    y = pad(slice(y, a, 0, -1), front);
    if (x.size(a) == 0) y = x;
  }
  if (reverse) y = flip(y, {a});
  c.out(c.floats(0) ? OnnxValue{y, c.type(0)} : from_ints(ints_of(valued(y)), y.shape(), c.type(0)));
}
void running_product(Call& c) {
  const bool exclusive = c.attr("exclusive", 0) != 0, reverse = c.attr("reverse", 0) != 0;
  Tensor x = c.x(0);
  const int a = c.axis(c.integer(1), x.rank());
  if (reverse) x = flip(x, {a});
  Tensors parts;
  for (std::int64_t i = 0; i < x.size(a); ++i) {
    const Tensor v = slice(x, a, i, i + 1);
    if (exclusive) parts.push_back(i == 0 ? Tensor::ones(v.shape(), v.dtype()) : mul(parts.back(), slice(x, a, i - 1, i)));
    else parts.push_back(i == 0 ? v : mul(parts.back(), v));
  }
  Tensor y = parts.empty() ? x : cat(parts, a);
  if (reverse) y = flip(y, {a});
  c.out(c.floats(0) ? OnnxValue{y, c.type(0)} : from_ints(ints_of(valued(y)), y.shape(), c.type(0)));
}

constexpr Operator kTable[] = {
    {"Add", binary<add, add_whole>},
    {"Sub", binary<sub, sub_whole>},
    {"Mul", binary<mul, mul_whole>},
    {"Div", binary<div, div_whole>},
    {"Mod", modulo},
    {"Pow", power},
    {"Max", many<maximum, max_whole>},
    {"Min", many<minimum, min_whole>},
    {"Sum", many<add, add_whole>},
    {"Mean", average},
    {"Neg", unary_any<neg, neg_whole>},
    {"Abs", absolute},
    {"Sign", signum},
    {"Floor", unary<floor>},
    {"Ceil", unary<ceil>},
    {"Round", unary<round>},
    {"Sqrt", unary<sqrt>},
    {"Reciprocal", unary<reciprocal>},
    {"Exp", unary<exp>},
    {"Log", unary<log>},
    {"Sin", unary<sin>},
    {"Cos", unary<cos>},
    {"Tan", unary<tan_of>},
    {"Asin", unary<asin_of>},
    {"Acos", unary<acos_of>},
    {"Atan", unary<atan_of>},
    {"Sinh", unary<sinh_of>},
    {"Cosh", unary<cosh_of>},
    {"Asinh", unary<asinh_of>},
    {"Acosh", unary<acosh_of>},
    {"Atanh", unary<atanh_of>},
    {"Erf", unary<erf>},
    {"Clip", clip},
    {"CumSum", running_sum},
    {"CumProd", running_product},
};

}  // namespace

std::span<const Operator> math_operators() { return kTable; }

}  // namespace graft::onnx
