// LayerNorm and RMSNorm over dense rows and their gradient, with vectors (Highway), f32. A row is read twice for its statistics and once
// for the result, from L1 where it fits. dweight and dbias: columns in vectors, rows in blocks of 64 whose sums are added in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/cpu_1_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/norm/rows.h"
#include "kernels/norm/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

void row_forward(const RowNormArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.x.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x.as<const float>() + r * a.x.stride[0];
    float* y = a.y.as<float>() + r * a.y.stride[0];
    const float count = static_cast<float>(n);
    const float shift = a.rms || n == 0 ? 0.0f : x[0], delta = a.rms ? 0.0f : sum_row(d, x, n, shift, 0, false) / count;
    const float rstd = 1 / std::sqrt(sum_row(d, x, n, shift, delta, true) / count + static_cast<float>(a.eps));
    if (a.mean.data) a.mean.as<float>()[r * a.mean.stride[0]] = shift + delta;
    if (a.rstd.data) a.rstd.as<float>()[r * a.rstd.stride[0]] = rstd;
    const auto m = hn::Set(d, shift), e = hn::Set(d, delta), s = hn::Set(d, rstd);
    each_vector(d, n, [&](std::int64_t i, std::int64_t k) HWY_ATTR {
      auto v = hn::Mul(hn::Sub(hn::Sub(load_some(d, x + i, k), m), e), s);
      if (a.weight.data) v = hn::Mul(v, load_some(d, a.weight.as<const float>() + i, k));
      if (a.bias.data) v = hn::Add(v, load_some(d, a.bias.as<const float>() + i, k));
      store_some(d, v, y + i, k);
    });
  }
}

void row_backward(const RowNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t n = a.x.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x.as<const float>() + r * a.x.stride[0];
    const float* dy = a.dy.as<const float>() + r * a.dy.stride[0];
    float* dx = a.dx.as<float>() + r * a.dx.stride[0];
    const float mean = a.rms ? 0.0f : a.mean.as<const float>()[r * a.mean.stride[0]], rstd = a.rstd.as<const float>()[r * a.rstd.stride[0]];
    const auto m = hn::Set(d, mean), s = hn::Set(d, rstd);
    const auto g_of = [&](std::int64_t i, std::int64_t k) HWY_ATTR {
      const auto g = load_some(d, dy + i, k);
      return a.weight.data ? hn::Mul(g, load_some(d, a.weight.as<const float>() + i, k)) : g;
    };
    auto sum = hn::Zero(d), dot = hn::Zero(d);
    each_vector(d, n, [&](std::int64_t i, std::int64_t k) HWY_ATTR {
      const auto g = g_of(i, k);  // 0 beyond the end
      sum = hn::Add(sum, g);
      dot = hn::MulAdd(g, hn::Mul(hn::Sub(load_some(d, x + i, k), m), s), dot);
    });
    const float count = static_cast<float>(n);
    const auto mean_g = hn::Set(d, a.rms ? 0.0f : sum_lanes(d, sum) / count), mean_dot = hn::Set(d, sum_lanes(d, dot) / count);
    each_vector(d, n, [&](std::int64_t i, std::int64_t k) HWY_ATTR {
      const auto xhat = hn::Mul(hn::Sub(load_some(d, x + i, k), m), s);
      store_some(d, hn::Mul(s, hn::NegMulAdd(xhat, mean_dot, hn::Sub(g_of(i, k), mean_g))), dx + i, k);
    });
  }
}

// columns [begin, end)
void row_parameters(const RowNormGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F32 d;
  each_vector(d, end - begin, [&](std::int64_t j, std::int64_t k) HWY_ATTR {
    const std::int64_t c = begin + j;
    auto dw = hn::Zero(d), db = hn::Zero(d);
    for (std::int64_t r0 = 0; r0 < a.x.shape[0]; r0 += 64) {
      auto w = hn::Zero(d), b = hn::Zero(d);
      for (std::int64_t r = r0; r < std::min(a.x.shape[0], r0 + 64); ++r) {
        const auto g = load_some(d, a.dy.as<const float>() + r * a.dy.stride[0] + c, k);
        const auto m = hn::Set(d, a.rms ? 0.0f : a.mean.as<const float>()[r * a.mean.stride[0]]),
                   s = hn::Set(d, a.rstd.as<const float>()[r * a.rstd.stride[0]]);
        w = hn::MulAdd(g, hn::Mul(hn::Sub(load_some(d, a.x.as<const float>() + r * a.x.stride[0] + c, k), m), s), w);
        b = hn::Add(b, g);
      }
      dw = hn::Add(dw, w);
      db = hn::Add(db, b);
    }
    if (a.dweight.data) store_some(d, dw, a.dweight.as<float>() + c, k);
    if (a.dbias.data) store_some(d, db, a.dbias.as<float>() + c, k);
  });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(row_forward);
HWY_EXPORT(row_backward);
HWY_EXPORT(row_parameters);

namespace {
std::int64_t grain(std::int64_t cost) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cost)); }
}  // namespace

void row_norm_simd(Queue& q, const RowNormArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(row_forward);
  parallel_ranges(q.pool(), a.x.shape[0], grain(a.x.shape[1]), [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void row_norm_grad_simd(Queue& q, const RowNormGradArgs& a) {
  const auto rows = HWY_DYNAMIC_DISPATCH(row_backward);
  const auto columns = HWY_DYNAMIC_DISPATCH(row_parameters);
  if (a.dx.data) parallel_ranges(q.pool(), a.x.shape[0], grain(a.x.shape[1]), [&](std::int64_t b, std::int64_t e) { rows(a, b, e); });
  if (a.dweight.data || a.dbias.data)
    parallel_ranges(q.pool(), a.x.shape[1], 64, [&](std::int64_t b, std::int64_t e) { columns(a, b, e); });
}
}  // namespace graft
#endif
