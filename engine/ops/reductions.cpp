// Reductions over any set of axes. Their backward stretches the gradient over what was reduced.
#include <algorithm>

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

struct ReduceAttrs {
  std::vector<int> axes;  // normal, sorted
  bool keep = false;
  std::string str() const {
    std::string s = "axes=[";
    for (std::size_t i = 0; i < axes.size(); ++i) s += (i ? "," : "") + std::to_string(axes[i]);
    return s + "]" + (keep ? ", keep" : "");
  }
};
// dy with the reduced axes put back as 1.
Tensor with_axes(const Tensor& dy, const ReduceAttrs& a, const Shape& x) {
  return a.keep ? dy : reshape(dy, raw::reduced_shape(x, a.axes, true));
}
std::int64_t count(const Shape& s, const std::vector<int>& axes) {
  std::int64_t n = 1;
  for (int a : axes) n *= s[a];
  return n;
}
const auto kShapes = std::vector<Shape>{{2, 3, 4}};

struct Sum {
  static constexpr std::string_view name = "sum";
  using Attrs = ReduceAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::reduce(ReduceOp::sum, in[0], a.axes, a.keep)}; }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    return {expand(with_axes(dy[0], a, c.input_shape(0)), c.input_shape(0))};
  }
  static std::vector<GradCase> cases() {
    return {{"all", kShapes, [](const Tensors& t) { return sum(square(t[0])); }},
            {"outer and inner", kShapes,
             [](const Tensors& t) {
               return sum(t[0], {0, 2});
             }},
            {"keep", kShapes, [](const Tensors& t) { return sum(t[0], {1}, true); }}};
  }
};
struct Mean {
  static constexpr std::string_view name = "mean";
  using Attrs = ReduceAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::reduce(ReduceOp::mean, in[0], a.axes, a.keep)}; }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const double n = static_cast<double>(count(c.input_shape(0), a.axes));
    return {expand(mul(with_axes(dy[0], a, c.input_shape(0)), 1.0 / n), c.input_shape(0))};
  }
  static std::vector<GradCase> cases() {
    return {{"", kShapes, [](const Tensors& t) { return mean(t[0], {-1}); }}};
  }
};
// prod: x_i's share is the product of the others, computed without dividing so that zeros are right: prefix times suffix products would
// need a scan; over one axis of n elements the n x n mask of ones beside the diagonal does it for gradients of any order.
struct Prod {
  static constexpr std::string_view name = "prod";
  using Attrs = ReduceAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    c.keep(in[0]);
    return {raw::reduce(ReduceOp::prod, in[0], a.axes, a.keep)};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const Tensor& x = c.saved(0);
    if (a.axes.empty()) return {reshape(dy[0], x.shape())};
    std::vector<int> order, back(static_cast<std::size_t>(x.rank()));
    for (int i = 0; i < x.rank(); ++i)
      if (std::find(a.axes.begin(), a.axes.end(), i) == a.axes.end()) order.push_back(i);
    order.insert(order.end(), a.axes.begin(), a.axes.end());
    for (std::size_t i = 0; i < order.size(); ++i) back[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
    const std::int64_t n = count(x.shape(), a.axes);
    if (x.numel() == 0) return {Tensor::zeros(x.shape(), x.dtype())};
    const Tensor moved = permute(x, order);
    const Tensor rows = reshape(moved, {x.numel() / std::max<std::int64_t>(n, 1), 1, n});
    const Tensor diagonal = eq(Tensor::eye(n, x.dtype()), Tensor::scalar(1, x.dtype()));
    const Tensor others = prod(where(diagonal, Tensor::scalar(1, x.dtype()), rows), {2});  // [rows, n]
    const Tensor g = mul(others, reshape(dy[0], {others.size(0), 1}));
    return {permute(reshape(g, moved.shape()), back)};
  }
  static std::vector<GradCase> cases() {
    return {{"", kShapes, [](const Tensors& t) { return prod(t[0], {1}); }}, {"two axes", kShapes, [](const Tensors& t) {
                                                                                return prod(t[0], {0, 2}, true);
                                                                              }}};
  }
};
template <bool Max>
struct Extremum {
  static constexpr std::string_view name = Max ? "amax" : "amin";
  using Attrs = ReduceAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    c.keep(in[0]);
    c.keep_output(0);
    return {raw::reduce(Max ? ReduceOp::max : ReduceOp::min, in[0], a.axes, a.keep)};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const Tensor& x = c.saved(0);
    const Tensor hit = cast(eq(x, with_axes(c.saved(1), a, x.shape())), x.dtype());
    return {mul(div(hit, sum(hit, a.axes, true)), with_axes(dy[0], a, x.shape()))};
  }
  static std::vector<GradCase> cases() {
    return {{"", kShapes, [](const Tensors& t) { return Max ? amax(t[0], {0, 2}) : amin(t[0], {1}, true); }, Domain::spread}};
  }
};
struct Cumsum {
  static constexpr std::string_view name = "cumsum";
  struct Attrs {
    int axis = 0;
    std::string str() const { return "axis=" + std::to_string(axis); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    const Tensor& x = in[0];
    std::int64_t outer = 1, inner = 1;
    for (int i = 0; i < x.rank(); ++i) (i < a.axis ? outer : inner) *= i == a.axis ? 1 : x.shape()[i];
    const Shape three{outer, x.rank() ? x.shape()[a.axis] : 1, inner};
    Tensor out = Tensor::empty(x.shape(), x.dtype());
    const Tensor folded = raw::reshape(x, three);
    cumsum_family().run(current_queue(), {folded.view(), raw::reshape(out, three).view()});
    return {out};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& dy) {
    return {flip(cumsum(flip(dy[0], {a.axis}), a.axis), {a.axis})};
  }
  static std::vector<GradCase> cases() {
    return {{"", kShapes, [](const Tensors& t) { return cumsum(t[0], 1); }}};
  }
};
template <ReduceOp Op>
struct FlatReduce {
  static constexpr std::string_view name = "argmax, argmin, any, all";
  static constexpr std::string_view no_gradient = "the result is an index or a truth value";
  using Attrs = ReduceAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::reduce(Op, in[0], a.axes, a.keep)}; }
};

