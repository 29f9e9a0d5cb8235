// softmax, log-softmax and their gradients with vectors (Highway): a row stays in L1 over its three visits; exp from simd/math-inl.h.
// f32, bf16, f16; last axis dense. A few rows per task. Bytes: one read and one write per element from memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/simd/rows-inl.h"
#include "kernels/softmax/rows.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// x, y: one dense row of n
template <class T>
void softmax_row(const T* x, T* y, std::int64_t n, bool log) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const RowStats s = row_stats(d, x, n);
  const auto top = hn::Set(d, s.top);
  const auto tail = hn::Set(d, log ? std::log(s.sum) : 1 / s.sum);
  const auto f = [&](F32Vec v) HWY_ATTR { return log ? hn::Sub(hn::Sub(v, top), tail) : hn::Mul(exp_f32(d, hn::Sub(v, top)), tail); };
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_f32(d, f(load_f32(d, x + i)), y + i);
  if (i < n) store_part(d, f(load_part(d, x + i, n - i, 0)), y + i, n - i);
}

template <class T>
void softmax_grad_row(const T* y, const T* dy, T* dx, std::int64_t n, bool log) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // Four chains of 16 sums at a time, which then go to the sum of the row: with vectors of four lanes (NEON, SSE4) one chain along a long
  // row was less exact than allowed, and waited for each addition.
  constexpr std::int64_t kChain = 16;
  const auto add = [&](F32Vec sum, F32Vec p, F32Vec g) HWY_ATTR { return log ? hn::Add(sum, g) : hn::MulAdd(g, p, sum); };
  F32Vec total = hn::Zero(d);
  std::int64_t i = 0;
  while (i + 4 * lanes <= n) {
    F32Vec v[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (const std::int64_t end = i + 4 * lanes * kChain; i < end && i + 4 * lanes <= n; i += 4 * lanes)
      for (std::int64_t k = 0; k < 4; ++k) v[k] = add(v[k], load_f32(d, y + i + k * lanes), load_f32(d, dy + i + k * lanes));
    total = hn::Add(total, hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3])));
  }
  for (; i + lanes <= n; i += lanes) total = add(total, load_f32(d, y + i), load_f32(d, dy + i));
  if (i < n) total = add(total, load_part(d, y + i, n - i, 0), load_part(d, dy + i, n - i, 0));
  const auto sum = hn::Set(d, static_cast<float>(sum_lanes_f64(d, total)));
  const auto f = [&](F32Vec p, F32Vec g) HWY_ATTR { return log ? hn::NegMulAdd(exp_f32(d, p), sum, g) : hn::Mul(p, hn::Sub(g, sum)); };
  for (i = 0; i + lanes <= n; i += lanes) store_f32(d, f(load_f32(d, y + i), load_f32(d, dy + i)), dx + i);
  if (i < n) store_part(d, f(load_part(d, y + i, n - i, 0), load_part(d, dy + i, n - i, 0)), dx + i, n - i);
}

template <class F>
void visit_f32_half(DType t, F&& f) {
  if (t == DType::f32) f.template operator()<float>();
  else if (t == DType::bf16) f.template operator()<bf16>();
  else f.template operator()<f16>();
}
void softmax_rows(const SoftmaxArgs& a, std::int64_t begin, std::int64_t end) {
  visit_f32_half(a.x.dtype, [&]<class T>() {
    for (std::int64_t r = begin; r < end; ++r)
      softmax_row(a.x.as<const T>() + r * a.x.stride[0], a.y.as<T>() + r * a.y.stride[0], a.x.shape[1], a.log);
  });
}
void softmax_grad_rows(const SoftmaxGradArgs& a, std::int64_t begin, std::int64_t end) {
  visit_f32_half(a.y.dtype, [&]<class T>() {
    for (std::int64_t r = begin; r < end; ++r)
      softmax_grad_row(a.y.as<const T>() + r * a.y.stride[0], a.dy.as<const T>() + r * a.dy.stride[0], a.dx.as<T>() + r * a.dx.stride[0],
                       a.y.shape[1], a.log);
  });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_grad_rows);

namespace {
std::int64_t grain(std::int64_t cols) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cols)); }
}  // namespace

void softmax_simd(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  const auto rows = HWY_DYNAMIC_DISPATCH(softmax_rows);
  parallel_ranges(q.pool(), a.x.shape[0], grain(a.x.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
}
void softmax_grad_simd(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  const auto rows = HWY_DYNAMIC_DISPATCH(softmax_grad_rows);
  parallel_ranges(q.pool(), a.y.shape[0], grain(a.y.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
}
}  // namespace graft
#endif
