// Max pooling and its gradient with vectors (Highway), f32, windows inside the image. Pairs: 2 x 2 windows, stride 2, dense rows: even and
// odd columns are parted on load. Channels: channels last, any window, a vector of channels per position; the gradient needs windows that
// do not overlap. Bound by memory: x once, y and where once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/pool/rows.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
template <class D>
using Index = hn::Rebind<std::int32_t, D>;

// The larger; the first of equals; the first NaN. at follows.
template <class D>
HWY_INLINE void take(D, hn::Vec<D> v, hn::Vec<Index<D>> i, hn::Vec<D>& best, hn::Vec<Index<D>>& at) {
  const Index<D> di;
  const auto better = hn::Or(hn::Gt(v, best), hn::And(hn::IsNaN(v), hn::Not(hn::IsNaN(best))));
  best = hn::IfThenElse(better, v, best);
  at = hn::IfThenElse(hn::RebindMask(di, better), i, at);
}

// A row of whole vectors, then of halves and of quarters: rows of 12 have no vector of 16 in them. part(d, q) does the lanes of d from q
// and says where the next begin.
template <class Part>
HWY_INLINE std::int64_t in_vectors(Part&& part) {
  std::int64_t q = part(F(), 0);
  if constexpr (HWY_MAX_BYTES >= 64) q = part(hn::CappedTag<float, 8>(), q);
  if constexpr (HWY_MAX_BYTES >= 32) q = part(hn::CappedTag<float, 4>(), q);
  return q;
}

// y[q], where[q] of the pairs of columns of two rows, as many as a vector holds at a time; first: the flat position of x0
template <class D>
HWY_INLINE std::int64_t pairs_row(D d, std::int64_t q, std::int64_t q_count, const float* x0, const float* x1, std::int64_t w,
                                  std::int64_t first, float* y, std::int32_t* where) {
  const Index<D> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto base = hn::Add(hn::Add(hn::Iota(di, 0), hn::Iota(di, 0)), hn::Set(di, static_cast<std::int32_t>(first + 2 * q)));
  for (; q + lanes <= q_count; q += lanes) {
    hn::Vec<D> e0, o0, e1, o1;
    hn::LoadInterleaved2(d, x0 + 2 * q, e0, o0);
    hn::LoadInterleaved2(d, x1 + 2 * q, e1, o1);
    auto best = e0;
    auto at = base;
    take(d, o0, hn::Add(base, hn::Set(di, 1)), best, at);
    const auto below = hn::Add(base, hn::Set(di, static_cast<std::int32_t>(w)));
    take(d, e1, below, best, at);
    take(d, o1, hn::Add(below, hn::Set(di, 1)), best, at);
    hn::StoreU(best, d, y + q);
    if (where) hn::StoreU(at, di, where + q);
    base = hn::Add(base, hn::Set(di, static_cast<std::int32_t>(2 * lanes)));
  }
  return q;
}
// planes [begin, end) of n * c
void pairs_forward(const MaxPoolArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t c_count = a.x.shape[1], w = a.x.shape[3], p_count = a.y.shape[2], q_count = a.y.shape[3];
  for (std::int64_t nc = begin; nc < end; ++nc) {
    const std::int64_t n = nc / c_count, c = nc % c_count;
    for (std::int64_t p = 0; p < p_count; ++p) {
      const float* x0 = a.x.as<const float>() + n * a.x.stride[0] + c * a.x.stride[1] + 2 * p * a.x.stride[2];
      const float* x1 = x0 + a.x.stride[2];
      float* y = a.y.as<float>() + n * a.y.stride[0] + c * a.y.stride[1] + p * a.y.stride[2];
      std::int32_t* where =
          a.where.data ? a.where.as<std::int32_t>() + n * a.where.stride[0] + c * a.where.stride[1] + p * a.where.stride[2] : nullptr;
      std::int64_t q =
          in_vectors([&](auto d, std::int64_t from) HWY_ATTR { return pairs_row(d, from, q_count, x0, x1, w, 2 * p * w, y, where); });
      for (; q < q_count; ++q) {
        const float v[4] = {x0[2 * q], x0[2 * q + 1], x1[2 * q], x1[2 * q + 1]};
        int k = 0;
        for (int i = 1; i < 4; ++i)
          if (v[i] > v[k] || (v[i] != v[i] && v[k] == v[k])) k = i;
        y[q] = v[k];
        if (where) where[q] = static_cast<std::int32_t>((2 * p + k / 2) * w + 2 * q + k % 2);
      }
    }
  }
}

