// Sums over one dense row of f32 with vectors, and a walk over its vectors whose last one is partial. Included once per Highway target.
#if defined(GRAFT_NORM_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_NORM_VECTORS_INL_H
#undef GRAFT_NORM_VECTORS_INL_H
#else
#define GRAFT_NORM_VECTORS_INL_H
#endif

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// sum over the row of e = (x - shift) - delta, or of its square; the mean as shift + delta, for the reason in loops.h
HWY_INLINE float sum_row(F32 d, const float* x, std::int64_t n, float shift, float delta, bool squares) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto s = hn::Set(d, shift), t = hn::Set(d, delta);
  F32Vec v[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  const auto add = [&](F32Vec sum, F32Vec y) HWY_ATTR {
    const auto e = hn::Sub(hn::Sub(y, s), t);
    return squares ? hn::MulAdd(e, e, sum) : hn::Add(sum, e);
  };
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int k = 0; k < 4; ++k) v[k] = add(v[k], hn::LoadU(d, x + i + k * lanes));
  for (; i + lanes <= n; i += lanes) v[0] = add(v[0], hn::LoadU(d, x + i));
  if (i < n) {  // lanes beyond the end must add 0
    float part[HWY_MAX_BYTES / 4] = {};
    for (std::int64_t k = 0; k < n - i; ++k) {
      const float e = (x[i + k] - shift) - delta;
      part[k] = squares ? e * e : e;
    }
    v[1] = hn::Add(v[1], hn::LoadU(d, part));
  }
  return sum_lanes(d, hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3])));
}
// f(vector index i, count of valid lanes or all)
template <class F>
HWY_INLINE void each_vector(F32 d, std::int64_t n, F&& f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, lanes);
  if (i < n) f(i, n - i);
}
HWY_INLINE F32Vec load_some(F32 d, const float* p, std::int64_t n) {
  return n == static_cast<std::int64_t>(hn::Lanes(d)) ? hn::LoadU(d, p) : load_part(d, p, n, 0);
}
HWY_INLINE void store_some(F32 d, F32Vec v, float* p, std::int64_t n) {
  if (n == static_cast<std::int64_t>(hn::Lanes(d))) hn::StoreU(v, d, p);
  else store_part(d, v, p, n);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
