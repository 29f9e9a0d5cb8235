// Philox4x32-10 with vectors: as many counters side by side as there are 32-bit lanes; the words of kernels/core/philox.h. Included once
// per Highway target.
#if defined(GRAFT_SIMD_PHILOX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_PHILOX_INL_H
#undef GRAFT_SIMD_PHILOX_INL_H
#else
#define GRAFT_SIMD_PHILOX_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/core/counters.h"

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
  const auto even = hn::MulEven(x, k);                                                       // lanes 0, 2, ...
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, x))), k);  // lanes 1, 3, ...
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
}
#endif

// words[k][l] = word k of counter `first` + l, for the lanes l of a vector: element 4 * first + i has words[i & 3][i >> 2].
HWY_INLINE void philox_words(const Counters& counters, std::int64_t first, std::uint32_t (&words)[4][HWY_MAX_BYTES / 4]) {
  const U32 d;
  const std::uint64_t begin = counters.position + static_cast<std::uint64_t>(first);
  for (std::size_t l = 0; l < hn::Lanes(d); ++l) {
    words[0][l] = static_cast<std::uint32_t>(begin + l);
    words[1][l] = static_cast<std::uint32_t>((begin + l) >> 32);
  }
  U32V w0 = hn::LoadU(d, words[0]), w1 = hn::LoadU(d, words[1]);
  U32V w2 = hn::Set(d, static_cast<std::uint32_t>(counters.stream)), w3 = hn::Set(d, static_cast<std::uint32_t>(counters.stream >> 32));
  std::uint32_t k0 = static_cast<std::uint32_t>(counters.seed), k1 = static_cast<std::uint32_t>(counters.seed >> 32);
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
  hn::StoreU(w0, d, words[0]);
  hn::StoreU(w1, d, words[1]);
  hn::StoreU(w2, d, words[2]);
  hn::StoreU(w3, d, words[3]);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