// The gradient of such a row: each dy[q] to its winner among four, zeros to the others.
template <class D>
HWY_INLINE std::int64_t pairs_row_grad(D d, std::int64_t q, std::int64_t q_count, const float* dy, const std::int32_t* where,
                                       std::int64_t w, std::int64_t first, float* r0, float* r1) {
  const Index<D> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto base = hn::Add(hn::Add(hn::Iota(di, 0), hn::Iota(di, 0)), hn::Set(di, static_cast<std::int32_t>(first + 2 * q)));
  for (; q + lanes <= q_count; q += lanes) {
    const auto g = hn::LoadU(d, dy + q);
    const auto at = hn::LoadU(di, where + q);
    const auto part = [&](std::int64_t shift) HWY_ATTR {
      return hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(at, hn::Add(base, hn::Set(di, static_cast<std::int32_t>(shift))))), g);
    };
    hn::StoreInterleaved2(part(0), part(1), d, r0 + 2 * q);
    hn::StoreInterleaved2(part(w), part(w + 1), d, r1 + 2 * q);
    base = hn::Add(base, hn::Set(di, static_cast<std::int32_t>(2 * lanes)));
  }
  return q;
}
// planes [begin, end) of n * c of dx, rows and columns beyond the last window get 0
void pairs_backward(const MaxPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t c_count = a.dx.shape[1], h = a.dx.shape[2], w = a.dx.shape[3], p_count = a.dy.shape[2], q_count = a.dy.shape[3];
  for (std::int64_t nc = begin; nc < end; ++nc) {
    const std::int64_t n = nc / c_count, c = nc % c_count;
    float* plane = a.dx.as<float>() + n * a.dx.stride[0] + c * a.dx.stride[1];
    for (std::int64_t p = 0; p < p_count; ++p) {
      const float* dy = a.dy.as<const float>() + n * a.dy.stride[0] + c * a.dy.stride[1] + p * a.dy.stride[2];
      const std::int32_t* where = a.where.as<const std::int32_t>() + n * a.where.stride[0] + c * a.where.stride[1] + p * a.where.stride[2];
      float* r0 = plane + 2 * p * a.dx.stride[2];
      float* r1 = r0 + a.dx.stride[2];
      std::int64_t q =
          in_vectors([&](auto d, std::int64_t from) HWY_ATTR { return pairs_row_grad(d, from, q_count, dy, where, w, 2 * p * w, r0, r1); });
      for (; q < q_count; ++q) {
        const std::int64_t at = where[q] - (2 * p * w + 2 * q);  // 0 and 1 above, w and w + 1 below
        r0[2 * q] = at == 0 ? dy[q] : 0.0f;
        r0[2 * q + 1] = at == 1 ? dy[q] : 0.0f;
        r1[2 * q] = at == w ? dy[q] : 0.0f;
        r1[2 * q + 1] = at == w + 1 ? dy[q] : 0.0f;
      }
      for (std::int64_t j = 2 * q_count; j < w; ++j) r0[j] = r1[j] = 0;
    }
    for (std::int64_t i = 2 * p_count; i < h; ++i) std::fill_n(plane + i * a.dx.stride[2], w, 0.0f);
  }
}

