#include "weights/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace graft {
namespace {

// Mean and deviation as Welford's update would give them, but by blocks: a block's own two passes are fast, and blocks are joined by Chan's
// formula.
template <class T>
TensorStatistics of(const T* x, std::int64_t n) {
  constexpr std::int64_t kBlock = 4096;
  TensorStatistics s;
  s.count = n;
  s.least = std::numeric_limits<double>::infinity();
  s.most = -s.least;
  double count = 0, mean = 0, squares = 0;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    double block[kBlock];
    std::int64_t m = 0;
    for (std::int64_t i = begin; i < std::min(n, begin + kBlock); ++i) {
      double v = 0;
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) v = static_cast<float>(x[i]);
      else v = static_cast<double>(x[i]);
      if (std::isnan(v)) ++s.nan;
      else if (std::isinf(v)) ++s.infinite;
      else block[m++] = v;
    }
    if (m == 0) continue;
    double sum = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      sum += block[i];
      s.zero += block[i] == 0;
      s.least = std::min(s.least, block[i]);
      s.most = std::max(s.most, block[i]);
    }
    const double of_block = sum / static_cast<double>(m), delta = of_block - mean, total = count + static_cast<double>(m);
    double spread = 0;
    for (std::int64_t i = 0; i < m; ++i) spread += (block[i] - of_block) * (block[i] - of_block);
    squares += spread + delta * delta * count * static_cast<double>(m) / total;
    mean += delta * static_cast<double>(m) / total;
    count = total;
  }
  if (count == 0) s.least = s.most = 0;
  s.mean = mean;
  s.deviation = count > 0 ? std::sqrt(squares / count) : 0;
  return s;
}

}  // namespace

TensorStatistics statistics_of(const Tensor& t) {
  switch (t.dtype()) {
    case DType::f64: return of(t.data<double>(), t.numel());
    case DType::f32: return of(t.data<float>(), t.numel());
    case DType::bf16: return of(t.data<bf16>(), t.numel());
    case DType::f16: return of(t.data<f16>(), t.numel());
    case DType::i64: return of(t.data<std::int64_t>(), t.numel());
    case DType::i32: return of(t.data<std::int32_t>(), t.numel());
    case DType::u8: return of(t.data<std::uint8_t>(), t.numel());
    case DType::b8: return of(static_cast<const std::uint8_t*>(t.raw()), t.numel());
  }
  return {};
}

}  // namespace graft
