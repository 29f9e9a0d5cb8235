// dropout with vectors (Highway): as many Philox counters side by side as there are 32-bit lanes, kept as four vectors of words that are
// transposed in memory to element order. f32. Bound by Philox: 10 rounds of two 32 x 32 -> 64 bit products for four elements.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/random/plain.h"
#include "kernels/random/rows.h"
#include "kernels/simd/philox-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// counters [begin, end) of four elements each; x, y are the whole tensors of n elements
void dropout_counters(const DropoutArgs& a, std::int64_t n, std::int64_t begin, std::int64_t end) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(U32()));
  const Counters counters = Counters(a).here();
  const std::uint32_t threshold = dropout_threshold(a.p);
  const float scale = static_cast<float>(1 / (1 - a.p));
  const float* x = a.x.as<const float>();
  float* y = a.y.as<float>();
  for (std::int64_t c = begin; c < end; c += lanes) {
    std::uint32_t words[4][HWY_MAX_BYTES / 4];
    philox_words(counters, c, words);
    const std::int64_t first = 4 * c, count = std::min(4 * std::min(lanes, end - c), n - first);
    for (std::int64_t i = 0; i < count; ++i) {
      const float v = x[first + i] * scale;
      y[first + i] = words[i & 3][i >> 2] >= threshold ? v : 0.0f;
    }
  }
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(dropout_counters);

void dropout_simd(Queue& q, const DropoutArgs& a) {
  const auto counters = HWY_DYNAMIC_DISPATCH(dropout_counters);
  const std::int64_t n = a.x.numel();
  parallel_ranges(q.pool(), (n + 3) / 4, 4096, [&](std::int64_t b, std::int64_t e) { counters(a, n, b, e); });
}
}  // namespace graft
#endif
