// Average pooling and its gradient with vectors (Highway), f32. Channels: channels last, any window and padding, a vector of channels per
// position. Pairs: 2 x 2 windows with stride 2 inside the image, dense rows: even and odd columns parted on load, a quarter of dy woven on
// store. Bound by memory: x and y (dy and dx) once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/cpu_1_average.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/pool/loops.h"
#include "kernels/pool/rows.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using pool_loops::Range;

// output rows [begin, end) of n * p
void average_channels(const AvgPoolArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const PoolGeometry& g = a.geometry;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.x.shape[1], p_count = a.y.shape[2];
  for (std::int64_t np = begin; np < end; ++np) {
    const std::int64_t n = np / p_count, p = np % p_count, h0 = p * g.stride_h - g.pad_top;
    const Range rows = pool_loops::taps_inside(h0, 1, g.kernel_h, a.x.shape[2]);
    for (std::int64_t q = 0; q < a.y.shape[3]; ++q) {
      const std::int64_t w0 = q * g.stride_w - g.pad_left;
      const Range cols = pool_loops::taps_inside(w0, 1, g.kernel_w, a.x.shape[3]);
      const float* x = a.x.as<const float>() + n * a.x.stride[0] + h0 * a.x.stride[2] + w0 * a.x.stride[3];
      float* y = a.y.as<float>() + n * a.y.stride[0] + p * a.y.stride[2] + q * a.y.stride[3];
      const auto divisor = static_cast<float>(pool_loops::divisor(g, a.count_padding, rows, cols));
      std::int64_t c = 0;
      for (; c + lanes <= c_count; c += lanes) {
        auto sum = hn::Zero(d);
        for (std::int64_t r = rows.begin; r < rows.end; ++r)
          for (std::int64_t s = cols.begin; s < cols.end; ++s)
            sum = hn::Add(sum, hn::LoadU(d, x + r * a.x.stride[2] + s * a.x.stride[3] + c));
        hn::StoreU(hn::Div(sum, hn::Set(d, divisor)), d, y + c);
      }
      for (; c < c_count; ++c) {
        float sum = 0;
        for (std::int64_t r = rows.begin; r < rows.end; ++r)
          for (std::int64_t s = cols.begin; s < cols.end; ++s) sum += x[r * a.x.stride[2] + s * a.x.stride[3] + c];
        y[c] = sum / divisor;
      }
    }
  }
}

// input rows [begin, end) of n * h
void average_grad_channels(const AvgPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const PoolGeometry& g = a.geometry;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.dx.shape[1], h = a.dx.shape[2], w = a.dx.shape[3];
  for (std::int64_t nh = begin; nh < end; ++nh) {
    const std::int64_t n = nh / h, i = nh % h;
    const Range rows = pool_loops::windows_over(i, g.pad_top, g.stride_h, g.kernel_h, a.dy.shape[2]);
    for (std::int64_t j = 0; j < w; ++j) {
      const Range cols = pool_loops::windows_over(j, g.pad_left, g.stride_w, g.kernel_w, a.dy.shape[3]);
      float* dx = a.dx.as<float>() + n * a.dx.stride[0] + i * a.dx.stride[2] + j * a.dx.stride[3];
      const auto share = [&](std::int64_t p, std::int64_t q) {
        return static_cast<float>(pool_loops::divisor(g, a.count_padding,
                                                      pool_loops::taps_inside(p * g.stride_h - g.pad_top, 1, g.kernel_h, h),
                                                      pool_loops::taps_inside(q * g.stride_w - g.pad_left, 1, g.kernel_w, w)));
      };
      const auto dy = [&](std::int64_t p, std::int64_t q) {
        return a.dy.as<const float>() + n * a.dy.stride[0] + p * a.dy.stride[2] + q * a.dy.stride[3];
      };
      std::int64_t c = 0;
      for (; c + lanes <= c_count; c += lanes) {
        auto sum = hn::Zero(d);
        for (std::int64_t p = rows.begin; p < rows.end; ++p)
          for (std::int64_t q = cols.begin; q < cols.end; ++q)
            sum = hn::Add(sum, hn::Div(hn::LoadU(d, dy(p, q) + c), hn::Set(d, share(p, q))));
        hn::StoreU(sum, d, dx + c);
      }
      for (; c < c_count; ++c) {
        float sum = 0;
        for (std::int64_t p = rows.begin; p < rows.end; ++p)
          for (std::int64_t q = cols.begin; q < cols.end; ++q) sum += dy(p, q)[c] / share(p, q);
        dx[c] = sum;
      }
    }
  }
}

