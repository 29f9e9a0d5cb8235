// random: values that are a function of (seed, stream, position) alone (Philox4x32-10, Salmon et al. 2011), so that any thread, device or
// resume point draws the same. Element i of a call uses counter position + i/4, lane i%4 (normal: pairs of lanes, Box-Muller in double, see
// box_muller.h).
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class RandomKind {
  uniform,    // [a, b): a + (b-a) * u, u = (x >> 8) * 2^-24 (f64: 53 bits of two lanes)
  normal,     // mean a, standard deviation b
  bernoulli,  // 1 with probability a
  integer,    // integers in [a, b), by 64-bit multiply-shift of two lanes
};

struct RandomArgs {
  RandomKind kind;
  View out;  // dense; float, or integer / bool for integer and bernoulli
  double a = 0, b = 1;
  std::uint64_t seed = 0, stream = 0, position = 0;
  View offset = {};  // i64 [2] on the queue's device, added to stream and position when the kernel runs; or absent
};
const Family<RandomArgs>& random_family();

// dropout: y = keep ? x / (1 - p) : 0, keep decided by Philox at (seed, stream, position + i/4) for element i in row-major order: the
// gradient calls it again with dy and draws the same mask, which is never stored.
struct DropoutArgs {
  View x, y;  // dense, same shape; may be the same memory
  double p = 0.5;
  std::uint64_t seed = 0, stream = 0, position = 0;
  View offset = {};  // as RandomArgs::offset
};
const Family<DropoutArgs>& dropout_family();

}  // namespace graft
