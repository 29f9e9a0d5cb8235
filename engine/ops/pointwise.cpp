// Pointwise operations. Most unary ones are a kernel and a derivative: `Unary<F>` turns such a pair into an op.
#include <cmath>

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

using E = ElementwiseOp;

std::string number(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%g", v);
  return s;
}
struct NoAttrs {};

// ---- unary: F has name, kernel, keeps (x or y) and derivative(x or y) ----
enum class Keeps { nothing, x, y };
struct UnaryAttrs {
  double s0 = 0, s1 = 0;
  std::string str() const { return s0 == 0 && s1 == 0 ? std::string() : number(s0) + (s1 != 0 ? "," + number(s1) : ""); }
};
template <class F>
struct Unary : F {
  using Attrs = UnaryAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    if (F::keeps == Keeps::x) c.keep(in[0]);
    if (F::keeps == Keeps::y) c.keep_output(0);
    return {raw::unary(F::kernel, in[0], a.s0, a.s1)};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    return {F::gradient(F::keeps == Keeps::nothing ? Tensor{} : c.saved(0), dy[0], a)};
  }
};
struct NegF {
  static constexpr std::string_view name = "neg";
  static constexpr E kernel = E::neg;
  static constexpr Keeps keeps = Keeps::nothing;
  static Tensor gradient(const Tensor&, const Tensor& dy, const UnaryAttrs&) { return neg(dy); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return neg(t[0]); }}};
  }
};
struct AbsF {
  static constexpr std::string_view name = "abs";
  static constexpr E kernel = E::abs;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, sign(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return abs(t[0]); }, Domain::spread}};
  }
};
struct SquareF {
  static constexpr std::string_view name = "square";
  static constexpr E kernel = E::square;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, mul(x, 2.0)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return square(t[0]); }}};
  }
};
struct SqrtF {
  static constexpr std::string_view name = "sqrt";
  static constexpr E kernel = E::sqrt;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return div(dy, mul(sqrt(x), 2.0)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return sqrt(t[0]); }, Domain::positive}};
  }
};
struct RsqrtF {
  static constexpr std::string_view name = "rsqrt";
  static constexpr E kernel = E::rsqrt;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, mul(div(rsqrt(x), x), -0.5)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return rsqrt(t[0]); }, Domain::positive}};
  }
};
struct ReciprocalF {
  static constexpr std::string_view name = "reciprocal";
  static constexpr E kernel = E::reciprocal;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return neg(div(dy, square(x))); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return reciprocal(t[0]); }, Domain::positive}};
  }
};
struct ExpF {
  static constexpr std::string_view name = "exp";
  static constexpr E kernel = E::exp;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, exp(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return exp(t[0]); }}};
  }
};
struct Expm1F {
  static constexpr std::string_view name = "expm1";
  static constexpr E kernel = E::expm1;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, exp(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return expm1(t[0]); }}};
  }
};
struct LogF {
  static constexpr std::string_view name = "log";
  static constexpr E kernel = E::log;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return div(dy, x); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return log(t[0]); }, Domain::positive}};
  }
};
struct Log1pF {
  static constexpr std::string_view name = "log1p";
  static constexpr E kernel = E::log1p;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return div(dy, add(x, 1.0)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return log1p(t[0]); }, Domain::positive}};
  }
};
struct SinF {
  static constexpr std::string_view name = "sin";
  static constexpr E kernel = E::sin;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, cos(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return sin(t[0]); }}};
  }
};
struct CosF {
  static constexpr std::string_view name = "cos";
  static constexpr E kernel = E::cos;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return neg(mul(dy, sin(x))); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return cos(t[0]); }}};
  }
};
struct ErfF {
  static constexpr std::string_view name = "erf";
  static constexpr E kernel = E::erf;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) {
    return mul(dy, mul(exp(neg(square(x))), 1.1283791670955126));  // 2 / sqrt(pi)
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return erf(t[0]); }}};
  }
};
struct ScaleF {  // s0 * x + s1
  static constexpr std::string_view name = "scale";
  static constexpr E kernel = E::scale;
  static constexpr Keeps keeps = Keeps::nothing;
  static Tensor gradient(const Tensor&, const Tensor& dy, const UnaryAttrs& a) { return mul(dy, a.s0); }
  static std::vector<GradCase> cases() {
    return {{"mul", {{2, 3}}, [](const Tensors& t) { return mul(t[0], -2.5); }},
            {"sub", {{2, 3}}, [](const Tensors& t) { return sub(1.5, t[0]); }}};
  }
};
struct PowScalarF {
  static constexpr std::string_view name = "pow_scalar";
  static constexpr E kernel = E::pow_scalar;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs& a) { return mul(dy, mul(pow(x, a.s0 - 1), a.s0)); }
  static std::vector<GradCase> cases() {
    return {{"3", {{2, 3}}, [](const Tensors& t) { return pow(t[0], 3.0); }},
            {"1.7", {{2, 3}}, [](const Tensors& t) { return pow(t[0], 1.7); }, Domain::positive}};
  }
};
struct ClampF {
  static constexpr std::string_view name = "clamp";
  static constexpr E kernel = E::clamp;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs& a) {
    const Tensor inside = logical_and(ge(x, Tensor::scalar(a.s0, x.dtype())), le(x, Tensor::scalar(a.s1, x.dtype())));
    return mul(dy, cast(inside, dy.dtype()));
  }
  static std::vector<GradCase> cases() {
    return {{"", {{4, 5}}, [](const Tensors& t) { return clamp(t[0], -0.7, 0.6); }, Domain::spread}};
  }
};
struct ReluF {
  static constexpr std::string_view name = "relu";
  static constexpr E kernel = E::relu;
  static constexpr Keeps keeps = Keeps::y;
  static Tensor gradient(const Tensor& y, const Tensor& dy, const UnaryAttrs&) {
    if (recording()) return mul(dy, cast(gt(y, Tensor::scalar(0, y.dtype())), dy.dtype()));
    return raw::binary(E::relu_grad, dy, y);  // y > 0 exactly where x > 0
  }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return relu(t[0]); }, Domain::spread}};
  }
};
struct LeakyReluF {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr E kernel = E::leaky_relu;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs& a) {
    return mul(dy, where(gt(x, Tensor::scalar(0, x.dtype())), Tensor::scalar(1, x.dtype()), Tensor::scalar(a.s0, x.dtype())));
  }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return leaky_relu(t[0], 0.2); }, Domain::spread}};
  }
};
struct TanhF {
  static constexpr std::string_view name = "tanh";
  static constexpr E kernel = E::tanh;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, sub(1.0, square(tanh(x)))); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return tanh(t[0]); }}};
  }
};
struct SigmoidF {
  static constexpr std::string_view name = "sigmoid";
  static constexpr E kernel = E::sigmoid;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) {
    const Tensor y = sigmoid(x);
    return mul(dy, mul(y, sub(1.0, y)));
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return sigmoid(t[0]); }}};
  }
};