// output rows [begin, end) of n * p, channels side by side
void channels_forward(const MaxPoolArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const Index<F> di;
  const PoolGeometry& g = a.geometry;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.x.shape[1], w = a.x.shape[3], p_count = a.y.shape[2];
  for (std::int64_t np = begin; np < end; ++np) {
    const std::int64_t n = np / p_count, p = np % p_count;
    for (std::int64_t q = 0; q < a.y.shape[3]; ++q) {
      const float* x = a.x.as<const float>() + n * a.x.stride[0] + p * g.stride_h * a.x.stride[2] + q * g.stride_w * a.x.stride[3];
      float* y = a.y.as<float>() + n * a.y.stride[0] + p * a.y.stride[2] + q * a.y.stride[3];
      std::int32_t* where =
          a.where.data ? a.where.as<std::int32_t>() + n * a.where.stride[0] + p * a.where.stride[2] + q * a.where.stride[3] : nullptr;
      std::int64_t c = 0;
      for (; c + lanes <= c_count; c += lanes) {
        auto best = hn::LoadU(d, x + c);
        auto at = hn::Set(di, static_cast<std::int32_t>(p * g.stride_h * w + q * g.stride_w));
        for (std::int64_t r = 0; r < g.kernel_h; ++r)
          for (std::int64_t s = 0; s < g.kernel_w; ++s)
            take(d, hn::LoadU(d, x + r * a.x.stride[2] + s * a.x.stride[3] + c),
                 hn::Set(di, static_cast<std::int32_t>((p * g.stride_h + r) * w + q * g.stride_w + s)), best, at);
        hn::StoreU(best, d, y + c);
        if (where) hn::StoreU(at, di, where + c);
      }
      for (; c < c_count; ++c) {
        float best = x[c];
        std::int64_t at = p * g.stride_h * w + q * g.stride_w;
        for (std::int64_t r = 0; r < g.kernel_h; ++r)
          for (std::int64_t s = 0; s < g.kernel_w; ++s) {
            const float v = x[r * a.x.stride[2] + s * a.x.stride[3] + c];
            if (v > best || (v != v && best == best)) {
              best = v;
              at = (p * g.stride_h + r) * w + q * g.stride_w + s;
            }
          }
        y[c] = best;
        if (where) where[c] = static_cast<std::int32_t>(at);
      }
    }
  }
}

// input rows [begin, end) of n * h; windows do not overlap, so a position has at most one
void channels_backward(const MaxPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const Index<F> di;
  const PoolGeometry& g = a.geometry;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.dx.shape[1], h = a.dx.shape[2], w = a.dx.shape[3];
  for (std::int64_t nh = begin; nh < end; ++nh) {
    const std::int64_t n = nh / h, i = nh % h, p = i / g.stride_h;
    const bool row = p < a.dy.shape[2] && i % g.stride_h < g.kernel_h;
    for (std::int64_t j = 0; j < w; ++j) {
      float* dx = a.dx.as<float>() + n * a.dx.stride[0] + i * a.dx.stride[2] + j * a.dx.stride[3];
      const std::int64_t q = j / g.stride_w;
      if (!row || q >= a.dy.shape[3] || j % g.stride_w >= g.kernel_w) {
        std::fill_n(dx, c_count, 0.0f);
        continue;
      }
      const float* dy = a.dy.as<const float>() + n * a.dy.stride[0] + p * a.dy.stride[2] + q * a.dy.stride[3];
      const std::int32_t* where = a.where.as<const std::int32_t>() + n * a.where.stride[0] + p * a.where.stride[2] + q * a.where.stride[3];
      const auto here = static_cast<std::int32_t>(i * w + j);
      std::int64_t c = 0;
      for (; c + lanes <= c_count; c += lanes)
        hn::StoreU(hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(hn::LoadU(di, where + c), hn::Set(di, here))), hn::LoadU(d, dy + c)), d,
                   dx + c);
      for (; c < c_count; ++c) dx[c] = where[c] == here ? dy[c] : 0.0f;
    }
  }
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(pairs_forward);
HWY_EXPORT(pairs_backward);
HWY_EXPORT(channels_forward);
HWY_EXPORT(channels_backward);

namespace {
std::int64_t grain(std::int64_t cost) { return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, cost)); }
}  // namespace

void max_pool_pairs(Queue& q, const MaxPoolArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(pairs_forward);
  parallel_ranges(q.pool(), a.x.shape[0] * a.x.shape[1], grain(a.x.shape[2] * a.x.shape[3]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void max_pool_grad_pairs(Queue& q, const MaxPoolGradArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(pairs_backward);
  parallel_ranges(q.pool(), a.dx.shape[0] * a.dx.shape[1], grain(a.dx.shape[2] * a.dx.shape[3]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void max_pool_channels(Queue& q, const MaxPoolArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(channels_forward);
  const std::int64_t cost = a.y.shape[3] * a.y.shape[1] * a.geometry.kernel_h * a.geometry.kernel_w;
  parallel_ranges(q.pool(), a.y.shape[0] * a.y.shape[2], grain(cost), [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void max_pool_grad_channels(Queue& q, const MaxPoolGradArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(channels_backward);
  parallel_ranges(q.pool(), a.dx.shape[0] * a.dx.shape[2], grain(a.dx.shape[3] * a.dx.shape[1]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
}  // namespace graft
#endif
