// The definition of the three passes as plain loops over one output at a time: `ref` sums in double, `naive` in Accum<T>.
// Any strides. x: [n, c, h, w], weight: [k, c/groups, r, s], y: [n, k, p, q].
#pragma once
#include <algorithm>

#include "kernels/conv/conv.h"

namespace graft::conv_loops {

struct Taps { std::int64_t begin, end; };  // taps r in [begin, end) for which origin + r * dilation lies in [0, size)

inline Taps taps_inside(std::int64_t origin, std::int64_t dilation, std::int64_t taps, std::int64_t size) {
  const std::int64_t first = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  const std::int64_t last = origin >= size ? 0 : (size - origin + dilation - 1) / dilation;
  return {std::min(first, taps), std::clamp(last, std::min(first, taps), taps)};
}

// outputs [begin, end) of the n*k planes of y
template <class T, class A>
void forward(const ConvArgs& a, std::int64_t begin, std::int64_t end) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t k_count = a.y.shape[1], p_count = a.y.shape[2], q_count = a.y.shape[3];
  const std::int64_t cg = a.weight.shape[1], kg = k_count / g.groups, h = a.x.shape[2], w = a.x.shape[3];
  for (std::int64_t nk = begin; nk < end; ++nk) {
    const std::int64_t n = nk / k_count, k = nk % k_count, c0 = k / kg * cg;
    const T* x = a.x.as<const T>() + n * a.x.stride[0] + c0 * a.x.stride[1];
    const T* wt = a.weight.as<const T>() + k * a.weight.stride[0];
    T* y = a.y.as<T>() + n * a.y.stride[0] + k * a.y.stride[1];
    const A bias = a.bias.data ? static_cast<A>(a.bias.as<const T>()[k * a.bias.stride[0]]) : A(0);
    for (std::int64_t p = 0; p < p_count; ++p) {
      const std::int64_t h0 = p * g.stride_h - g.pad_top;
      const Taps rows = taps_inside(h0, g.dilation_h, a.weight.shape[2], h);
      for (std::int64_t q = 0; q < q_count; ++q) {
        const std::int64_t w0 = q * g.stride_w - g.pad_left;
        const Taps cols = taps_inside(w0, g.dilation_w, a.weight.shape[3], w);
        A sum = 0;
        for (std::int64_t c = 0; c < cg; ++c)
          for (std::int64_t r = rows.begin; r < rows.end; ++r) {
            const T* xr = x + c * a.x.stride[1] + (h0 + r * g.dilation_h) * a.x.stride[2];
            const T* wr = wt + c * a.weight.stride[1] + r * a.weight.stride[2];
            for (std::int64_t s = cols.begin; s < cols.end; ++s)
              sum += static_cast<A>(xr[(w0 + s * g.dilation_w) * a.x.stride[3]]) * static_cast<A>(wr[s * a.weight.stride[3]]);
          }
        sum += bias;
        if (a.relu && sum < 0) sum = 0;  // a NaN stays
        y[p * a.y.stride[2] + q * a.y.stride[3]] = static_cast<T>(sum);
      }
    }
  }
}

