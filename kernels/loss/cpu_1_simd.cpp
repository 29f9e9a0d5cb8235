// cross-entropy and its gradient with vectors (Highway): one row in L1, exp from simd/math-inl.h; logits f32, bf16 or f16 with dense rows.
// Bytes: the logits are read once forward, read and written once backward.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/loss/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/loss/plain.h"
#include "kernels/loss/rows.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

template <class T>
void forward_rows(const CrossEntropyArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.logits.shape[1];
  const T* w = a.class_weight.data ? a.class_weight.as<const T>() : nullptr;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.logits.as<const T>() + r * a.logits.stride[0];
    const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
    const RowStats s = row_stats(d, x, n);
    const float log_sum = std::log(s.sum);
    a.lse.as<float>()[r * a.lse.stride[0]] = s.top + log_sum;
    float& loss = a.loss.as<float>()[r * a.loss.stride[0]];
    if (target == a.ignore_index) loss = 0;
    else if (target < 0 || target >= n) loss = std::numeric_limits<float>::quiet_NaN();
    else loss = cross_entropy_of<T, float>(x, 1, w, a.class_weight.stride[0], n, target, static_cast<float>(a.smoothing), s.top, log_sum);
  }
}

template <class T>
void backward_rows(const CrossEntropyGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t n = a.logits.shape[1];
  const float smoothing = static_cast<float>(a.smoothing), spread = smoothing / static_cast<float>(n);
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.logits.as<const T>() + r * a.logits.stride[0];
    T* dx = a.dlogits.as<T>() + r * a.dlogits.stride[0];
    const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
    if (target < 0 || target >= n || target == a.ignore_index) {
      const float v = target == a.ignore_index ? 0.0f : std::numeric_limits<float>::quiet_NaN();
      for (std::int64_t c = 0; c < n; ++c) dx[c] = T(v);
      continue;
    }
    const float g = a.dloss.as<const float>()[r * a.dloss.stride[0]], lse = a.lse.as<const float>()[r * a.lse.stride[0]];
    // the target's element first: dlogits may be the logits
    const float hit = g * (std::exp(static_cast<float>(x[target]) - lse) - (spread + (1 - smoothing)));
    const auto shift = hn::Set(d, lse), scale = hn::Set(d, g), share = hn::Set(d, spread);
    const auto f = [&](F32Vec v) HWY_ATTR { return hn::Mul(scale, hn::Sub(exp_f32(d, hn::Sub(v, shift)), share)); };
    std::int64_t c = 0;
    for (; c + lanes <= n; c += lanes) store_f32(d, f(load_f32(d, x + c)), dx + c);
    if (c < n) store_part(d, f(load_part(d, x + c, n - c, 0)), dx + c, n - c);
    dx[target] = T(hit);
  }
}

void cross_entropy_rows(const CrossEntropyArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.logits.dtype == DType::f32) forward_rows<float>(a, begin, end);
  else if (a.logits.dtype == DType::bf16) forward_rows<bf16>(a, begin, end);
  else forward_rows<f16>(a, begin, end);
}
void cross_entropy_grad_rows(const CrossEntropyGradArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.logits.dtype == DType::f32) backward_rows<float>(a, begin, end);
  else if (a.logits.dtype == DType::bf16) backward_rows<bf16>(a, begin, end);
  else backward_rows<f16>(a, begin, end);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(cross_entropy_grad_rows);

namespace {
std::int64_t grain(std::int64_t classes) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, classes)); }
}  // namespace

void cross_entropy_simd(Queue& q, const CrossEntropyArgs& a) {
  const auto rows = HWY_DYNAMIC_DISPATCH(cross_entropy_rows);
  parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
}
void cross_entropy_grad_simd(Queue& q, const CrossEntropyGradArgs& a) {
  const auto rows = HWY_DYNAMIC_DISPATCH(cross_entropy_grad_rows);
  parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
}
}  // namespace graft
#endif
