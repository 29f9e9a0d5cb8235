// Order statistics: what a time on a machine with other users can be summed up by.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace graft::lab {

// p in [0, 1], linear between neighbours; 0 of nothing.
inline double quantile(std::vector<double> x, double p) {
  if (x.empty()) return 0;
  std::sort(x.begin(), x.end());
  const double at = p * static_cast<double>(x.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  return i + 1 < x.size() ? x[i] + (at - static_cast<double>(i)) * (x[i + 1] - x[i]) : x[i];
}
inline double median(const std::vector<double>& x) { return quantile(x, 0.5); }

struct Interval {
  double low = 0, high = 0;
};
// The median of what x is drawn from, with at least 95 % confidence and without assuming a distribution: the binomial bound on order
// statistics. With fewer than six values there is no such interval; the extremes stand in.
inline Interval median_interval(std::vector<double> x) {
  if (x.empty()) return {};
  std::sort(x.begin(), x.end());
  const std::size_t n = x.size();
  double tail = std::pow(0.5, static_cast<double>(n)), term = tail;
  std::size_t k = 0;  // x[k] .. x[n-1-k] covers unless more than n-k values fall on one side
  while (2 * (k + 1) < n) {
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
    if (tail + term > 0.025) break;
    tail += term;
    ++k;
  }
  return {x[k], x[n - 1 - k]};
}
// Half of the interval as a share of the median; infinite for nothing.
inline double uncertainty(const std::vector<double>& x) {
  if (x.empty()) return INFINITY;
  const Interval i = median_interval(x);
  return (i.high - i.low) / 2 / median(x);
}

}  // namespace graft::lab
