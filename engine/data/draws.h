// Random numbers in order, at a place of a Philox stream, and what is drawn from them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/core/philox.h"

namespace graft {

// Four numbers stand at each position; `first` is the first position, consecutive ones are `step` apart.
struct Draws {
  std::uint64_t seed, stream, first = 0, step = 1, at = 0;
  double next() {  // [0, 1) in steps of 2^-24
    const auto words = philox(seed, stream, first + at / 4 * step);
    return static_cast<double>(unit_float(words[static_cast<std::size_t>(at++ % 4)]));
  }
  double within(double low, double high) { return low + (high - low) * next(); }
  std::int64_t below(std::int64_t n) { return std::min(static_cast<std::int64_t>(next() * static_cast<double>(n)), n - 1); }  // 0 to n - 1
};

// Beta(a, a), a > 0. a <= 1: Johnk 1964, in logarithms where the powers vanish; a > 1: Cheng 1978, algorithm BB. Both by rejection, so the
// number of draws varies.
inline double draw_beta(double a, Draws& r) {
  const auto open = [&] { return r.next() + 0x1p-25; };  // never 0 or 1, whose logarithms are no use
  if (a <= 1)
    for (;;) {
      const double x = std::log(open()) / a, y = std::log(open()) / a, high = std::max(x, y);
      const double sum = high + std::log(std::exp(x - high) + std::exp(y - high));  // log(u^(1/a) + v^(1/a))
      if (sum <= 0) return std::exp(x - sum);
    }
  const double rate = 1 / std::sqrt(a), gamma = a + std::sqrt(a);
  for (;;) {
    const double u = open(), u2 = open(), v = rate * std::log(u / (1 - u)), w = a * std::exp(v), z = u * u * u2,
                 t = gamma * v - 1.3862943611198906;  // log 4
    if (t + 2 * a * std::log(2 * a / (a + w)) >= std::log(z)) return w / (a + w);
  }
}

}  // namespace graft
