// Normalisations and soft maxima.
#include <algorithm>

#include "engine/autograd/tape.h"
#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

Tensor floats(const Call& c) {
  if (!c.floats(0)) c.wrong("wants floats, not " + type_name(c.type(0)));
  return c.x(0);
}
Tensor optional(const Call& c, std::size_t i, DType t) { return c.has(i) ? cast(c.x(i), t) : Tensor{}; }

void batch(Call& c) {
  const Tensor x = floats(c);
  const double eps = c.attr("epsilon", 1e-5), momentum = c.attr("momentum", 0.9);
  if (x.rank() < 2) c.wrong("normalises " + x.str() + ", which has no channels");
  if (c.opset < 9 && c.attr("spatial", 1) == 0) c.refuse("normalises every place by itself, as opsets before 9 could");
  const Tensor weight = cast(c.x(1), x.dtype()), bias = cast(c.x(2), x.dtype());
  // A model that was exported for use trains as one that was exported for training: whoever trains it, trains it.
  const bool asked = c.opset >= 14 ? c.attr("training_mode", 0) != 0
                     : c.opset < 7 ? c.has("is_test") && c.attr("is_test", 0) == 0
                                   : c.wants(1) || c.wants(2) || c.wants(3) || c.wants(4);
  if (!asked) {
    if (c.training()) {
      const bool moves = c.running()->moves_statistics;
      const Tensor &mean = c.in(3).tensor, &var = c.in(4).tensor;
      return c.out(batch_norm(x, weight, bias, moves ? mean : Tensor{}, moves ? var : Tensor{}, true, 1 - momentum, eps), c.type(0));
    }
    return c.out(batch_norm(x, weight, bias, c.x(3), c.x(4), false, 0, eps), c.type(0));
  }
  if (c.opset < 14 && (c.wants(3) || c.wants(4))) c.refuse("gives saved statistics");
  Axes axes{0};
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  c.out(batch_norm(x, weight, bias, {}, {}, true, 0, eps), c.type(0));
  NoGrad off;
  const auto moved = [&](std::size_t i, const Tensor& fresh) {
    const Tensor old = c.x(i);
    return OnnxValue{add(mul(old, momentum), mul(cast(fresh, old.dtype()), 1 - momentum)), c.type(i)};
  };
  c.out(moved(3, mean(x, axes)));
  c.out(moved(4, var(x, axes, false)));
}

void instance(Call& c) {
  const Tensor x = floats(c);
  if (x.rank() < 3) c.wrong("normalises " + x.str() + ", which has no positions");
  c.out(group_norm(x, x.size(1), cast(c.x(1), x.dtype()), cast(c.x(2), x.dtype()), c.attr("epsilon", 1e-5)), c.type(0));
}
void group(Call& c) {
  const Tensor x = floats(c);
  const std::int64_t groups = c.attr("num_groups", 0);
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups) c.wrong("cuts " + x.str() + " into " + std::to_string(groups) + " groups");
  Tensor weight = cast(c.x(1), x.dtype()), bias = cast(c.x(2), x.dtype());
  if (c.opset < 21) {  // one number per group
    const auto spread = [&](const Tensor& t) { return reshape(expand(unsqueeze(t, 1), {groups, x.size(1) / groups}), {x.size(1)}); };
    weight = spread(weight), bias = spread(bias);
  }
  c.out(group_norm(x, groups, weight, bias, c.attr("epsilon", 1e-5)), c.type(0));
}

// x from `axis` on as one axis, and what is multiplied and added stretched to it.
struct Rows {
  Tensor x;
  Shape normal, outer;
};
Rows rows_of(const Call& c, const Tensor& x) {
  const int a = c.axis(c.attr("axis", -1), x.rank());
  Rows r;
  std::int64_t rows = 1;
  for (int i = 0; i < x.rank(); ++i) {
    if (i < a) rows *= x.size(i);
    else r.normal.push_back(x.size(i));
    r.outer.push_back(i < a ? x.size(i) : 1);
  }
  r.x = reshape(x, {rows, r.normal.numel()});
  return r;
}
Tensor stretched(const Tensor& t, const Rows& r) {
  return t.defined() ? reshape(expand(t, broadcast(t.shape(), r.normal, "scale")), {r.normal.numel()}) : t;
}