template <class Op>
Tensor reduce(const Tensor& x, const Axes& axes, bool keep, const char* name) {
  if (x.rank() == 0) return reshape(record1<Op>({{0}, false}, {reshape(x, {1})}), {});
  return record1<Op>({raw::normal_axes(axes, x.rank(), name), keep}, {x});
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keep) { return reduce<Sum>(x, axes, keep, "sum"); }
Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  raw::want_float("mean", "x", x);
  return reduce<Mean>(x, axes, keep, "mean");
}
Tensor prod(const Tensor& x, const Axes& axes, bool keep) { return reduce<Prod>(x, axes, keep, "prod"); }
Tensor amax(const Tensor& x, const Axes& axes, bool keep) { return reduce<Extremum<true>>(x, axes, keep, "amax"); }
Tensor amin(const Tensor& x, const Axes& axes, bool keep) { return reduce<Extremum<false>>(x, axes, keep, "amin"); }
Tensor argmax(const Tensor& x, int axis, bool keep) {
  return reduce<FlatReduce<ReduceOp::argmax>>(x, {normal_axis(axis, x.rank(), "argmax")}, keep, "argmax");
}
Tensor argmin(const Tensor& x, int axis, bool keep) {
  return reduce<FlatReduce<ReduceOp::argmin>>(x, {normal_axis(axis, x.rank(), "argmin")}, keep, "argmin");
}
Tensor any_true(const Tensor& x, const Axes& axes, bool keep) {
  return reduce<FlatReduce<ReduceOp::any>>(cast(x, DType::b8), axes, keep, "any");
}
Tensor all_true(const Tensor& x, const Axes& axes, bool keep) {
  return reduce<FlatReduce<ReduceOp::all>>(cast(x, DType::b8), axes, keep, "all");
}

Tensor var(const Tensor& x, const Axes& axes, bool unbiased, bool keep) {
  raw::want_float("var", "x", x);
  const std::vector<int> a = raw::normal_axes(axes, x.rank(), "var");
  const double n = static_cast<double>(count(x.shape(), a));
  const Tensor squares = sum(square(sub(x, mean(x, a, true))), a, keep);
  return div(squares, Tensor::scalar(std::max(0.0, n - (unbiased ? 1 : 0)), x.dtype()));  // 0/0 is NaN, as it should be
}
Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep) {
  raw::want_float("logsumexp", "x", x);
  const std::vector<int> a = raw::normal_axes(axes, x.rank(), "logsumexp");
  // The shift cancels exactly, so it carries no gradient; a row of -inf shifts by 0 to avoid inf - inf.
  Tensor m = amax(x.detach(), a, true);
  m = where(isinf(m), Tensor::scalar(0, m.dtype()), m);
  const Tensor s = add(log(sum(exp(sub(x, m)), a, true)), m);
  return keep ? s : reshape(s, raw::reduced_shape(x.shape(), a, false));
}
Tensor norm(const Tensor& x) {
  if (raw::accum(x.dtype()) != x.dtype()) return cast(norm(cast(x, raw::accum(x.dtype()))), x.dtype());  // squares overflow f16 from 256 on
  // At the origin, where it has no derivative, the gradient is 0: sqrt() does not see the zero.
  const Tensor s = sum(square(x)), none = eq(s, Tensor::scalar(0, s.dtype()));
  const Tensor length = sqrt(where(none, Tensor::scalar(1, s.dtype()), s));
  return where(none, Tensor::scalar(0, length.dtype()), length);
}
Tensor cumsum(const Tensor& x, int axis) {
  if (!is_float(x.dtype()) && x.dtype() != DType::i64) return cumsum(cast(x, DType::i64), axis);
  return record1<Cumsum>({normal_axis(axis, x.rank(), "cumsum")}, {x});
}

std::vector<OpInfo> reduction_ops() {
  return {info<Sum>(),
          info<Mean>(),
          info<Prod>(),
          info<Extremum<true>>(),
          info<Extremum<false>>(),
          info<Cumsum>(),
          info<FlatReduce<ReduceOp::argmax>>()};
}

}  // namespace graft
