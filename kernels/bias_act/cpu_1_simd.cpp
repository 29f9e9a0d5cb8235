// bias_act and its gradient with vectors (Highway) on f32, bf16 and f16. Pieces of 512 elements: their biases and dropout factors are laid
// out beside one another in L1 first, so that the loop over elements is one for every place of the bias. Bytes: x and the residual (dy and
// x) read once, y (dx) written once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bias_act/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/bias_act/plain.h"
#include "kernels/bias_act/rows.h"
#include "kernels/simd/activations-inl.h"
#include "kernels/simd/philox-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

constexpr std::int64_t kPiece = 512;  // elements; a multiple of 4 HWY_MAX_BYTES / 4

template <ActKind act>
HWY_INLINE F32Vec act_f32(F32 d, F32Vec v) {
  if constexpr (act == ActKind::relu) return relu_f32(d, v);
  else if constexpr (act == ActKind::gelu) return gelu_f32(d, v);
  else if constexpr (act == ActKind::silu) return silu_f32(d, v);
  else return v;
}
template <ActKind act>
HWY_INLINE F32Vec act_grad_f32(F32 d, F32Vec dy, F32Vec v) {
  if constexpr (act == ActKind::relu) return relu_grad_f32(d, dy, v);
  else if constexpr (act == ActKind::gelu) return gelu_grad_f32(d, dy, v);
  else if constexpr (act == ActKind::silu) return silu_grad_f32(d, dy, v);
  else return dy;
}

// Of elements [first, first + count): the bias of each, and what dropout multiplies it by (0: dropped).
template <class T>
HWY_INLINE void lay_bias(const View& x, const View& bias, std::int64_t first, std::int64_t count, float* to) {
  const std::int64_t channels = x.shape[1], inner = x.shape[2];
  const T* b = bias.as<const T>();
  std::int64_t c = first / inner % channels, within = first % inner;
  for (std::int64_t i = 0; i < count;) {
    if (inner == 1) {
      const std::int64_t n = std::min(channels - c, count - i);
      for (std::int64_t k = 0; k < n; ++k) to[i + k] = static_cast<float>(b[c + k]);
      i += n;
      c = 0;
    } else {
      const std::int64_t n = std::min(inner - within, count - i);
      std::fill(to + i, to + i + n, static_cast<float>(b[c]));
      i += n;
      within = 0;
      c = c + 1 < channels ? c + 1 : 0;
    }
  }
}
HWY_INLINE void lay_factors(const Dropping<float>& drop, const Counters& counters, std::int64_t first, std::int64_t count, float* to) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(F32()));
  for (std::int64_t i = 0; i < count; i += 4 * lanes) {
    std::uint32_t words[4][HWY_MAX_BYTES / 4];
    philox_words(counters, (first + i) / 4, words);
    for (std::int64_t k = 0; k < 4 * lanes; ++k) to[i + k] = words[k & 3][k >> 2] >= drop.threshold ? drop.scale : 0.0f;
  }
}
// A dropped element is 0 also where it was infinite.
HWY_INLINE F32Vec drop_f32(F32 d, F32Vec v, F32Vec factor) { return hn::IfThenElseZero(hn::Ne(factor, hn::Zero(d)), hn::Mul(v, factor)); }

// f(position, count, load(p), store(v, p)) over [0, count) in vectors, the last one padded
template <class F>
HWY_INLINE void each_vector(F32 d, std::int64_t count, F&& f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    f(
        i, [&](const auto* p) HWY_ATTR { return load_f32(d, p + i); }, [&](F32Vec v, auto* p) HWY_ATTR { store_f32(d, v, p + i); });
  if (i < count)
    f(
        i, [&](const auto* p) HWY_ATTR { return load_part(d, p + i, count - i, 0); },
        [&](F32Vec v, auto* p) HWY_ATTR { store_part(d, v, p + i, count - i); });
}

template <class T>
void forward_range(const BiasActArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const Dropping<float> drop(a);
  const Counters counters = Counters(a).here();
  visit_act(a.act, [&]<ActKind act>() HWY_ATTR {
    float biases[kPiece + HWY_MAX_BYTES / 4], factors[kPiece + HWY_MAX_BYTES / 4];
    for (std::int64_t first = begin; first < end; first += kPiece) {
      const std::int64_t count = std::min(kPiece, end - first);
      if (a.bias.data) lay_bias<T>(a.x, a.bias, first, count, biases);
      if (drop.any) lay_factors(drop, counters, first, count, factors);
      const T *x = a.x.as<const T>() + first, *residual = a.residual.data ? a.residual.as<const T>() + first : nullptr;
      T* y = a.y.as<T>() + first;
      each_vector(d, count, [&](std::int64_t i, auto load, auto store) HWY_ATTR {
        F32Vec v = load(x);
        if (a.bias.data) v = hn::Add(v, hn::LoadU(d, biases + i));
        v = act_f32<act>(d, v);
        if (drop.any) v = drop_f32(d, v, hn::LoadU(d, factors + i));
        if (residual) v = hn::Add(v, load(residual));
        store(v, y);
      });
    }
  });
}
template <class T>
void backward_range(const BiasActGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const Dropping<float> drop(a);
  const Counters counters = Counters(a).here();
  visit_act(a.act, [&]<ActKind act>() HWY_ATTR {
    float biases[kPiece + HWY_MAX_BYTES / 4], factors[kPiece + HWY_MAX_BYTES / 4];
    for (std::int64_t first = begin; first < end; first += kPiece) {
      const std::int64_t count = std::min(kPiece, end - first);
      if (act != ActKind::none && a.bias.data) lay_bias<T>(a.x, a.bias, first, count, biases);
      if (drop.any) lay_factors(drop, counters, first, count, factors);
      const T *x = a.x.data ? a.x.as<const T>() + first : nullptr, *dy = a.dy.as<const T>() + first;
      T* dx = a.dx.as<T>() + first;
      each_vector(d, count, [&](std::int64_t i, auto load, auto store) HWY_ATTR {
        F32Vec g = load(dy);
        if (drop.any) g = drop_f32(d, g, hn::LoadU(d, factors + i));
        if constexpr (act != ActKind::none) {
          F32Vec v = load(x);
          if (a.bias.data) v = hn::Add(v, hn::LoadU(d, biases + i));
          g = act_grad_f32<act>(d, g, v);
        }
        store(g, dx);
      });
    }
  });
}

void bias_act_range(const BiasActArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.x.dtype == DType::f32) forward_range<float>(a, begin, end);
  else if (a.x.dtype == DType::bf16) forward_range<bf16>(a, begin, end);
  else forward_range<f16>(a, begin, end);
}
void bias_act_grad_range(const BiasActGradArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.dy.dtype == DType::f32) backward_range<float>(a, begin, end);
  else if (a.dy.dtype == DType::bf16) backward_range<bf16>(a, begin, end);
  else backward_range<f16>(a, begin, end);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(bias_act_range);
HWY_EXPORT(bias_act_grad_range);

void bias_act_simd(Queue& q, const BiasActArgs& a) {
  const auto range = HWY_DYNAMIC_DISPATCH(bias_act_range);
  parallel_ranges(q.pool(), a.x.numel(), 16384, [&](std::int64_t b, std::int64_t e) { range(a, b, e); });
}
void bias_act_grad_simd(Queue& q, const BiasActGradArgs& a) {
  const auto range = HWY_DYNAMIC_DISPATCH(bias_act_grad_range);
  parallel_ranges(q.pool(), a.dy.numel(), 16384, [&](std::int64_t b, std::int64_t e) { range(a, b, e); });
}
}  // namespace graft
#endif
