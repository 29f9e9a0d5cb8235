// cross-entropy and its gradient with vectors (Highway): one row in L1, exp from simd/math-inl.h; logits f32, bf16 or f16 with dense rows.
// Bytes: the logits are read once forward, read and written once backward, read once and their gradient written once by the fused rows.
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

// loss_of(log(sum)): the loss of a row whose target is a class
template <class F>
HWY_INLINE void write_loss(const CrossEntropyArgs& a, std::int64_t r, const RowStats& s, F&& loss_of) {
  const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
  const float log_sum = std::log(s.sum);
  a.lse.as<float>()[r * a.lse.stride[0]] = s.top + log_sum;
  float& loss = a.loss.as<float>()[r * a.loss.stride[0]];
  if (target == a.ignore_index) loss = 0;
  else if (target < 0 || target >= a.logits.shape[1]) loss = std::numeric_limits<float>::quiet_NaN();
  else loss = loss_of(log_sum);
}
template <class T>
void write_loss(const CrossEntropyArgs& a, std::int64_t r, const T* x, const RowStats& s) {
  const T* w = a.class_weight.data ? a.class_weight.as<const T>() : nullptr;
  write_loss(a, r, s, [&](float log_sum) {
    return cross_entropy_of<T, float>(x, 1, w, a.class_weight.stride[0], a.logits.shape[1],
                                      a.target.as<const std::int64_t>()[r * a.target.stride[0]], static_cast<float>(a.smoothing), s.top,
                                      log_sum);
  });
}
template <class T>
void forward_rows(const CrossEntropyArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.logits.as<const T>() + r * a.logits.stride[0];
    write_loss(a, r, x, row_stats(d, x, a.logits.shape[1]));
  }
}

// to[c] = f(from[c]), whole vectors and the rest padded
template <class From, class To, class F>
HWY_INLINE void map_row(F32 d, const From* from, To* to, std::int64_t n, F&& f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= n; c += lanes) store_f32(d, f(load_f32(d, from + c)), to + c);
  if (c < n) store_part(d, f(load_part(d, from + c, n - c, 0)), to + c, n - c);
}

template <class T>
void backward_rows(const CrossEntropyGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
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
    map_row(d, x, dx, n, [&](F32Vec v) HWY_ATTR { return hn::Mul(scale, hn::Sub(exp_f32(d, hn::Sub(v, shift)), share)); });
    dx[target] = T(hit);
  }
}

template <class T>
void fused_rows(const CrossEntropyFusedArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.logits.shape[1];
  const float smoothing = static_cast<float>(a.smoothing), spread = smoothing / static_cast<float>(n),
              g = a.scale.data ? *a.scale.as<const float>() : 1;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.logits.as<const T>() + r * a.logits.stride[0];
    T* dx = a.dlogits.as<T>() + r * a.dlogits.stride[0];
    const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
    if (target < 0 || target >= n || target == a.ignore_index) {
      write_loss(a, r, x, row_stats(d, x, n));
      const float v = target == a.ignore_index ? 0.0f : std::numeric_limits<float>::quiet_NaN();
      for (std::int64_t c = 0; c < n; ++c) dx[c] = T(v);
      continue;
    }
    const auto scale = hn::Set(d, g), share = hn::Set(d, spread);
    const auto finish = [&](float e, float inverse) { return T(g * (e * inverse - (spread + (1 - smoothing)))); };
    if constexpr (std::is_same_v<T, float>) {
      if (smoothing == 0) {  // nothing of the row but the target's logit is wanted again: its exponentials take their place
        const float hit = x[target], top = row_top(d, x, n);
        const RowStats s{top, row_sum(d, x, n, top, [&](F32Vec e, std::int64_t at, std::int64_t count) HWY_ATTR {
                           if (count == static_cast<std::int64_t>(hn::Lanes(d))) store_f32(d, e, dx + at);
                           else store_part(d, e, dx + at, count);
                         })};
        write_loss(a, r, s, [&](float log_sum) { return log_sum - (hit - top); });
        const float inverse = 1 / s.sum, e = dx[target];
        const auto part = hn::Set(d, inverse);
        map_row(d, dx, dx, n, [&](F32Vec v) HWY_ATTR { return hn::Mul(scale, hn::Mul(v, part)); });
        dx[target] = finish(e, inverse);
        continue;
      }
    }
    const RowStats s = row_stats(d, x, n);
    write_loss(a, r, x, s);
    const float inverse = 1 / s.sum;
    const auto part = hn::Set(d, inverse), shift = hn::Set(d, s.top);
    const T at_target = finish(std::exp(static_cast<float>(x[target]) - s.top), inverse);  // first: dlogits may be the logits
    map_row(d, x, dx, n, [&](F32Vec v) HWY_ATTR { return hn::Mul(scale, hn::Sub(hn::Mul(exp_f32(d, hn::Sub(v, shift)), part), share)); });
    dx[target] = at_target;
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

void cross_entropy_fused_rows(const CrossEntropyFusedArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.logits.dtype == DType::f32) fused_rows<float>(a, begin, end);
  else if (a.logits.dtype == DType::bf16) fused_rows<bf16>(a, begin, end);
  else fused_rows<f16>(a, begin, end);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(cross_entropy_grad_rows);
HWY_EXPORT(cross_entropy_fused_rows);

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
void cross_entropy_fused_simd(Queue& q, const CrossEntropyFusedArgs& a) {
  const auto rows = HWY_DYNAMIC_DISPATCH(cross_entropy_fused_rows);
  parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
}
}  // namespace graft
#endif