// ---- fused activations: gradient in one visit; plain is the definition ----
template <class F>
struct Activation : F {
  using Attrs = UnaryAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    c.keep(in[0]);
    return {raw::unary(F::kernel, in[0], a.s0, a.s1)};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    return {raw::binary(F::grad, dy[0], c.saved(0), a.s0, a.s1)};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) { return {F::definition(in[0], a)}; }
};
struct GeluF {
  static constexpr std::string_view name = "gelu";
  static constexpr E kernel = E::gelu, grad = E::gelu_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) { return mul(mul(x, 0.5), add(erf(mul(x, 0.7071067811865476)), 1.0)); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return gelu(t[0]); }}};
  }
};
struct GeluTanhF {
  static constexpr std::string_view name = "gelu_tanh";
  static constexpr E kernel = E::gelu_tanh, grad = E::gelu_tanh_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) {
    return mul(mul(x, 0.5), add(tanh(mul(add(x, mul(pow(x, 3.0), 0.044715)), 0.7978845608028654)), 1.0));
  }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return gelu(t[0], true); }}};
  }
};
struct SiluF {
  static constexpr std::string_view name = "silu";
  static constexpr E kernel = E::silu, grad = E::silu_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) { return mul(x, sigmoid(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return silu(t[0]); }}};
  }
};
// Elementary, with the derivative as it is: in relu(x) + log1p(exp(-|x|)), which does not overflow, every part has a kink at 0.
struct SmoothSoftplusF {
  static constexpr std::string_view name = "softplus, elementary";
  static constexpr E kernel = E::softplus;
  static constexpr Keeps keeps = Keeps::x;
  static Tensor gradient(const Tensor& x, const Tensor& dy, const UnaryAttrs&) { return mul(dy, sigmoid(x)); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return record1<Unary<SmoothSoftplusF>>({}, {t[0]}); }}};
  }
};
struct SoftplusF {
  static constexpr std::string_view name = "softplus";
  static constexpr E kernel = E::softplus, grad = E::softplus_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) { return record1<Unary<SmoothSoftplusF>>({}, {x}); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return softplus(t[0]); }}};
  }
};
struct EluF {
  static constexpr std::string_view name = "elu";
  static constexpr E kernel = E::elu, grad = E::elu_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs& a) {
    return where(gt(x, Tensor::scalar(0, x.dtype())), x, mul(expm1(clamp(x, -INFINITY, 0)), a.s0));
  }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return elu(t[0], 1.3); }, Domain::spread}};
  }
};
struct HardswishF {
  static constexpr std::string_view name = "hardswish";
  static constexpr E kernel = E::hardswish, grad = E::hardswish_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) { return mul(x, div(clamp(add(x, 3.0), 0, 6), 6.0)); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return hardswish(t[0]); }, Domain::spread}};
  }
};
struct MishF {
  static constexpr std::string_view name = "mish";
  static constexpr E kernel = E::mish, grad = E::mish_grad;
  static Tensor definition(const Tensor& x, const UnaryAttrs&) { return mul(x, tanh(softplus(x))); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 5}}, [](const Tensors& t) { return mish(t[0]); }, Domain::spread}};
  }
};

