// random and dropout with vectors (Highway): as many Philox counters side by side as there are 32-bit lanes, kept as four vectors of words
// that are interleaved to element order. f32. Bound by Philox: 10 rounds of two 32 x 32 -> 64 bit products for four elements; normals by
// their double arithmetic: a division, a square root and about 60 sums and products for two elements (box_muller-inl.h).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/random/box_muller-inl.h"
#include "kernels/random/plain.h"
#include "kernels/random/rows.h"
#include "kernels/simd/philox-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// The values of random_four, plain.h, rounded to f32: of as many counters as a vector has doubles, elements in order.
template <RandomKind kind>
HWY_INLINE void draw(const RandomArgs& a, const std::uint32_t (&words)[4][HWY_MAX_BYTES / 4], std::size_t at, float* to) {
  const F64 d;
  const Words dw;
  const hn::Rebind<float, F64> df;
  const auto word = [&](int k) { return hn::LoadU(dw, &words[k][at]); };
  if constexpr (kind == RandomKind::normal) {
    F64V v0, v1, v2, v3;
    box_muller(word(0), word(1), a.a, a.b, v0, v1);
    box_muller(word(2), word(3), a.a, a.b, v2, v3);
    hn::StoreInterleaved4(hn::DemoteTo(df, v0), hn::DemoteTo(df, v1), hn::DemoteTo(df, v2), hn::DemoteTo(df, v3), df, to);
  } else {
    const auto one = [&](int k) {
      const auto fraction = hn::BitCast(hn::RebindToSigned<Words>(), hn::ShiftRight<8>(word(k)));
      const auto u = hn::Mul(hn::PromoteTo(d, fraction), hn::Set(d, 0x1p-24));
      if constexpr (kind == RandomKind::uniform) return hn::DemoteTo(df, hn::Add(hn::Set(d, a.a), hn::Mul(hn::Set(d, a.b - a.a), u)));
      else return hn::DemoteTo(df, hn::IfThenElseZero(hn::Lt(u, hn::Set(d, a.a)), hn::Set(d, 1.0)));
    };
    hn::StoreInterleaved4(one(0), one(1), one(2), one(3), df, to);
  }
}

// counters [begin, end) of four elements each; out: all n elements
template <RandomKind kind>
HWY_INLINE void draw_counters(const RandomArgs& a, std::int64_t n, std::int64_t begin, std::int64_t end) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(U32())), step = static_cast<std::int64_t>(hn::Lanes(F64()));
  const Counters counters = Counters(a).here();
  float* out = a.out.as<float>();
  for (std::int64_t c = begin; c < end; c += lanes) {
    std::uint32_t words[4][HWY_MAX_BYTES / 4];
    philox_words(counters, c, words);
    const std::int64_t count = std::min(4 * std::min(lanes, end - c), n - 4 * c);
    float last[HWY_MAX_BYTES];  // what does not fill the vectors is drawn here
    float* to = count == 4 * lanes ? out + 4 * c : last;
    for (std::int64_t at = 0; at < lanes; at += step) draw<kind>(a, words, static_cast<std::size_t>(at), to + 4 * at);
    if (to == last) std::copy_n(last, count, out + 4 * c);
  }
}
void random_counters(const RandomArgs& a, std::int64_t n, std::int64_t begin, std::int64_t end) {
  switch (a.kind) {
    case RandomKind::uniform: return draw_counters<RandomKind::uniform>(a, n, begin, end);
    case RandomKind::normal: return draw_counters<RandomKind::normal>(a, n, begin, end);
    default: return draw_counters<RandomKind::bernoulli>(a, n, begin, end);  // integers are not among the row's limits
  }
}

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
    if (count == 4 * lanes) {
      const U32 du;
      const hn::ScalableTag<float> d;
      std::uint32_t ordered[HWY_MAX_BYTES];
      const auto word = [&](int k) { return hn::LoadU(du, words[k]); };
      hn::StoreInterleaved4(word(0), word(1), word(2), word(3), du, ordered);
      for (std::int64_t i = 0; i < count; i += lanes) {
        const auto w = hn::LoadU(du, ordered + i);
        const auto keep = hn::RebindMask(d, hn::Eq(hn::Max(w, hn::Set(du, threshold)), w));
        hn::StoreU(hn::IfThenElseZero(keep, hn::Mul(hn::LoadU(d, x + first + i), hn::Set(d, scale))), d, y + first + i);
      }
      continue;
    }
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
HWY_EXPORT(random_counters);
HWY_EXPORT(dropout_counters);

void random_simd(Queue& q, const RandomArgs& a) {
  const auto counters = HWY_DYNAMIC_DISPATCH(random_counters);
  const std::int64_t n = a.out.numel();
  parallel_ranges(q.pool(), (n + 3) / 4, 4096, [&](std::int64_t b, std::int64_t e) { counters(a, n, b, e); });
}

void dropout_simd(Queue& q, const DropoutArgs& a) {
  const auto counters = HWY_DYNAMIC_DISPATCH(dropout_counters);
  const std::int64_t n = a.x.numel();
  parallel_ranges(q.pool(), (n + 3) / 4, 4096, [&](std::int64_t b, std::int64_t e) { counters(a, n, b, e); });
}
}  // namespace graft
#endif
