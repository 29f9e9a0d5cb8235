// Parts of tensors: cut out, put around, turned.
#include <algorithm>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

void slice_axes(Call& c) {
  Tensor x = c.x(0);
  std::vector<std::int64_t> starts, ends, axes, steps;
  if (!list_or_input(c, "starts", 1, starts) || !list_or_input(c, "ends", 2, ends)) c.wrong("has no starts or ends");
  if (!list_or_input(c, "axes", 3, axes))
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (c.has(std::size_t{4})) steps = c.ints(4);
  else steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    c.wrong("has starts, ends, axes and steps of different lengths");
  const std::vector<int> at = axes_of(c, axes, x.rank());
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (steps[i] == 0) c.wrong("has the step 0");
    x = slice(x, at[i], starts[i], ends[i], steps[i]);
  }
  c.out(x, c.type(0));
}

void split_axis(Call& c) {
  const Tensor x = c.x(0);
  const int a = c.axis(c.attr("axis", 0), x.rank());
  std::vector<std::int64_t> sizes;
  const std::int64_t n = x.size(a), parts = static_cast<std::int64_t>(c.outputs());
  if (!list_or_input(c, "split", 1, sizes)) {
    const std::int64_t count = c.attr("num_outputs", parts);
    if (count != parts) c.wrong("splits into " + std::to_string(count) + " parts for " + std::to_string(parts) + " outputs");
    const std::int64_t each = (n + count - 1) / count;
    if (c.opset < 18 && n % count) c.wrong("cannot split " + std::to_string(n) + " into " + std::to_string(count) + " equal parts");
    for (std::int64_t i = 0, left = n; i < count; ++i) sizes.push_back(std::min(each, left)), left -= sizes.back();
  }
  if (static_cast<std::int64_t>(sizes.size()) < parts)
    c.wrong("has " + std::to_string(sizes.size()) + " sizes for " + std::to_string(parts) + " outputs");
  std::int64_t at = 0;
  for (const std::int64_t s : sizes) {
    if (s < 0 || s > n - at) c.wrong("splits more than the " + std::to_string(n) + " there are");
    c.out(slice(x, a, at, at + s), c.type(0));
    at += s;
  }
  if (at != n) c.wrong("splits " + std::to_string(at) + " of " + std::to_string(n));
}

// Which element of an axis of n stands at position i before or behind it.
std::int64_t mirrored(std::int64_t i, std::int64_t n) {
  if (n == 1) return 0;
  const std::int64_t period = 2 * (n - 1), r = ((i % period) + period) % period;
  return r < n ? r : period - r;
}
void pad_axes(Call& c) {
  Tensor x = c.x(0);
  const int rank = x.rank();
  std::vector<std::int64_t> given, amounts(static_cast<std::size_t>(2 * rank), 0), axes;
  if (!list_or_input(c, c.has("paddings") ? "paddings" : "pads", 1, given)) c.wrong("has no pads");
  if (c.has(std::size_t{3})) axes = c.ints(3);
  else
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  const std::vector<int> at = axes_of(c, axes, rank);
  if (given.size() != 2 * at.size()) c.wrong("has " + std::to_string(given.size()) + " pads for " + std::to_string(at.size()) + " axes");
  for (std::size_t i = 0; i < at.size(); ++i) {
    amounts[static_cast<std::size_t>(at[i])] = given[i];
    amounts[static_cast<std::size_t>(at[i] + rank)] = given[i + at.size()];
  }
  const std::string mode = c.attr("mode", "constant");
  const double value = c.has(std::size_t{2}) ? c.number(2) : c.attr("value", 0.0);
  std::vector<std::int64_t> sizes;
  for (int i = 0; i < rank; ++i) {
    const std::int64_t before = amounts[static_cast<std::size_t>(i)], after = amounts[static_cast<std::size_t>(i + rank)];
    if (std::abs(before) > std::int64_t{1} << 40 || std::abs(after) > std::int64_t{1} << 40) c.wrong("pads more than memory holds");
    sizes.push_back(x.size(i) + before + after);
  }
  const Shape out = shape_of(sizes, c);
  for (int i = 0; i < rank; ++i) {
    const std::int64_t before = amounts[static_cast<std::size_t>(i)], n = x.size(i);
    if (out[i] == n && before == 0) continue;
    if (mode == "constant") {
      const std::int64_t first = std::max<std::int64_t>(0, -before), last = std::min(n, out[i] - before);
      x = slice(x, i, first, std::max(first, last));
      std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(rank), {0, 0});
      around[static_cast<std::size_t>(i)].first = std::max<std::int64_t>(0, before);
      around[static_cast<std::size_t>(i)].second = out[i] - std::max<std::int64_t>(0, before) - x.size(i);
      x = pad(x, around, value);
      continue;
    }
    if (n == 0) c.wrong("repeats what is empty");
    std::vector<std::int64_t> from(static_cast<std::size_t>(out[i]));
    for (std::int64_t k = 0; k < out[i]; ++k) {
      const std::int64_t p = k - before;
      from[static_cast<std::size_t>(k)] = mode == "reflect" ? mirrored(p, n)
                                          : mode == "edge"  ? std::clamp<std::int64_t>(p, 0, n - 1)
                                          : mode == "wrap"  ? ((p % n) + n) % n
                                                            : -1;
    }
    if (mode != "reflect" && mode != "edge" && mode != "wrap") c.wrong("has the mode '" + mode + "'");
    x = index_select(x, i, here(from_ints(from, {out[i]}, kInt64).tensor));
  }
  c.out(x, c.type(0));
}