// planes [begin, end) of the n*c planes of dx. Gathers: dx[h, w] takes dy[p, q] weight[r, s] where p stride + r dilation = h + pad.
template <class T, class A>
void input_grad(const ConvInputGradArgs& a, std::int64_t begin, std::int64_t end) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t c_count = a.dx.shape[1], h_count = a.dx.shape[2], w_count = a.dx.shape[3];
  const std::int64_t cg = a.weight.shape[1], kg = a.weight.shape[0] / g.groups, p_count = a.dy.shape[2], q_count = a.dy.shape[3];
  for (std::int64_t nc = begin; nc < end; ++nc) {
    const std::int64_t n = nc / c_count, c = nc % c_count, k0 = c / cg * kg;
    const T* dy = a.dy.as<const T>() + n * a.dy.stride[0];
    const T* wt = a.weight.as<const T>() + c % cg * a.weight.stride[1];
    T* dx = a.dx.as<T>() + n * a.dx.stride[0] + c * a.dx.stride[1];
    const A bias = a.bias.data ? static_cast<A>(a.bias.as<const T>()[c * a.bias.stride[0]]) : A(0);
    for (std::int64_t y = 0; y < h_count; ++y)
      for (std::int64_t x = 0; x < w_count; ++x) {
        A sum = 0;
        for (std::int64_t k = k0; k < k0 + kg; ++k)
          for (std::int64_t r = 0; r < a.weight.shape[2]; ++r) {
            const std::int64_t ps = y + g.pad_top - r * g.dilation_h, p = ps / g.stride_h;
            if (ps < 0 || ps % g.stride_h != 0 || p >= p_count) continue;
            for (std::int64_t s = 0; s < a.weight.shape[3]; ++s) {
              const std::int64_t qs = x + g.pad_left - s * g.dilation_w, q = qs / g.stride_w;
              if (qs < 0 || qs % g.stride_w != 0 || q >= q_count) continue;
              sum += static_cast<A>(dy[k * a.dy.stride[1] + p * a.dy.stride[2] + q * a.dy.stride[3]]) *
                     static_cast<A>(wt[k * a.weight.stride[0] + r * a.weight.stride[2] + s * a.weight.stride[3]]);
            }
          }
        dx[y * a.dx.stride[2] + x * a.dx.stride[3]] = static_cast<T>(sum + bias);
      }
  }
}

// filters [begin, end) of the k * c/groups filters of dweight
template <class T, class A>
void weight_grad(const ConvWeightGradArgs& a, std::int64_t begin, std::int64_t end) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t cg = a.dweight.shape[1], kg = a.dweight.shape[0] / g.groups, h = a.x.shape[2], w = a.x.shape[3];
  const std::int64_t n_count = a.dy.shape[0], p_count = a.dy.shape[2], q_count = a.dy.shape[3];
  for (std::int64_t kc = begin; kc < end; ++kc) {
    const std::int64_t k = kc / cg, c = kc % cg;
    const T* x = a.x.as<const T>() + (k / kg * cg + c) * a.x.stride[1];
    const T* dy = a.dy.as<const T>() + k * a.dy.stride[1];
    T* dw = a.dweight.as<T>() + k * a.dweight.stride[0] + c * a.dweight.stride[1];
    for (std::int64_t r = 0; r < a.dweight.shape[2]; ++r)
      for (std::int64_t s = 0; s < a.dweight.shape[3]; ++s) {
        A sum = 0;
        for (std::int64_t n = 0; n < n_count; ++n)
          for (std::int64_t p = 0; p < p_count; ++p) {
            const std::int64_t y = p * g.stride_h - g.pad_top + r * g.dilation_h;
            if (y < 0 || y >= h) continue;
            const Taps inside = taps_inside(s * g.dilation_w - g.pad_left, g.stride_w, q_count, w);
            const T* xr = x + n * a.x.stride[0] + y * a.x.stride[2] + (s * g.dilation_w - g.pad_left) * a.x.stride[3];
            const T* dyr = dy + n * a.dy.stride[0] + p * a.dy.stride[2];
            for (std::int64_t q = inside.begin; q < inside.end; ++q)
              sum += static_cast<A>(xr[q * g.stride_w * a.x.stride[3]]) * static_cast<A>(dyr[q * a.dy.stride[3]]);
          }
        dw[r * a.dweight.stride[2] + s * a.dweight.stride[3]] = static_cast<T>(sum);
      }
  }
}

// channels [begin, end) of dbias
template <class T, class A>
void bias_grad(const ConvWeightGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t k = begin; k < end; ++k) {
    A sum = 0;
    for (std::int64_t n = 0; n < a.dy.shape[0]; ++n)
      for (std::int64_t p = 0; p < a.dy.shape[2]; ++p)
        for (std::int64_t q = 0; q < a.dy.shape[3]; ++q)
          sum += static_cast<A>(a.dy.as<const T>()[n * a.dy.stride[0] + k * a.dy.stride[1] + p * a.dy.stride[2] + q * a.dy.stride[3]]);
    a.dbias.as<T>()[k * a.dbias.stride[0]] = static_cast<T>(sum);
  }
}

// What one output plane, or one filter, costs in multiply-adds: how many of them are worth a task.
inline std::int64_t grain_of(std::int64_t cost) { return std::max<std::int64_t>(1, 20000 / std::max<std::int64_t>(1, cost)); }

}  // namespace graft::conv_loops
