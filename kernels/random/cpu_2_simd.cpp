// dropout with vectors (Highway): as many Philox counters side by side as there are 32-bit lanes, kept as four vectors of words that are
// transposed in memory to element order. f32. Bound by Philox: 10 rounds of two 32 x 32 -> 64 bit products for four elements.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/random/plain.h"
#include "kernels/random/rows.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using U32 = hn::ScalableTag<std::uint32_t>;
using U32V = hn::Vec<U32>;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void multiply(U32 d, U32V x, std::uint32_t m, U32V& high, U32V& low) {
  const std::uint64_t p = std::uint64_t{hn::GetLane(x)} * m;
  high = hn::Set(d, static_cast<std::uint32_t>(p >> 32));
  low = hn::Set(d, static_cast<std::uint32_t>(p));
}
#else
HWY_INLINE void multiply(U32 d, U32V x, std::uint32_t m, U32V& high, U32V& low) {
  const hn::Repartition<std::uint64_t, U32> d64;
  const auto k = hn::Set(d, m);
  const auto even = hn::MulEven(x, k);                                            // lanes 0, 2, ...
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, x))), k);  // lanes 1, 3, ...
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
}
#endif

// counters [begin, end) of four elements each; x, y are the whole tensors of n elements
void dropout_counters(const DropoutArgs& a, std::int64_t n, std::int64_t begin, std::int64_t end) {
  const U32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::uint32_t threshold = dropout_threshold(a.p);
  const float scale = static_cast<float>(1 / (1 - a.p));
  const float* x = a.x.as<const float>();
  float* y = a.y.as<float>();
  for (std::int64_t c = begin; c < end; c += lanes) {
    std::uint32_t low_words[HWY_MAX_BYTES / 4], high_words[HWY_MAX_BYTES / 4];
    for (std::int64_t l = 0; l < lanes; ++l) {
      const std::uint64_t at = a.position + static_cast<std::uint64_t>(c + l);
      low_words[l] = static_cast<std::uint32_t>(at);
      high_words[l] = static_cast<std::uint32_t>(at >> 32);
    }
    U32V w0 = hn::LoadU(d, low_words), w1 = hn::LoadU(d, high_words);
    U32V w2 = hn::Set(d, static_cast<std::uint32_t>(a.stream)), w3 = hn::Set(d, static_cast<std::uint32_t>(a.stream >> 32));
    std::uint32_t k0 = static_cast<std::uint32_t>(a.seed), k1 = static_cast<std::uint32_t>(a.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      U32V ah, al, bh, bl;
      multiply(d, w0, 0xD2511F53u, ah, al);
      multiply(d, w2, 0xCD9E8D57u, bh, bl);
      w0 = hn::Xor(hn::Xor(bh, w1), hn::Set(d, k0));
      w1 = bl;
      w2 = hn::Xor(hn::Xor(ah, w3), hn::Set(d, k1));
      w3 = al;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    std::uint32_t words[4][HWY_MAX_BYTES / 4];
    hn::StoreU(w0, d, words[0]);
    hn::StoreU(w1, d, words[1]);
    hn::StoreU(w2, d, words[2]);
    hn::StoreU(w3, d, words[3]);
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
