// Is one way to train better than another? Both are asked about the same test samples, with the same seeds; what differs is paired, so that
// hard samples and lucky subsets count on both sides.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace graft {

struct Interval {
  double mean = 0, low = 0, high = 0;
  // "better", "worse" or "no evidence": does the interval lie on one side of zero?
  std::string verdict() const { return low > 0 ? "better" : high < 0 ? "worse" : "no evidence"; }
};
// differences[s][i]: what the first gained over the second with seed s on sample i, in -1, 0, 1. The mean and its percentile interval at
// `level` over `resamples` draws of seeds and, within them, of samples, both with replacement (Davison and Hinkley, Bootstrap Methods and
// their Application, 1997, 3.8). A function of its arguments and `seed`. Error(usage) where there is nothing or rows differ in length.
Interval paired_bootstrap(const std::vector<std::vector<std::int8_t>>& differences, double level = 0.95, int resamples = 2000,
                          std::uint64_t seed = 1);

}  // namespace graft
