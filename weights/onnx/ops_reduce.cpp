// Sums, means, extremes along axes.
#include <algorithm>
#include <limits>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

// Axes to reduce; false: nothing is reduced at all.
bool axes_and_keep(const Call& c, const Tensor& x, Axes& axes, bool& keep) {
  keep = c.attr("keepdims", 1) != 0;
  std::vector<std::int64_t> given;
  list_or_input(c, "axes", 1, given);
  axes = axes_of(c, given, x.rank());
  return !(axes.empty() && c.attr("noop_with_empty_axes", 0) != 0) && x.rank() > 0;
}

using Reduce = Tensor (*)(const Tensor&, const Axes&, bool);
Tensor l1(const Tensor& x, const Axes& a, bool k) { return sum(abs(x), a, k); }
Tensor l2(const Tensor& x, const Axes& a, bool k) { return sqrt(sum(square(x), a, k)); }
Tensor log_sum(const Tensor& x, const Axes& a, bool k) { return log(sum(x, a, k)); }
Tensor sum_square(const Tensor& x, const Axes& a, bool k) { return sum(square(x), a, k); }
Tensor log_sum_exp(const Tensor& x, const Axes& a, bool k) {
  Axes all = a;
  if (all.empty())
    for (int i = 0; i < x.rank(); ++i) all.push_back(i);
  for (const int axis : all)
    if (x.size(axis) == 0) return log(sum(exp(x), all, k));  // of nothing: -infinity
  return all.empty() ? x : logsumexp(x, all, k);
}
// Per element, where there is nothing to reduce.
template <Reduce F>
Tensor of_one(const Tensor& x) {
  return reshape(F(reshape(x, {1, x.numel()}), {0}, false), x.shape());
}

template <Reduce F>
void reduce(Call& c) {
  const int type = c.type(0);
  const Tensor x = is_float_type(type) ? c.x(0) : cast(c.x(0), DType::f64);  // squares and logarithms of integers are rounded back
  Axes axes;
  bool keep;
  const Tensor y = axes_and_keep(c, x, axes, keep) ? F(x, axes, keep) : of_one<F>(x);
  c.out(is_float_type(type) ? OnnxValue{y, type} : cast_value({y, kDouble}, type, c));
}

template <Reduce F>
void reduce_whole(Call& c) {  // sum and product: the engine counts integers in i64
  if (c.floats(0)) return reduce<F>(c);
  Axes axes;
  bool keep;
  const Tensor x = c.x(0);
  if (!axes_and_keep(c, x, axes, keep)) return c.out(c.in(0));
  const Tensor y = F(x, axes, keep);
  c.out(from_ints(ints_of(valued(y)), y.shape(), c.type(0)));
}
void reduce_mean(Call& c) {
  if (c.floats(0)) return reduce<mean>(c);
  Axes axes;
  bool keep;
  const Tensor x = c.x(0);
  if (!axes_and_keep(c, x, axes, keep)) return c.out(c.in(0));
  const Tensor y = sum(x, axes, keep);
  const std::int64_t n = y.numel() ? x.numel() / y.numel() : 1;
  if (n == 0) c.wrong("averages nothing");
  c.out(map_ints(valued(y), c.type(0), [&](std::int64_t v) { return v / n; }));
}

template <bool Largest>
void extreme(Call& c) {
  const int type = c.type(0);
  Axes axes;
  bool keep;
  Tensor x = c.x(0);
  if (!axes_and_keep(c, x, axes, keep)) return c.out(c.in(0));
  bool empty = false;
  for (int i = 0; i < x.rank(); ++i)
    if (x.size(i) == 0 && (axes.empty() || std::find(axes.begin(), axes.end(), i) != axes.end())) empty = true;
  if (empty) {
    std::vector<std::int64_t> dims;
    for (int i = 0; i < x.rank(); ++i) {
      const bool gone = axes.empty() || std::find(axes.begin(), axes.end(), i) != axes.end();
      if (!gone) dims.push_back(x.size(i));
      else if (keep) dims.push_back(1);
    }
    if (!is_float_type(type)) {  // the end of the type's range, from which every other number leads away
      const bool is_signed = type == kInt8 || type == kInt16 || type == kInt32 || type == kInt64;
      const std::uint64_t most = type == kBool ? 1
                                 : is_signed   ? (std::uint64_t{1} << (type_info(type)->bits - 1)) - 1
                                               : ~std::uint64_t{0} >> (64 - type_info(type)->bits);
      const auto end = static_cast<std::int64_t>(Largest ? (is_signed ? ~most : 0) : most);
      const Shape shape = shape_of(dims, c);
      return c.out(from_ints(std::vector<std::int64_t>(static_cast<std::size_t>(shape.numel()), end), shape, type));
    }
    const double inf = std::numeric_limits<double>::infinity();
    return c.out(Tensor::full(shape_of(dims, c), Largest ? -inf : inf, x.dtype()), type);
  }
  if (type == kBool) x = cast(x, DType::u8);
  // Moved by 2^63, unsigned numbers are in the order of signed ones.
  const std::int64_t top = std::numeric_limits<std::int64_t>::min();
  if (is_unsigned64(type)) x = here(map_ints(c.in(0), kInt64, [&](std::int64_t v) { return v ^ top; }).tensor);
  const Tensor y = Largest ? amax(x, axes, keep) : amin(x, axes, keep);
  if (is_unsigned64(type)) return c.out(map_ints(valued(y), type, [&](std::int64_t v) { return v ^ top; }));
  c.out(type == kBool ? cast(y, DType::b8) : y, type);
}

constexpr Operator kTable[] = {
    {"ReduceSum", reduce_whole<sum>},
    {"ReduceProd", reduce_whole<prod>},
    {"ReduceMean", reduce_mean},
    {"ReduceMax", extreme<true>},
    {"ReduceMin", extreme<false>},
    {"ReduceL1", reduce<l1>},
    {"ReduceL2", reduce<l2>},
    {"ReduceLogSum", reduce<log_sum>},
    {"ReduceLogSumExp", reduce<log_sum_exp>},
    {"ReduceSumSquare", reduce<sum_square>},
};

}  // namespace

std::span<const Operator> reduce_operators() { return kTable; }

}  // namespace graft::onnx