// ---- binary: operands arrive in one dtype; broadcasting is undone by reduce_to ----
struct Add {
  static constexpr std::string_view name = "add";
  using Attrs = NoAttrs;
  static Tensors forward(Context&, const Attrs&, const Tensors& in) { return {raw::binary(E::add, in[0], in[1])}; }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    return {c.needs(0) ? reduce_to(dy[0], c.input_shape(0)) : Tensor{}, c.needs(1) ? reduce_to(dy[0], c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return add(t[0], t[1]); };
    return {{"same", {{2, 3}, {2, 3}}, f}, {"broadcast", {{4, 1, 3}, {2, 1}}, f}, {"scalar", {{2, 3}, {}}, f}};
  }
};
struct Sub {
  static constexpr std::string_view name = "sub";
  using Attrs = NoAttrs;
  static Tensors forward(Context&, const Attrs&, const Tensors& in) { return {raw::binary(E::sub, in[0], in[1])}; }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    return {c.needs(0) ? reduce_to(dy[0], c.input_shape(0)) : Tensor{}, c.needs(1) ? reduce_to(neg(dy[0]), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return sub(t[0], t[1]); };
    return {{"same", {{2, 3}, {2, 3}}, f}, {"broadcast", {{3}, {2, 1}}, f}};
  }
};
struct Mul {
  static constexpr std::string_view name = "mul";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(c.needs(1) ? in[0] : Tensor{});
    c.keep(c.needs(0) ? in[1] : Tensor{});
    return {raw::binary(E::mul, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    return {c.needs(0) ? reduce_to(mul(dy[0], c.saved(1)), c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(mul(dy[0], c.saved(0)), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return mul(t[0], t[1]); };
    return {{"same", {{2, 3}, {2, 3}}, f}, {"broadcast", {{4, 1, 3}, {2, 1}}, f}, {"self", {{2, 3}}, [](const Tensors& t) {
                                                                                     return mul(t[0], t[0]);
                                                                                   }}};
  }
};
struct Div {
  static constexpr std::string_view name = "div";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    c.keep(in[1]);
    return {raw::binary(E::div, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor da = div(dy[0], c.saved(1));
    return {c.needs(0) ? reduce_to(da, c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(neg(mul(da, div(c.saved(0), c.saved(1)))), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return div(t[0], t[1]); };
    return {{"same", {{2, 3}, {2, 3}}, f, Domain::positive}, {"broadcast", {{4, 1, 3}, {2, 1}}, f, Domain::positive}};
  }
};
struct Pow {
  static constexpr std::string_view name = "pow";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    c.keep(in[1]);
    return {raw::binary(E::pow, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor &a = c.saved(0), &b = c.saved(1);
    const Tensor zero = Tensor::scalar(0, a.dtype());
    Tensors dx(2);
    if (c.needs(0)) dx[0] = reduce_to(where(eq(b, zero), zero, mul(dy[0], mul(b, pow(a, sub(b, 1.0))))), c.input_shape(0));
    // 0^b has derivative 0 in b for b > 0, where log(0) would make it NaN
    if (c.needs(1))
      dx[1] = reduce_to(mul(dy[0], mul(pow(a, b), where(eq(a, zero), zero, log(where(eq(a, zero), Tensor::scalar(1, a.dtype()), a))))),
                        c.input_shape(1));
    return dx;
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return pow(t[0], t[1]); };
    return {{"same", {{2, 3}, {2, 3}}, f, Domain::positive}, {"broadcast", {{3}, {2, 1}}, f, Domain::positive}};
  }
};
struct Atan2 {
  static constexpr std::string_view name = "atan2";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    c.keep(in[1]);
    return {raw::binary(E::atan2, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor &a = c.saved(0), &b = c.saved(1);
    const Tensor g = div(dy[0], add(square(a), square(b)));
    return {c.needs(0) ? reduce_to(mul(g, b), c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(neg(mul(g, a)), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}, {3}}, [](const Tensors& t) { return atan2(t[0], t[1]); }, Domain::spread}};
  }
};
// max and min: where both are equal each takes half.
template <bool Max>
struct Extreme {
  static constexpr std::string_view name = Max ? "maximum" : "minimum";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    c.keep(in[1]);
    return {raw::binary(Max ? E::max : E::min, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor &a = c.saved(0), &b = c.saved(1);
    const Tensor half = mul(cast(eq(a, b), dy[0].dtype()), 0.5);
    const Tensor first = add(cast(Max ? gt(a, b) : lt(a, b), dy[0].dtype()), half);
    return {c.needs(0) ? reduce_to(mul(dy[0], first), c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(mul(dy[0], sub(1.0, first)), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{4, 5}, {5}}, [](const Tensors& t) { return Max ? maximum(t[0], t[1]) : minimum(t[0], t[1]); }, Domain::spread}};
  }
};
struct Mod {
  static constexpr std::string_view name = "mod";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    c.keep(in[1]);
    return {raw::binary(E::mod, in[0], in[1])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {  // a - b * floor(a / b)
    return {c.needs(0) ? reduce_to(dy[0], c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(neg(mul(dy[0], floor(div(c.saved(0), c.saved(1))))), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return mod(t[0], Tensor::scalar(0.37, t[0].dtype())); }, Domain::spread},
            {"divisor", {{2, 3}}, [](const Tensors& t) { return mod(Tensor::scalar(4.1, t[0].dtype()), add(square(t[0]), 0.83)); }}};
  }
};
struct Where {
  static constexpr std::string_view name = "where";
  using Attrs = NoAttrs;
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(in[0]);
    return {raw::ternary(E::where, in[0], in[1], in[2])};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    const Tensor zero = Tensor::scalar(0, dy[0].dtype());
    return {Tensor{}, c.needs(1) ? reduce_to(where(c.saved(0), dy[0], zero), c.input_shape(1)) : Tensor{},
            c.needs(2) ? reduce_to(where(c.saved(0), zero, dy[0]), c.input_shape(2)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{4, 3}, {3}}, [](const Tensors& t) {
               const Tensor mask = Tensor::from<bool>({true, false, true, false}, {4, 1});
               return where(mask, t[0], t[1]);
             }}};
  }
};
struct CastAttrs {
  DType to = DType::f32;
  std::string str() const { return std::string(name_of(to)); }
};
struct Cast {
  static constexpr std::string_view name = "cast";
  using Attrs = CastAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::cast(in[0], a.to)}; }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) { return {cast(dy[0], c.input_dtype(0))}; }
  static std::vector<GradCase> cases() {  // through f64 and back, so that differences stay accurate
    return {{"", {{2, 3}}, [](const Tensors& t) { return cast(mul(cast(t[0], DType::f64), 2.0), t[0].dtype()); }}};
  }
};

// ---- piecewise constant or integer: no gradient ----
template <E Kernel, int Arity>
struct Flat {
  static constexpr std::string_view name = "comparison or rounding";
  static constexpr std::string_view no_gradient = "the result is piecewise constant: its derivative is 0 wherever it exists";
  using Attrs = NoAttrs;
  static Tensors forward(Context&, const Attrs&, const Tensors& in) {
    if constexpr (Arity == 1) return {raw::unary(Kernel, in[0])};
    else return {raw::binary(Kernel, in[0], in[1])};
  }
};

Tensor to_float(const Tensor& x) { return is_float(x.dtype()) ? x : cast(x, DType::f32); }
template <class Op>
Tensor unary(const Tensor& x, double s0 = 0, double s1 = 0) {
  return record1<Op>({s0, s1}, {to_float(x)});
}

template <class Op>
Tensor binary(const Tensor& a, const Tensor& b, bool must_float = false) {
  DType t = promote(a, b);
  if (must_float && !is_float(t)) t = DType::f32;
  return record1<Op>({}, {cast(a, t), cast(b, t)});
}
template <E Kernel>
Tensor compare(const Tensor& a, const Tensor& b) {
  const DType t = promote(a, b);
  return record1<Flat<Kernel, 2>>({}, {cast(a, t), cast(b, t)});
}
template <E Kernel>
Tensor logical(const Tensor& a, const Tensor& b) {
  return record1<Flat<Kernel, 2>>({}, {cast(a, DType::b8), cast(b, DType::b8)});
}
// The tensor operand that stands for a number: integers beside integer tensors keep their kind.
Tensor number_like(const Tensor& x, Scalar s) {
  if (is_float(x.dtype())) return Tensor::scalar(s.value, x.dtype());
  if (!s.integer) return Tensor::scalar(s.value, DType::f32);
  return Tensor::scalar(s.value, x.dtype() == DType::b8 ? DType::i64 : x.dtype());
}

}  // namespace

Tensor neg(const Tensor& x) {
  if (x.dtype() == DType::b8) throw Error(Code::usage, "neg: x is " + x.str() + "; use logical_not for bool");
  return is_float(x.dtype()) ? unary<Unary<NegF>>(x) : raw::unary(E::neg, x);
}
Tensor abs(const Tensor& x) { return is_float(x.dtype()) ? unary<Unary<AbsF>>(x) : x.dtype() == DType::b8 ? x : raw::unary(E::abs, x); }
Tensor sign(const Tensor& x) { return record1<Flat<E::sign, 1>>({}, {x}); }
Tensor square(const Tensor& x) { return is_float(x.dtype()) ? unary<Unary<SquareF>>(x) : mul(x, x); }
Tensor sqrt(const Tensor& x) { return unary<Unary<SqrtF>>(x); }
Tensor rsqrt(const Tensor& x) { return unary<Unary<RsqrtF>>(x); }
Tensor reciprocal(const Tensor& x) { return unary<Unary<ReciprocalF>>(x); }
Tensor exp(const Tensor& x) { return unary<Unary<ExpF>>(x); }
Tensor expm1(const Tensor& x) { return unary<Unary<Expm1F>>(x); }
Tensor log(const Tensor& x) { return unary<Unary<LogF>>(x); }
Tensor log1p(const Tensor& x) { return unary<Unary<Log1pF>>(x); }
Tensor sin(const Tensor& x) { return unary<Unary<SinF>>(x); }
Tensor cos(const Tensor& x) { return unary<Unary<CosF>>(x); }
Tensor tanh(const Tensor& x) { return unary<Unary<TanhF>>(x); }
Tensor sigmoid(const Tensor& x) { return unary<Unary<SigmoidF>>(x); }
Tensor erf(const Tensor& x) { return unary<Unary<ErfF>>(x); }
Tensor floor(const Tensor& x) { return is_float(x.dtype()) ? record1<Flat<E::floor, 1>>({}, {x}) : x; }
Tensor ceil(const Tensor& x) { return is_float(x.dtype()) ? record1<Flat<E::ceil, 1>>({}, {x}) : x; }
Tensor round(const Tensor& x) { return is_float(x.dtype()) ? record1<Flat<E::round, 1>>({}, {x}) : x; }
Tensor relu(const Tensor& x) { return is_float(x.dtype()) ? unary<Unary<ReluF>>(x) : maximum(x, number_like(x, 0)); }
Tensor gelu(const Tensor& x, bool tanh_form) { return tanh_form ? unary<Activation<GeluTanhF>>(x) : unary<Activation<GeluF>>(x); }
Tensor silu(const Tensor& x) { return unary<Activation<SiluF>>(x); }
Tensor softplus(const Tensor& x) { return unary<Activation<SoftplusF>>(x); }
Tensor elu(const Tensor& x, double alpha) { return unary<Activation<EluF>>(x, alpha); }
Tensor leaky_relu(const Tensor& x, double slope) { return unary<Unary<LeakyReluF>>(x, slope); }
Tensor hardswish(const Tensor& x) { return unary<Activation<HardswishF>>(x); }
Tensor mish(const Tensor& x) { return unary<Activation<MishF>>(x); }
Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high)) throw Error(Code::usage, "clamp: low " + number(low) + " is above high " + number(high));
  if (is_float(x.dtype())) return unary<Unary<ClampF>>(x, low, high);
  if ((std::isfinite(low) && low != std::floor(low)) || (std::isfinite(high) && high != std::floor(high)))
    return clamp(cast(x, DType::f32), low, high);
  Tensor y = x.dtype() == DType::b8 ? cast(x, DType::i64) : x;
  const auto [least, most] = y.dtype() == DType::i64   ? std::pair(-0x1p63, 0x1p63)
                             : y.dtype() == DType::i32 ? std::pair(-0x1p31, 0x1p31 - 1)
                                                       : std::pair(0.0, 255.0);
  // A bound that no value of the type can pass is none; one that all values pass is the type's own last value, saturated by scalar().
  if (low > least) y = maximum(y, Tensor::scalar(low, y.dtype()));
  if (high < most) y = minimum(y, Tensor::scalar(high, y.dtype()));
  return y;
}

