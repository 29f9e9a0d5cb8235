// Walking one dense row of f32, bf16 or f16 with vectors. The last, partial vector is padded, so every element meets the same arithmetic.
// Included once per Highway target.
#if defined(GRAFT_SIMD_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_ROWS_INL_H
#undef GRAFT_SIMD_ROWS_INL_H
#else
#define GRAFT_SIMD_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// lanes [0, n) of memory, the rest `fill`
template <class T>
HWY_INLINE F32Vec load_part(F32 d, const T* p, std::int64_t n, float fill) {
  T buffer[HWY_MAX_BYTES / 4];
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) buffer[i] = T(fill);
  for (std::int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load_f32(d, buffer);
}
template <class T>
HWY_INLINE void store_part(F32 d, F32Vec v, T* p, std::int64_t n) {
  T buffer[HWY_MAX_BYTES / 4];
  store_f32(d, v, buffer);
  for (std::int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}

// The lanes of a vector added in a fixed order.
HWY_INLINE float sum_lanes(F32 d, F32Vec v) {
  float one[HWY_MAX_BYTES / 4];
  hn::StoreU(v, d, one);
  float s = one[0];
  for (std::size_t i = 1; i < hn::Lanes(d); ++i) s += one[i];
  return s;
}
// The same in double, for what goes on as a sum of many rows.
HWY_INLINE double sum_lanes_f64(F32 d, F32Vec v) {
  float one[HWY_MAX_BYTES / 4];
  hn::StoreU(v, d, one);
  double s = one[0];
  for (std::size_t i = 1; i < hn::Lanes(d); ++i) s += static_cast<double>(one[i]);
  return s;
}
HWY_INLINE float max_lanes(F32 d, F32Vec v) {
  float one[HWY_MAX_BYTES / 4];
  hn::StoreU(v, d, one);
  float s = one[0];
  for (std::size_t i = 1; i < hn::Lanes(d); ++i) s = one[i] > s || one[i] != one[i] ? one[i] : s;
  return s;
}

// step(vector of x[i...], vector accumulator) -> accumulator, over the row; lanes beyond the end hold `fill`.
template <class T, class F>
HWY_INLINE F32Vec fold_row(F32 d, const T* x, std::int64_t n, float fill, F32Vec start, F&& step) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) start = step(load_f32(d, x + i), start);
  if (i < n) start = step(load_part(d, x + i, n - i, fill), start);
  return start;
}

template <class T>
HWY_INLINE float row_top(F32 d, const T* x, std::int64_t n) {  // a NaN wins
  return max_lanes(d, fold_row(d, x, n, -HUGE_VALF, hn::Set(d, -HUGE_VALF),
                               [](F32Vec v, F32Vec m) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(v, m), hn::IsNaN(v)), v, m); }));
}
// sum(exp(x - top)); sink(exponentials, position, how many of them count) takes them on the way and may overwrite x.
template <class T, class F>
HWY_INLINE float row_sum(F32 d, const T* x, std::int64_t n, float top, F&& sink) {
  const auto shift = hn::Set(d, top);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  F32Vec sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto e = exp_f32(d, hn::Sub(load_f32(d, x + i), shift));
    sum = hn::Add(sum, e);
    sink(e, i, lanes);
  }
  float s = sum_lanes(d, sum);
  if (i < n) {  // lanes beyond the end must not count, not even as exp(-inf - -inf)
    const auto e = exp_f32(d, hn::Sub(load_part(d, x + i, n - i, 0), shift));
    float one[HWY_MAX_BYTES / 4];
    hn::StoreU(e, d, one);
    for (std::int64_t l = 0; l < n - i; ++l) s += one[l];
    sink(e, i, n - i);
  }
  return s;
}

// The maximum of the row and sum(exp(x - maximum)); a NaN shows in both.
struct RowStats {
  float top, sum;
};
template <class T>
HWY_INLINE RowStats row_stats(F32 d, const T* x, std::int64_t n) {
  const float top = row_top(d, x, n);
  return {top, row_sum(d, x, n, top, [](F32Vec, std::int64_t, std::int64_t) HWY_ATTR {})};
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
