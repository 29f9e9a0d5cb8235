// The definition of the three passes as plain loops over one output at a time: `ref` sums in double, `naive` in Accum<T>.
// Any strides. x: [n, c, h, w], weight: [k, c/groups, r, s], y: [n, k, p, q].
#pragma once
#include <algorithm>

#include "kernels/conv/conv.h"

namespace graft::conv_loops {

struct Taps {
  std::int64_t begin, end;
};  // taps r in [begin, end) for which origin + r * dilation lies in [0, size)

constexpr Taps taps_inside(std::int64_t origin, std::int64_t dilation, std::int64_t taps, std::int64_t size) {
  const std::int64_t first = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  const std::int64_t last = origin >= size ? 0 : (size - origin + dilation - 1) / dilation;
  return {std::min(first, taps), std::clamp(last, std::min(first, taps), taps)};
}

// y[n, k, p, q]
template <class T, class A>
constexpr void forward_one(const ConvArgs& a, std::int64_t n, std::int64_t k, std::int64_t p, std::int64_t q) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t cg = a.weight.shape[1], kg = a.y.shape[1] / g.groups;
  const T* x = a.x.as<const T>() + n * a.x.stride[0] + k / kg * cg * a.x.stride[1];
  const T* wt = a.weight.as<const T>() + k * a.weight.stride[0];
  const std::int64_t h0 = p * g.stride_h - g.pad_top, w0 = q * g.stride_w - g.pad_left;
  const Taps rows = taps_inside(h0, g.dilation_h, a.weight.shape[2], a.x.shape[2]),
             cols = taps_inside(w0, g.dilation_w, a.weight.shape[3], a.x.shape[3]);
  A sum = 0;
  for (std::int64_t c = 0; c < cg; ++c)
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      const T* xr = x + c * a.x.stride[1] + (h0 + r * g.dilation_h) * a.x.stride[2];
      const T* wr = wt + c * a.weight.stride[1] + r * a.weight.stride[2];
      for (std::int64_t s = cols.begin; s < cols.end; ++s)
        sum += static_cast<A>(xr[(w0 + s * g.dilation_w) * a.x.stride[3]]) * static_cast<A>(wr[s * a.weight.stride[3]]);
    }
  if (a.bias.data) sum += static_cast<A>(a.bias.as<const T>()[k * a.bias.stride[0]]);
  if (a.relu && sum < 0) sum = 0;  // a NaN stays
  a.y.as<T>()[n * a.y.stride[0] + k * a.y.stride[1] + p * a.y.stride[2] + q * a.y.stride[3]] = static_cast<T>(sum);
}
// outputs [begin, end) of the n*k planes of y
template <class T, class A>
void forward(const ConvArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t nk = begin; nk < end; ++nk)
    for (std::int64_t p = 0; p < a.y.shape[2]; ++p)
      for (std::int64_t q = 0; q < a.y.shape[3]; ++q) forward_one<T, A>(a, nk / a.y.shape[1], nk % a.y.shape[1], p, q);
}

// dx[n, c, y, x]. Gathers: takes dy[p, q] weight[r, s] where p stride + r dilation = y + pad.
template <class T, class A>
constexpr void input_grad_one(const ConvInputGradArgs& a, std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t cg = a.weight.shape[1], kg = a.weight.shape[0] / g.groups, k0 = c / cg * kg;
  const T* dy = a.dy.as<const T>() + n * a.dy.stride[0];
  const T* wt = a.weight.as<const T>() + c % cg * a.weight.stride[1];
  A sum = 0;
  for (std::int64_t k = k0; k < k0 + kg; ++k)
    for (std::int64_t r = 0; r < a.weight.shape[2]; ++r) {
      const std::int64_t ps = y + g.pad_top - r * g.dilation_h, p = ps / g.stride_h;
      if (ps < 0 || ps % g.stride_h != 0 || p >= a.dy.shape[2]) continue;
      for (std::int64_t s = 0; s < a.weight.shape[3]; ++s) {
        const std::int64_t qs = x + g.pad_left - s * g.dilation_w, q = qs / g.stride_w;
        if (qs < 0 || qs % g.stride_w != 0 || q >= a.dy.shape[3]) continue;
        sum += static_cast<A>(dy[k * a.dy.stride[1] + p * a.dy.stride[2] + q * a.dy.stride[3]]) *
               static_cast<A>(wt[k * a.weight.stride[0] + r * a.weight.stride[2] + s * a.weight.stride[3]]);
      }
    }
  if (a.bias.data) sum += static_cast<A>(a.bias.as<const T>()[c * a.bias.stride[0]]);
  a.dx.as<T>()[n * a.dx.stride[0] + c * a.dx.stride[1] + y * a.dx.stride[2] + x * a.dx.stride[3]] = static_cast<T>(sum);
}
// planes [begin, end) of the n*c planes of dx
template <class T, class A>
void input_grad(const ConvInputGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t nc = begin; nc < end; ++nc)
    for (std::int64_t y = 0; y < a.dx.shape[2]; ++y)
      for (std::int64_t x = 0; x < a.dx.shape[3]; ++x) input_grad_one<T, A>(a, nc / a.dx.shape[1], nc % a.dx.shape[1], y, x);
}

// dweight[k, c, r, s]
template <class T, class A>
constexpr void weight_grad_one(const ConvWeightGradArgs& a, std::int64_t k, std::int64_t c, std::int64_t r, std::int64_t s) {
  const ConvGeometry& g = a.geometry;
  const std::int64_t cg = a.dweight.shape[1], kg = a.dweight.shape[0] / g.groups;
  const T* x = a.x.as<const T>() + (k / kg * cg + c) * a.x.stride[1];
  const T* dy = a.dy.as<const T>() + k * a.dy.stride[1];
  const std::int64_t w0 = s * g.dilation_w - g.pad_left;
  const Taps inside = taps_inside(w0, g.stride_w, a.dy.shape[3], a.x.shape[3]);
  A sum = 0;
  for (std::int64_t n = 0; n < a.dy.shape[0]; ++n)
    for (std::int64_t p = 0; p < a.dy.shape[2]; ++p) {
      const std::int64_t y = p * g.stride_h - g.pad_top + r * g.dilation_h;
      if (y < 0 || y >= a.x.shape[2]) continue;
      const T* xr = x + n * a.x.stride[0] + y * a.x.stride[2];
      const T* dyr = dy + n * a.dy.stride[0] + p * a.dy.stride[2];
      for (std::int64_t q = inside.begin; q < inside.end; ++q)
        sum += static_cast<A>(xr[(w0 + q * g.stride_w) * a.x.stride[3]]) * static_cast<A>(dyr[q * a.dy.stride[3]]);
    }
  a.dweight.as<T>()[k * a.dweight.stride[0] + c * a.dweight.stride[1] + r * a.dweight.stride[2] + s * a.dweight.stride[3]] =
      static_cast<T>(sum);
}
// filters [begin, end) of the k * c/groups filters of dweight
template <class T, class A>
void weight_grad(const ConvWeightGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t kc = begin; kc < end; ++kc)
    for (std::int64_t r = 0; r < a.dweight.shape[2]; ++r)
      for (std::int64_t s = 0; s < a.dweight.shape[3]; ++s)
        weight_grad_one<T, A>(a, kc / a.dweight.shape[1], kc % a.dweight.shape[1], r, s);
}

// channels [begin, end) of dbias
template <class T, class A>
constexpr void bias_grad(const ConvWeightGradArgs& a, std::int64_t begin, std::int64_t end) {
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