Tensor add(const Tensor& a, const Tensor& b) {
  if (a.dtype() == DType::b8 && b.dtype() == DType::b8) return logical_or(a, b);
  return binary<Add>(a, b);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  if (a.dtype() == DType::b8 && b.dtype() == DType::b8)
    throw Error(Code::usage, "sub: " + a.str() + " and " + b.str() + " are bool; use logical_xor");
  return binary<Sub>(a, b);
}
Tensor mul(const Tensor& a, const Tensor& b) {
  if (a.dtype() == DType::b8 && b.dtype() == DType::b8) return logical_and(a, b);
  return binary<Mul>(a, b);
}
Tensor div(const Tensor& a, const Tensor& b) { return binary<Div>(a, b, true); }
Tensor floor_div(const Tensor& a, const Tensor& b) {
  const DType t = promote(a, b);
  if (t == DType::b8) throw Error(Code::usage, "floor_div: bool operands have no quotient; cast them first");
  return record1<Flat<E::floor_div, 2>>({}, {cast(a, t), cast(b, t)});
}
Tensor mod(const Tensor& a, const Tensor& b) {
  if (promote(a, b) == DType::b8) throw Error(Code::usage, "mod: bool operands have no remainder; cast them first");
  return binary<Mod>(a, b);
}
Tensor pow(const Tensor& a, const Tensor& b) { return binary<Pow>(a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return promote(a, b) == DType::b8 ? logical_or(a, b) : binary<Extreme<true>>(a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return promote(a, b) == DType::b8 ? logical_and(a, b) : binary<Extreme<false>>(a, b); }
Tensor atan2(const Tensor& a, const Tensor& b) { return binary<Atan2>(a, b, true); }
Tensor add(const Tensor& a, Scalar b) { return is_float(a.dtype()) ? unary<Unary<ScaleF>>(a, 1, b.value) : add(a, number_like(a, b)); }
Tensor sub(const Tensor& a, Scalar b) { return is_float(a.dtype()) ? unary<Unary<ScaleF>>(a, 1, -b.value) : sub(a, number_like(a, b)); }
Tensor sub(Scalar a, const Tensor& b) { return is_float(b.dtype()) ? unary<Unary<ScaleF>>(b, -1, a.value) : sub(number_like(b, a), b); }
Tensor mul(const Tensor& a, Scalar b) { return is_float(a.dtype()) ? unary<Unary<ScaleF>>(a, b.value, 0) : mul(a, number_like(a, b)); }
Tensor div(const Tensor& a, Scalar b) { return div(a, number_like(a, b)); }
Tensor div(Scalar a, const Tensor& b) { return div(number_like(b, a), b); }
Tensor pow(const Tensor& a, Scalar e) {
  if (!is_float(a.dtype())) {
    if (e.integer && e.value < 0)
      throw Error(Code::usage, "pow: integers to a negative power are not integers; cast " + a.str() + " to a float first");
    return pow(a, number_like(a, e));
  }
  // 1 for a NaN and an infinity too, and still a function of a, with gradient 0
  if (e.value == 0) return where(Tensor::scalar(0, DType::b8), a, Tensor::scalar(1, a.dtype()));
  if (e.value == 1) return a;
  if (e.value == 2) return square(a);
  return unary<Unary<PowScalarF>>(a, e.value);
}
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  if (condition.dtype() != DType::b8)
    throw Error(Code::usage, "where: condition is " + condition.str() + " but wants bool; compare first, as in gt(x, 0)");
  const DType t = promote(a, b);
  return record1<Where>({}, {condition, cast(a, t), cast(b, t)});
}
Tensor eq(const Tensor& a, const Tensor& b) { return compare<E::eq>(a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare<E::ne>(a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare<E::lt>(a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare<E::le>(a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare<E::gt>(a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare<E::ge>(a, b); }
Tensor logical_and(const Tensor& a, const Tensor& b) { return logical<E::logical_and>(a, b); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return logical<E::logical_or>(a, b); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return logical<E::logical_xor>(a, b); }
Tensor logical_not(const Tensor& x) { return record1<Flat<E::logical_not, 1>>({}, {x}); }
Tensor isnan(const Tensor& x) { return is_float(x.dtype()) ? record1<Flat<E::isnan, 1>>({}, {x}) : Tensor::zeros(x.shape(), DType::b8); }
Tensor isinf(const Tensor& x) { return is_float(x.dtype()) ? record1<Flat<E::isinf, 1>>({}, {x}) : Tensor::zeros(x.shape(), DType::b8); }
Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (is_float(x.dtype()) && is_float(dtype)) return record1<Cast>({dtype}, {x});
  return raw::cast(x, dtype);
}

std::vector<OpInfo> pointwise_ops() {
  return {info<Unary<NegF>>(),
          info<Unary<AbsF>>(),
          info<Unary<SquareF>>(),
          info<Unary<SqrtF>>(),
          info<Unary<RsqrtF>>(),
          info<Unary<ReciprocalF>>(),
          info<Unary<ExpF>>(),
          info<Unary<Expm1F>>(),
          info<Unary<LogF>>(),
          info<Unary<Log1pF>>(),
          info<Unary<SinF>>(),
          info<Unary<CosF>>(),
          info<Unary<ErfF>>(),
          info<Unary<ScaleF>>(),
          info<Unary<PowScalarF>>(),
          info<Unary<ClampF>>(),
          info<Unary<ReluF>>(),
          info<Unary<LeakyReluF>>(),
          info<Unary<TanhF>>(),
          info<Unary<SigmoidF>>(),
          info<Activation<GeluF>>(),
          info<Activation<GeluTanhF>>(),
          info<Activation<SiluF>>(),
          info<Unary<SmoothSoftplusF>>(),
          info<Activation<SoftplusF>>(),
          info<Activation<EluF>>(),
          info<Activation<HardswishF>>(),
          info<Activation<MishF>>(),
          info<Add>(),
          info<Sub>(),
          info<Mul>(),
          info<Div>(),
          info<Pow>(),
          info<Atan2>(),
          info<Extreme<true>>(),
          info<Extreme<false>>(),
          info<Mod>(),
          info<Where>(),
          info<Cast>(),
          info<Flat<E::floor, 1>>()};
}

}  // namespace graft
