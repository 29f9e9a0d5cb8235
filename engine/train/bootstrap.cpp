#include "engine/train/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace graft {
namespace {
// Uniform in [0, n) without bias worth a name: 32 bits by multiplication.
std::size_t below(std::uint32_t bits, std::size_t n) { return static_cast<std::size_t>(std::uint64_t{bits} * n >> 32); }
}  // namespace

Interval paired_bootstrap(const std::vector<std::vector<std::int8_t>>& differences, double level, int resamples, std::uint64_t seed) {
  const std::size_t seeds = differences.size(), n = seeds ? differences[0].size() : 0;
  for (const auto& row : differences)
    if (row.size() != n) throw Error(Code::usage, "bootstrap: " + std::to_string(row.size()) + " samples beside " + std::to_string(n));
  if (n == 0 || resamples < 1) throw Error(Code::usage, "bootstrap: no samples");
  Interval out;
  double total = 0;
  for (const auto& row : differences)
    for (const std::int8_t d : row) total += d;
  const double count = static_cast<double>(seeds * n);
  out.mean = total / count;

  std::vector<double> means;
  std::vector<std::int32_t> sum(n);
  for (int r = 0; r < resamples; ++r) {
    std::fill(sum.begin(), sum.end(), 0);
    for (std::size_t s = 0; s < seeds; ++s) {
      const auto& row = differences[below(philox(seed, 2 * static_cast<std::uint64_t>(r), s)[0], seeds)];
      for (std::size_t i = 0; i < n; ++i) sum[i] += row[i];
    }
    std::int64_t drawn = 0;
    for (std::size_t i = 0; i < n; i += 4) {
      const auto bits = philox(seed, 2 * static_cast<std::uint64_t>(r) + 1, i / 4);
      for (std::size_t k = 0; k < 4 && i + k < n; ++k) drawn += sum[below(bits[k], n)];
    }
    means.push_back(static_cast<double>(drawn) / count);
  }
  std::sort(means.begin(), means.end());
  const auto at = [&](double q) {
    return means[std::min(means.size() - 1, static_cast<std::size_t>(std::floor(q * static_cast<double>(means.size()))))];
  };
  out.low = at((1 - level) / 2);
  out.high = at((1 + level) / 2);
  return out;
}

}  // namespace graft
