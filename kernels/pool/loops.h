// The definition of pooling as plain loops over one output at a time: `ref` sums in double, `naive` in Accum<T>. Any strides.
// x, dx: [n, c, h, w]; y, dy, where: [n, c, p, q]. Both gradients gather: each dx element adds its windows in the order of p, q.
#pragma once
#include <algorithm>
#include <limits>

#include "kernels/pool/pool.h"

namespace graft::pool_loops {

struct Range {
  std::int64_t begin, end;
};

// window positions (a multiple of dilation from origin) that lie in [0, size): taps [begin, end)
constexpr Range taps_inside(std::int64_t origin, std::int64_t dilation, std::int64_t taps, std::int64_t size) {
  const std::int64_t first = std::min(taps, origin >= 0 ? 0 : (-origin + dilation - 1) / dilation);
  const std::int64_t last = origin >= size ? 0 : (size - origin + dilation - 1) / dilation;
  return {first, std::clamp(last, first, taps)};
}
// windows p in [0, count) whose extent holds position i: p stride - pad <= i <= p stride - pad + extent - 1
constexpr Range windows_over(std::int64_t i, std::int64_t pad, std::int64_t stride, std::int64_t extent, std::int64_t count) {
  const std::int64_t low = i + pad - (extent - 1);
  const std::int64_t first = low <= 0 ? 0 : (low + stride - 1) / stride;
  return {first, std::min(count, (i + pad) / stride + 1)};
}

// A window wholly in the padding averages to 0, whatever it is divided by.
constexpr std::int64_t divisor(const PoolGeometry& g, bool count_padding, Range rows, Range cols) {
  const std::int64_t inside = (rows.end - rows.begin) * (cols.end - cols.begin);
  return count_padding ? g.kernel_h * g.kernel_w : std::max<std::int64_t>(1, inside);
}

// f(n, c, i, j) over planes [begin, end) of the n*c planes of v
template <class F>
void each_of_planes(const View& v, std::int64_t begin, std::int64_t end, F&& f) {
  for (std::int64_t nc = begin; nc < end; ++nc)
    for (std::int64_t i = 0; i < v.shape[2]; ++i)
      for (std::int64_t j = 0; j < v.shape[3]; ++j) f(nc / v.shape[1], nc % v.shape[1], i, j);
}
// plane n, c of v
template <class T>
constexpr T* plane_of(const View& v, std::int64_t n, std::int64_t c) {
  return v.as<T>() + n * v.stride[0] + c * v.stride[1];
}

// y[n, c, p, q]. A window that lies in the padding alone gives -inf and where = -1.
template <class T>
constexpr void max_forward_one(const MaxPoolArgs& a, std::int64_t n, std::int64_t c, std::int64_t p, std::int64_t q) {
  const PoolGeometry& g = a.geometry;
  const std::int64_t h0 = p * g.stride_h - g.pad_top, w0 = q * g.stride_w - g.pad_left, w = a.x.shape[3];
  const Range rows = taps_inside(h0, g.dilation_h, g.kernel_h, a.x.shape[2]), cols = taps_inside(w0, g.dilation_w, g.kernel_w, w);
  const T* x = plane_of<const T>(a.x, n, c);
  T best = static_cast<T>(-std::numeric_limits<float>::infinity());
  std::int64_t at = -1;
  for (std::int64_t r = rows.begin; r < rows.end; ++r)
    for (std::int64_t s = cols.begin; s < cols.end; ++s) {
      const std::int64_t i = h0 + r * g.dilation_h, j = w0 + s * g.dilation_w;
      const T v = x[i * a.x.stride[2] + j * a.x.stride[3]];
      if (at < 0 || v > best || (v != v && best == best)) {
        best = v;
        at = i * w + j;
      }  // the first NaN wins and stays
    }
  plane_of<T>(a.y, n, c)[p * a.y.stride[2] + q * a.y.stride[3]] = best;
  if (a.where.data) plane_of<std::int32_t>(a.where, n, c)[p * a.where.stride[2] + q * a.where.stride[3]] = static_cast<std::int32_t>(at);
}
// dx[n, c, i, j]
template <class T, class A>
constexpr void max_grad_one(const MaxPoolGradArgs& a, std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
  const PoolGeometry& g = a.geometry;
  const std::int64_t w = a.dx.shape[3], eh = g.dilation_h * (g.kernel_h - 1) + 1, ew = g.dilation_w * (g.kernel_w - 1) + 1;
  const Range rows = windows_over(i, g.pad_top, g.stride_h, eh, a.dy.shape[2]),
              cols = windows_over(j, g.pad_left, g.stride_w, ew, a.dy.shape[3]);
  const T* dy = plane_of<const T>(a.dy, n, c);
  const std::int32_t* where = plane_of<const std::int32_t>(a.where, n, c);
  A sum = 0;
  for (std::int64_t p = rows.begin; p < rows.end; ++p)
    for (std::int64_t q = cols.begin; q < cols.end; ++q)
      if (where[p * a.where.stride[2] + q * a.where.stride[3]] == i * w + j)
        sum += static_cast<A>(dy[p * a.dy.stride[2] + q * a.dy.stride[3]]);
  plane_of<T>(a.dx, n, c)[i * a.dx.stride[2] + j * a.dx.stride[3]] = static_cast<T>(sum);
}
// y[n, c, p, q]
template <class T, class A>
constexpr void avg_forward_one(const AvgPoolArgs& a, std::int64_t n, std::int64_t c, std::int64_t p, std::int64_t q) {
  const PoolGeometry& g = a.geometry;
  const std::int64_t h0 = p * g.stride_h - g.pad_top, w0 = q * g.stride_w - g.pad_left;
  const Range rows = taps_inside(h0, 1, g.kernel_h, a.x.shape[2]), cols = taps_inside(w0, 1, g.kernel_w, a.x.shape[3]);
  const T* x = plane_of<const T>(a.x, n, c);
  A sum = 0;
  for (std::int64_t r = rows.begin; r < rows.end; ++r)
    for (std::int64_t s = cols.begin; s < cols.end; ++s) sum += static_cast<A>(x[(h0 + r) * a.x.stride[2] + (w0 + s) * a.x.stride[3]]);
  plane_of<T>(a.y, n, c)[p * a.y.stride[2] + q * a.y.stride[3]] =
      static_cast<T>(sum / static_cast<A>(divisor(g, a.count_padding, rows, cols)));
}
// dx[n, c, i, j]
template <class T, class A>
constexpr void avg_grad_one(const AvgPoolGradArgs& a, std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
  const PoolGeometry& g = a.geometry;
  const Range rows = windows_over(i, g.pad_top, g.stride_h, g.kernel_h, a.dy.shape[2]);
  const Range cols = windows_over(j, g.pad_left, g.stride_w, g.kernel_w, a.dy.shape[3]);
  const T* dy = plane_of<const T>(a.dy, n, c);
  A sum = 0;
  for (std::int64_t p = rows.begin; p < rows.end; ++p) {
    const Range r = taps_inside(p * g.stride_h - g.pad_top, 1, g.kernel_h, a.dx.shape[2]);
    for (std::int64_t q = cols.begin; q < cols.end; ++q) {
      const Range s = taps_inside(q * g.stride_w - g.pad_left, 1, g.kernel_w, a.dx.shape[3]);
      sum += static_cast<A>(dy[p * a.dy.stride[2] + q * a.dy.stride[3]]) / static_cast<A>(divisor(g, a.count_padding, r, s));
    }
  }
  plane_of<T>(a.dx, n, c)[i * a.dx.stride[2] + j * a.dx.stride[3]] = static_cast<T>(sum);
}

// planes [begin, end) of the n*c planes
template <class T>
void max_forward(const MaxPoolArgs& a, std::int64_t begin, std::int64_t end) {
  each_of_planes(a.y, begin, end, [&](auto... at) { max_forward_one<T>(a, at...); });
}
template <class T, class A>
void max_grad(const MaxPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  each_of_planes(a.dx, begin, end, [&](auto... at) { max_grad_one<T, A>(a, at...); });
}
template <class T, class A>
void avg_forward(const AvgPoolArgs& a, std::int64_t begin, std::int64_t end) {
  each_of_planes(a.y, begin, end, [&](auto... at) { avg_forward_one<T, A>(a, at...); });
}
template <class T, class A>
void avg_grad(const AvgPoolGradArgs& a, std::int64_t begin, std::int64_t end) {
  each_of_planes(a.dx, begin, end, [&](auto... at) { avg_grad_one<T, A>(a, at...); });
}

}  // namespace graft::pool_loops