// planes [begin, end) of n * c
void average_pairs(const AvgPoolArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.x.shape[1], q_count = a.y.shape[3];
  for (std::int64_t nc = begin; nc < end; ++nc) {
    const std::int64_t n = nc / c_count, c = nc % c_count;
    for (std::int64_t p = 0; p < a.y.shape[2]; ++p) {
      const float* x0 = a.x.as<const float>() + n * a.x.stride[0] + c * a.x.stride[1] + 2 * p * a.x.stride[2];
      const float* x1 = x0 + a.x.stride[2];
      float* y = a.y.as<float>() + n * a.y.stride[0] + c * a.y.stride[1] + p * a.y.stride[2];
      std::int64_t q = 0;
      for (; q + lanes <= q_count; q += lanes) {
        hn::Vec<F> e0, o0, e1, o1;
        hn::LoadInterleaved2(d, x0 + 2 * q, e0, o0);
        hn::LoadInterleaved2(d, x1 + 2 * q, e1, o1);
        hn::StoreU(hn::Mul(hn::Add(hn::Add(hn::Add(e0, o0), e1), o1), hn::Set(d, 0.25f)), d, y + q);
      }
      for (; q < q_count; ++q) y[q] = (((x0[2 * q] + x0[2 * q + 1]) + x1[2 * q]) + x1[2 * q + 1]) * 0.25f;
    }
  }
}

// planes [begin, end) of n * c of dx; what no window covers gets 0
void average_grad_pairs(const AvgPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  const F d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t c_count = a.dx.shape[1], h = a.dx.shape[2], w = a.dx.shape[3], p_count = a.dy.shape[2], q_count = a.dy.shape[3];
  for (std::int64_t nc = begin; nc < end; ++nc) {
    const std::int64_t n = nc / c_count, c = nc % c_count;
    float* plane = a.dx.as<float>() + n * a.dx.stride[0] + c * a.dx.stride[1];
    for (std::int64_t p = 0; p < p_count; ++p) {
      const float* dy = a.dy.as<const float>() + n * a.dy.stride[0] + c * a.dy.stride[1] + p * a.dy.stride[2];
      float* r0 = plane + 2 * p * a.dx.stride[2];
      float* r1 = r0 + a.dx.stride[2];
      std::int64_t q = 0;
      for (; q + lanes <= q_count; q += lanes) {
        const auto g = hn::Mul(hn::LoadU(d, dy + q), hn::Set(d, 0.25f));
        hn::StoreInterleaved2(g, g, d, r0 + 2 * q);
        hn::StoreInterleaved2(g, g, d, r1 + 2 * q);
      }
      for (; q < q_count; ++q) {
        const float g = dy[q] * 0.25f;
        r0[2 * q] = g;
        r0[2 * q + 1] = g;
        r1[2 * q] = g;
        r1[2 * q + 1] = g;
      }
      for (std::int64_t j = 2 * q_count; j < w; ++j) r0[j] = r1[j] = 0;
    }
    for (std::int64_t i = 2 * p_count; i < h; ++i) std::fill_n(plane + i * a.dx.stride[2], w, 0.0f);
  }
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(average_channels);
HWY_EXPORT(average_grad_channels);
HWY_EXPORT(average_pairs);
HWY_EXPORT(average_grad_pairs);

namespace {
std::int64_t grain(std::int64_t cost) { return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, cost)); }
}  // namespace

void avg_pool_channels(Queue& q, const AvgPoolArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(average_channels);
  const std::int64_t cost = a.y.shape[3] * a.y.shape[1] * a.geometry.kernel_h * a.geometry.kernel_w;
  parallel_ranges(q.pool(), a.y.shape[0] * a.y.shape[2], grain(cost), [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void avg_pool_grad_channels(Queue& q, const AvgPoolGradArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(average_grad_channels);
  parallel_ranges(q.pool(), a.dx.shape[0] * a.dx.shape[2], grain(a.dx.shape[3] * a.dx.shape[1]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void avg_pool_pairs(Queue& q, const AvgPoolArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(average_pairs);
  parallel_ranges(q.pool(), a.x.shape[0] * a.x.shape[1], grain(a.x.shape[2] * a.x.shape[3]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
void avg_pool_grad_pairs(Queue& q, const AvgPoolGradArgs& a) {
  const auto f = HWY_DYNAMIC_DISPATCH(average_grad_pairs);
  parallel_ranges(q.pool(), a.dx.shape[0] * a.dx.shape[1], grain(a.dx.shape[2] * a.dx.shape[3]),
                  [&](std::int64_t b, std::int64_t e) { f(a, b, e); });
}
}  // namespace graft
#endif
