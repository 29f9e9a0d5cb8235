// The three passes one row at a time: the inner loop runs along w (or q) with one filter tap held fixed, so the compiler vectorises it.
// Stride 1 along w and a dense last axis. No reuse in registers, which is why it is the rung for depthwise filters, where there is none to
// be had.
#include <algorithm>

#include "kernels/conv/loops.h"
#include "kernels/conv/rows.h"

namespace graft {
namespace {
constexpr std::int64_t kRow = 256;  // sums held at once
}

// y row [q0, q0 + count) of (n, k, p)
void conv_rows_forward(Queue& q, const ConvArgs& a) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t k_count = a.y.shape[1], p_count = a.y.shape[2], q_count = a.y.shape[3], cg = a.weight.shape[1],
                     kg = k_count / g.groups;
  const std::int64_t h = a.x.shape[2], w = a.x.shape[3], taps = cg * a.weight.shape[2] * a.weight.shape[3];
  visit_float(a.y.dtype, [&]<class T>() {
    using A = Accum<T>;
    parallel_ranges(
        q.pool(), a.y.shape[0] * k_count, conv_loops::grain_of(p_count * q_count * taps / 4), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t nk = begin; nk < end; ++nk) {
            const std::int64_t n = nk / k_count, k = nk % k_count;
            const T* x = a.x.as<const T>() + n * a.x.stride[0] + k / kg * cg * a.x.stride[1];
            const T* wt = a.weight.as<const T>() + k * a.weight.stride[0];
            const A bias = a.bias.data ? static_cast<A>(a.bias.as<const T>()[k * a.bias.stride[0]]) : A(0);
            for (std::int64_t p = 0; p < p_count; ++p)
              for (std::int64_t q0 = 0; q0 < q_count; q0 += kRow) {
                const std::int64_t count = std::min(kRow, q_count - q0);
                A sum[kRow] = {};
                const conv_loops::Taps rows = conv_loops::taps_inside(p * g.stride_h - g.pad_top, g.dilation_h, a.weight.shape[2], h);
                for (std::int64_t c = 0; c < cg; ++c)
                  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
                    const T* row = x + c * a.x.stride[1] + (p * g.stride_h - g.pad_top + r * g.dilation_h) * a.x.stride[2];
                    for (std::int64_t s = 0; s < a.weight.shape[3]; ++s) {
                      const A v = static_cast<A>(wt[c * a.weight.stride[1] + r * a.weight.stride[2] + s * a.weight.stride[3]]);
                      const std::int64_t shift = q0 + s * g.dilation_w - g.pad_left;  // of position 0 of this piece
                      const std::int64_t j0 = std::max<std::int64_t>(0, -shift), j1 = std::min(count, w - shift);
                      for (std::int64_t j = j0; j < j1; ++j) sum[j] += v * static_cast<A>(row[shift + j]);
                    }
                  }
                T* y = a.y.as<T>() + n * a.y.stride[0] + k * a.y.stride[1] + p * a.y.stride[2] + q0;
                for (std::int64_t j = 0; j < count; ++j) {
                  const A v = sum[j] + bias;
                  y[j] = static_cast<T>(a.relu && v < 0 ? A(0) : v);
                }
              }
          }
        });
  });
}

// dx row of (n, c, h); stride 1 in both directions
void conv_rows_input_grad(Queue& q, const ConvInputGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t c_count = a.dx.shape[1], h = a.dx.shape[2], w = a.dx.shape[3], cg = a.weight.shape[1],
                     kg = a.weight.shape[0] / g.groups;
  const std::int64_t p_count = a.dy.shape[2], q_count = a.dy.shape[3], taps = kg * a.weight.shape[2] * a.weight.shape[3];
  visit_float(a.dx.dtype, [&]<class T>() {
    using A = Accum<T>;
    parallel_ranges(q.pool(), a.dx.shape[0] * c_count, conv_loops::grain_of(h * w * taps / 4), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t nc = begin; nc < end; ++nc) {
        const std::int64_t n = nc / c_count, c = nc % c_count, k0 = c / cg * kg;
        const T* dy = a.dy.as<const T>() + n * a.dy.stride[0];
        const T* wt = a.weight.as<const T>() + c % cg * a.weight.stride[1];
        const A bias = a.bias.data ? static_cast<A>(a.bias.as<const T>()[c * a.bias.stride[0]]) : A(0);
        for (std::int64_t y = 0; y < h; ++y)
          for (std::int64_t x0 = 0; x0 < w; x0 += kRow) {
            const std::int64_t count = std::min(kRow, w - x0);
            A sum[kRow] = {};
            for (std::int64_t k = k0; k < k0 + kg; ++k)
              for (std::int64_t r = 0; r < a.weight.shape[2]; ++r) {
                const std::int64_t p = y + g.pad_top - r * g.dilation_h;
                if (p < 0 || p >= p_count) continue;
                const T* row = dy + k * a.dy.stride[1] + p * a.dy.stride[2];
                for (std::int64_t s = 0; s < a.weight.shape[3]; ++s) {
                  const A v = static_cast<A>(wt[k * a.weight.stride[0] + r * a.weight.stride[2] + s * a.weight.stride[3]]);
                  const std::int64_t shift = x0 + g.pad_left - s * g.dilation_w;
                  const std::int64_t j0 = std::max<std::int64_t>(0, -shift), j1 = std::min(count, q_count - shift);
                  for (std::int64_t j = j0; j < j1; ++j) sum[j] += v * static_cast<A>(row[shift + j]);
                }
              }
            T* dx = a.dx.as<T>() + n * a.dx.stride[0] + c * a.dx.stride[1] + y * a.dx.stride[2] + x0;
            for (std::int64_t j = 0; j < count; ++j) dx[j] = static_cast<T>(sum[j] + bias);
          }
      }
    });
  });
}