void layer(Call& c) {
  const Tensor x = floats(c);
  const Rows r = rows_of(c, x);
  const double eps = c.attr("epsilon", 1e-5);
  c.out(reshape(layer_norm(r.x, stretched(optional(c, 1, x.dtype()), r), stretched(optional(c, 2, x.dtype()), r), eps), x.shape()),
        c.type(0));
  if (!c.wants(1) && !c.wants(2)) return;
  const Tensor wide = c.attr("stash_type", 1) == 1 ? cast(r.x, DType::f32) : r.x, m = mean(wide, {1}, true);
  c.out(reshape(m, r.outer));
  c.out(reshape(rsqrt(add(mean(square(sub(wide, m)), {1}, true), eps)), r.outer));
}
void root_mean_square(Call& c) {
  const Tensor x = floats(c);
  const Rows r = rows_of(c, x);
  c.out(reshape(rms_norm(r.x, stretched(optional(c, 1, x.dtype()), r), c.attr("epsilon", 1e-5)), x.shape()), c.type(0));
}

void local_response(Call& c) {
  const Tensor x = floats(c);
  const std::int64_t size = c.attr("size", 0), channels = x.rank() > 1 ? x.size(1) : 0;
  if (size < 1 || size > std::int64_t{1} << 20 || x.rank() < 2)
    c.wrong("normalises " + x.str() + " over " + std::to_string(size) + " channels");
  std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(x.rank()), {0, 0});
  around[1] = {(size - 1) / 2, size - 1 - (size - 1) / 2};
  const Tensor squares = pad(square(x), around);
  Tensor total = slice(squares, 1, 0, channels);
  for (std::int64_t i = 1; i < size; ++i) total = add(total, slice(squares, 1, i, i + channels));
  const double alpha = c.attr("alpha", 1e-4), beta = c.attr("beta", 0.75), bias = c.attr("bias", 1.0);
  c.out(div(x, pow(add(mul(total, alpha / static_cast<double>(size)), bias), Scalar(beta))), c.type(0));
}
void lp_normal(Call& c) {
  const Tensor x = floats(c);
  const int a = c.axis(c.attr("axis", -1), x.rank());
  const std::int64_t p = c.attr("p", 2);
  if (p != 1 && p != 2) c.wrong("has p = " + std::to_string(p));
  const Tensor n = p == 1 ? sum(abs(x), {a}, true) : sqrt(sum(square(x), {a}, true)), zero = Tensor::scalar(0, x.dtype());
  c.out(where(eq(n, zero), zero, div(x, n)), c.type(0));
}
void mean_variance(Call& c) {
  const Tensor x = floats(c);
  const std::vector<std::int64_t> given = c.has("axes") ? c.list("axes") : std::vector<std::int64_t>{0, 2, 3};
  const Axes axes = axes_of(c, given, x.rank());
  const Tensor d = sub(x, mean(x, axes, true));
  c.out(div(d, add(sqrt(mean(square(d), axes, true)), 1e-9)), c.type(0));
}

template <Tensor (*F)(const Tensor&, int)>
void soft(Call& c) {
  const Tensor x = floats(c);
  const int a = x.rank() ? c.axis(c.attr("axis", c.opset < 13 ? 1 : -1), x.rank()) : 0;
  if (x.rank() == 0) return c.out(reshape(F(reshape(x, {1}), 0), {}), c.type(0));
  if (c.opset >= 13) return c.out(F(x, a), c.type(0));
  std::int64_t rows = 1;  // all from the axis on is one
  for (int i = 0; i < a; ++i) rows *= x.size(i);
  c.out(x.numel() == 0 ? x : reshape(F(reshape(x, {rows, -1}), 1), x.shape()), c.type(0));
}

constexpr Operator kTable[] = {
    {"BatchNormalization", batch},     {"InstanceNormalization", instance},          {"GroupNormalization", group},
    {"LayerNormalization", layer},     {"RMSNormalization", root_mean_square},       {"LRN", local_response},
    {"LpNormalization", lp_normal},    {"MeanVarianceNormalization", mean_variance}, {"Softmax", soft<softmax>},
    {"LogSoftmax", soft<log_softmax>},
};

}  // namespace

std::span<const Operator> norm_operators() { return kTable; }

}  // namespace graft::onnx
