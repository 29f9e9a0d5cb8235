// The part of the preflight that looks at images and labels alone.
#pragma once
#include "engine/train/preflight.h"

namespace graft {

// What the checks of the data say to those after them.
struct DataVerdict {
  bool usable = true;  // a step can be run on it and its numbers would mean something
  bool scaled = true;  // inputs are near mean 0 and deviation 1
  bool signal = true;  // labels go with images, or nobody can tell
  double mean = 0, deviation = 1;
};
DataVerdict check_data(const Rig& rig, bool full, std::vector<Finding>& findings);

// Do two labellings of the same samples agree more than they would if one of them were dealt out at random? The number of agreements is
// compared with its mean and deviation over all permutations (Mantel and Haenszel's statistic for independence). Returns how many
// deviations it lies above the mean.
struct Agreement {
  std::int64_t hits = 0, samples = 0;
  double expected = 0, deviations = 0;
  // One in a thousand data sets without any signal lies above this: the 0.999 quantile of the normal distribution.
  static constexpr double kSeen = 3.09;
  bool seen() const { return deviations > kSeen; }
  // Would twice the agreements of chance have been seen? If not, there are too few samples to say anything.
  bool telling() const;
  double deviation = 0;  // of the number of agreements
};
Agreement agreement(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b);

}  // namespace graft
