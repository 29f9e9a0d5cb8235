// The weight gradient on the device: its pixels are cut into ranges, each leaves partial sums [k][taps + 1] (the last column is dbias) in
// scratch, and a second kernel (fold.h) adds the ranges in their order. The cut depends on sizes alone.
#pragma once
#include <algorithm>

#include "kernels/conv/conv.h"

namespace graft::conv_split {

struct Split {
  std::int64_t each, ranges;  // pixels of a range
};
// Ranges of at least `least` pixels, so many that `tiles` blocks each make about 528 blocks, four for each of 132 multiprocessors.
inline Split cut(std::int64_t pixels, std::int64_t tiles, std::int64_t least) {
  const std::int64_t want = (528 + tiles - 1) / std::max<std::int64_t>(1, tiles);
  const std::int64_t each = std::max(least, (pixels + want - 1) / want + 15) / 16 * 16;
  return {each, std::max<std::int64_t>(1, (pixels + each - 1) / each)};
}
inline std::int64_t pixels(const ConvWeightGradArgs& a) { return a.dy.shape[0] * a.dy.shape[2] * a.dy.shape[3]; }
inline std::int64_t taps(const ConvWeightGradArgs& a) { return a.dweight.shape[1] * a.dweight.shape[2] * a.dweight.shape[3]; }
inline std::size_t bytes(const ConvWeightGradArgs& a, Split s) {
  return sizeof(float) * static_cast<std::size_t>(s.ranges * a.dweight.shape[0] * (taps(a) + 1));
}

inline bool channels_inner(const View& v) {
  const auto length = [](std::int64_t s) { return s < 0 ? -s : s; };
  return length(v.stride[1]) < length(v.stride[3]) || (v.shape[3] == 1 && length(v.stride[1]) < length(v.stride[2]));
}

inline Split gemm(const ConvWeightGradArgs& a) {
  const std::int64_t kg = a.dweight.shape[0] / a.geometry.groups;
  return cut(pixels(a), a.geometry.groups * ((kg + 63) / 64) * ((taps(a) + 63) / 64), 256);
}
inline std::int64_t depthwise_lanes(const ConvWeightGradArgs& a) { return channels_inner(a.dy) ? 32 : 1; }
inline Split depthwise(const ConvWeightGradArgs& a) {
  return cut(pixels(a), (a.dweight.shape[0] + depthwise_lanes(a) - 1) / depthwise_lanes(a), 512);
}

}  // namespace graft::conv_split