void center_crop_pad(Call& c) {
  Tensor x = c.x(0);
  const std::vector<std::int64_t> want = c.ints(1);
  std::vector<std::int64_t> axes = c.list("axes");
  if (!c.has("axes"))
    for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  const std::vector<int> at = axes_of(c, axes, x.rank());
  if (want.size() != at.size()) c.wrong("has " + std::to_string(want.size()) + " sizes for " + std::to_string(at.size()) + " axes");
  for (std::size_t i = 0; i < at.size(); ++i) {
    const std::int64_t n = x.size(at[i]);
    shape_of({want[i]}, c);
    if (want[i] <= n) {
      const std::int64_t first = (n - want[i]) / 2;
      x = slice(x, at[i], first, first + want[i]);
    } else {
      std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(x.rank()), {0, 0});
      around[static_cast<std::size_t>(at[i])] = {(want[i] - n) / 2, want[i] - n - (want[i] - n) / 2};
      x = pad(x, around);
    }
  }
  c.out(x, c.type(0));
}

void reverse_sequence(Call& c) {
  const Tensor x = c.x(0);
  const int time = c.axis(c.attr("time_axis", 0), x.rank()), batch = c.axis(c.attr("batch_axis", 1), x.rank());
  const std::vector<std::int64_t> lengths = c.ints(1);
  const std::int64_t t = x.size(time), b = x.size(batch);
  if (time == batch || static_cast<std::int64_t>(lengths.size()) != b)
    c.wrong("has " + std::to_string(lengths.size()) + " lengths for " + x.str());
  Shape small;
  for (int i = 0; i < x.rank(); ++i) small.push_back(i == time || i == batch ? x.size(i) : 1);
  std::vector<std::int64_t> from(static_cast<std::size_t>(t * b));
  for (std::int64_t i = 0; i < t; ++i)
    for (std::int64_t k = 0; k < b; ++k) {
      const std::int64_t n = lengths[static_cast<std::size_t>(k)];
      if (n < 0 || n > t) c.wrong("has the length " + std::to_string(n) + " for " + std::to_string(t) + " steps");
      from[static_cast<std::size_t>(time < batch ? i * b + k : k * t + i)] = i < n ? n - 1 - i : i;
    }
  c.out(gather(x, time, contiguous(expand(here(from_ints(from, small, kInt64).tensor), x.shape()))), c.type(0));
}

constexpr Operator kTable[] = {
    {"Slice", slice_axes},
    {"Split", split_axis},
    {"Pad", pad_axes},
    {"CenterCropPad", center_crop_pad},
    {"ReverseSequence", reverse_sequence},
};

}  // namespace

std::span<const Operator> slice_operators() { return kTable; }

}  // namespace graft::onnx