// one filter of (k, c): eight partial sums along q
void conv_rows_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  if (a.dbias.data) conv_bias_grad(q, a);
  const std::int64_t cg = a.dweight.shape[1], kg = a.dweight.shape[0] / g.groups, h = a.x.shape[2], w = a.x.shape[3];
  const std::int64_t n_count = a.dy.shape[0], p_count = a.dy.shape[2], q_count = a.dy.shape[3],
                     taps = a.dweight.shape[2] * a.dweight.shape[3];
  visit_float(a.dweight.dtype, [&]<class T>() {
    using A = Accum<T>;
    parallel_ranges(
        q.pool(), a.dweight.shape[0] * cg, conv_loops::grain_of(n_count * p_count * q_count * taps / 4),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t kc = begin; kc < end; ++kc) {
            const std::int64_t k = kc / cg, c = kc % cg;
            const T* x = a.x.as<const T>() + (k / kg * cg + c) * a.x.stride[1];
            const T* dy = a.dy.as<const T>() + k * a.dy.stride[1];
            for (std::int64_t r = 0; r < a.dweight.shape[2]; ++r)
              for (std::int64_t s = 0; s < a.dweight.shape[3]; ++s) {
                constexpr int kLanes = 8;
                A lane[kLanes] = {};
                const std::int64_t shift = s * g.dilation_w - g.pad_left, j0 = std::max<std::int64_t>(0, -shift),
                                   j1 = std::min(q_count, w - shift);
                for (std::int64_t n = 0; n < n_count; ++n)
                  for (std::int64_t p = 0; p < p_count; ++p) {
                    const std::int64_t y = p * g.stride_h - g.pad_top + r * g.dilation_h;
                    if (y < 0 || y >= h) continue;
                    const T* row = x + n * a.x.stride[0] + y * a.x.stride[2] + shift;
                    const T* grad = dy + n * a.dy.stride[0] + p * a.dy.stride[2];
                    std::int64_t j = j0;
                    for (; j + kLanes <= j1; j += kLanes)
                      for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<A>(row[j + l]) * static_cast<A>(grad[j + l]);
                    for (; j < j1; ++j) lane[0] += static_cast<A>(row[j]) * static_cast<A>(grad[j]);
                  }
                for (int step = kLanes / 2; step >= 1; step /= 2)
                  for (int l = 0; l < step; ++l) lane[l] += lane[l + step];
                a.dweight.as<T>()[k * a.dweight.stride[0] + c * a.dweight.stride[1] + r * a.dweight.stride[2] + s * a.dweight.stride[3]] =
                    static_cast<T>(lane[0]);
              }
          }
        });
  });
}

// dbias[k] = sum of dy over n, p, q; eight partial sums along q
void conv_bias_grad(Queue& q, const ConvWeightGradArgs& a) {
  const std::int64_t k_count = a.dbias.shape[0], n_count = a.dy.shape[0], p_count = a.dy.shape[2], q_count = a.dy.shape[3];
  visit_float(a.dbias.dtype, [&]<class T>() {
    using A = Accum<T>;
    if (a.dy.stride[1] == 1 && k_count > 1) {  // channels last: 16 channels side by side
      constexpr std::int64_t kChannels = 16;
      parallel_ranges(q.pool(), (k_count + kChannels - 1) / kChannels, 1, [&](std::int64_t b, std::int64_t e) {
        for (std::int64_t k0 = b * kChannels; k0 < std::min(k_count, e * kChannels); k0 += kChannels) {
          const std::int64_t count = std::min(kChannels, k_count - k0);
          A total[kChannels] = {};
          for (std::int64_t n = 0; n < n_count; ++n) {
            A sum[kChannels] = {};  // per image: shorter chains of roundings
            for (std::int64_t p = 0; p < p_count; ++p)
              for (std::int64_t t = 0; t < q_count; ++t) {
                const T* v = a.dy.as<const T>() + n * a.dy.stride[0] + p * a.dy.stride[2] + t * a.dy.stride[3] + k0;
                for (std::int64_t k = 0; k < count; ++k) sum[k] += static_cast<A>(v[k]);
              }
            for (std::int64_t k = 0; k < count; ++k) total[k] += sum[k];
          }
          for (std::int64_t k = 0; k < count; ++k) a.dbias.as<T>()[(k0 + k) * a.dbias.stride[0]] = static_cast<T>(total[k]);
        }
      });
      return;
    }
    parallel_ranges(q.pool(), k_count, conv_loops::grain_of(n_count * p_count * q_count / 4), [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t k = b; k < e; ++k) {
        constexpr int kLanes = 8;
        A lane[kLanes] = {};
        for (std::int64_t n = 0; n < n_count; ++n)
          for (std::int64_t p = 0; p < p_count; ++p) {
            const T* v = a.dy.as<const T>() + n * a.dy.stride[0] + k * a.dy.stride[1] + p * a.dy.stride[2];
            std::int64_t t = 0;
            for (; t + kLanes <= q_count; t += kLanes)
              for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<A>(v[(t + l) * a.dy.stride[3]]);
            for (; t < q_count; ++t) lane[0] += static_cast<A>(v[t * a.dy.stride[3]]);
          }
        for (int step = kLanes / 2; step >= 1; step /= 2)
          for (int l = 0; l < step; ++l) lane[l] += lane[l + step];
        a.dbias.as<T>()[k * a.dbias.stride[0]] = static_cast<T>(lane[0]);
      }
    });
  });
}

}  // namespace graft
