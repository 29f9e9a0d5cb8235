// One output of pooling or of its gradients for N neighbouring channels, in 32-bit arithmetic: what the rungs 1_plane (N = 1) and
// 2_channels (16 bytes) share. Both gradients gather, windows in the order of p, q, as loops.h. kPair: 2 x 2 windows with stride 2 and no
// padding, known to the compiler.
#pragma once
#include "kernels/pool/pool.h"
#include "kernels/simt/simt.h"

#ifdef __CUDACC__
#define GRAFT_UNROLL _Pragma("unroll")  // an array indexed by a loop that is not unrolled lies in local memory
#else
#define GRAFT_UNROLL
#endif

namespace graft::GRAFT_SIMT::pool_windows {

template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T v[N];
};
template <class T>
inline constexpr unsigned kPack = 16 / sizeof(T);

struct Window {
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
};
template <bool kPair>
__device__ __forceinline__ Window window_of(const PoolGeometry& g) {
  if constexpr (kPair) return {2, 2, 2, 2, 0, 0, 1, 1};
  else
    return {static_cast<int>(g.kernel_h), static_cast<int>(g.kernel_w), static_cast<int>(g.stride_h),   static_cast<int>(g.stride_w),
            static_cast<int>(g.pad_top),  static_cast<int>(g.pad_left), static_cast<int>(g.dilation_h), static_cast<int>(g.dilation_w)};
}
inline bool is_pair(const PoolGeometry& g) {
  return g.kernel_h == 2 && g.kernel_w == 2 && g.stride_h == 2 && g.stride_w == 2 && !g.pad_top && !g.pad_left && !g.pad_bottom &&
         !g.pad_right && g.dilation_h == 1 && g.dilation_w == 1;
}

struct Span {
  int begin, end;
};
__device__ __forceinline__ int least(int a, int b) { return a < b ? a : b; }
// taps t in [begin, end) for which origin + t * dilation lies in [0, size)
__device__ __forceinline__ Span taps_inside(int origin, int dilation, int taps, int size) {
  const int first = least(taps, origin >= 0 ? 0 : (-origin + dilation - 1) / dilation),
            last = origin >= size ? 0 : (size - origin + dilation - 1) / dilation;
  return {first, last < first ? first : least(last, taps)};
}
// windows in [0, count) whose extent holds position i
__device__ __forceinline__ Span windows_over(int i, int pad, int stride, int extent, int count) {
  const int low = i + pad - (extent - 1);
  return {low <= 0 ? 0 : (low + stride - 1) / stride, least(count, (i + pad) / stride + 1)};
}
__device__ __forceinline__ int divisor(const Window& w, bool count_padding, Span rows, Span cols) {
  const int inside = (rows.end - rows.begin) * (cols.end - cols.begin);
  return count_padding ? w.kernel_h * w.kernel_w : inside < 1 ? 1 : inside;
}

// What one thread makes: output (i, j) of channels c .. c + N - 1 of image n.
struct At {
  int n, c, i, j;
};
template <class T, int N>
__device__ __forceinline__ const Pack<T, N>& read(const View& v, int n, int c, int i, int j) {
  return *reinterpret_cast<const Pack<T, N>*>(v.as<const T>() + n * v.stride[0] + c * v.stride[1] + i * v.stride[2] + j * v.stride[3]);
}
template <class T, int N>
__device__ __forceinline__ void write(const View& v, At o, const Pack<T, N>& p) {
  *reinterpret_cast<Pack<T, N>*>(v.as<T>() + o.n * v.stride[0] + o.c * v.stride[1] + o.i * v.stride[2] + o.j * v.stride[3]) = p;
}
template <class T, int N, class A>
__device__ __forceinline__ void write_sums(const View& v, At o, const A (&sum)[N]) {
  Pack<T, N> p;
  GRAFT_UNROLL for (int k = 0; k < N; ++k) p.v[k] = static_cast<T>(sum[k]);
  write(v, o, p);
}

template <class T, int N, bool kPair>
__device__ __forceinline__ void make(const MaxPoolArgs& a, At o) {
  using A = Accum<T>;
  const Window g = window_of<kPair>(a.geometry);
  const int h0 = o.i * g.stride_h - g.pad_top, w0 = o.j * g.stride_w - g.pad_left, w = static_cast<int>(a.x.shape[3]);
  const Span rows = kPair ? Span{0, 2} : taps_inside(h0, g.dilation_h, g.kernel_h, static_cast<int>(a.x.shape[2]));
  const Span cols = kPair ? Span{0, 2} : taps_inside(w0, g.dilation_w, g.kernel_w, w);
  Pack<T, N> best;
  Pack<std::int32_t, N> at;
  A top[N];
  GRAFT_UNROLL for (int k = 0; k < N; ++k) {
    best.v[k] = static_cast<T>(-INFINITY);
    top[k] = -INFINITY;
    at.v[k] = -1;
  }
  for (int r = rows.begin; r < rows.end; ++r)
    for (int s = cols.begin; s < cols.end; ++s) {
      const int i = h0 + r * g.dilation_h, j = w0 + s * g.dilation_w;
      const Pack<T, N> x = read<T, N>(a.x, o.n, o.c, i, j);
      GRAFT_UNROLL for (int k = 0; k < N; ++k) {
        const A v = static_cast<A>(x.v[k]);
        if (at.v[k] < 0 || v > top[k] || (v != v && top[k] == top[k])) {  // the first NaN wins and stays
          best.v[k] = x.v[k];
          top[k] = v;
          at.v[k] = i * w + j;
        }
      }
    }
  write(a.y, o, best);
  if (a.where.data) write(a.where, o, at);
}
template <class T, int N, bool kPair>
__device__ __forceinline__ void make(const MaxPoolGradArgs& a, At o) {
  using A = Accum<T>;
  const Window g = window_of<kPair>(a.geometry);
  const int here = o.i * static_cast<int>(a.dx.shape[3]) + o.j;
  const Span rows = windows_over(o.i, g.pad_top, g.stride_h, g.dilation_h * (g.kernel_h - 1) + 1, static_cast<int>(a.dy.shape[2]));
  const Span cols = windows_over(o.j, g.pad_left, g.stride_w, g.dilation_w * (g.kernel_w - 1) + 1, static_cast<int>(a.dy.shape[3]));
  A sum[N] = {};
  for (int p = rows.begin; p < rows.end; ++p)
    for (int q = cols.begin; q < cols.end; ++q) {
      const Pack<std::int32_t, N> where = read<std::int32_t, N>(a.where, o.n, o.c, p, q);
      const Pack<T, N> dy = read<T, N>(a.dy, o.n, o.c, p, q);
      GRAFT_UNROLL for (int k = 0; k < N; ++k) if (where.v[k] == here) sum[k] += static_cast<A>(dy.v[k]);
    }
  write_sums<T>(a.dx, o, sum);
}
template <class T, int N, bool kPair>
__device__ __forceinline__ void make(const AvgPoolArgs& a, At o) {
  using A = Accum<T>;
  const Window g = window_of<kPair>(a.geometry);
  const int h0 = o.i * g.stride_h - g.pad_top, w0 = o.j * g.stride_w - g.pad_left;
  const Span rows = kPair ? Span{0, 2} : taps_inside(h0, 1, g.kernel_h, static_cast<int>(a.x.shape[2]));
  const Span cols = kPair ? Span{0, 2} : taps_inside(w0, 1, g.kernel_w, static_cast<int>(a.x.shape[3]));
  const A by = static_cast<A>(divisor(g, a.count_padding, rows, cols));
  A sum[N] = {};
  for (int r = rows.begin; r < rows.end; ++r)
    for (int s = cols.begin; s < cols.end; ++s) {
      const Pack<T, N> x = read<T, N>(a.x, o.n, o.c, h0 + r, w0 + s);
      GRAFT_UNROLL for (int k = 0; k < N; ++k) sum[k] += static_cast<A>(x.v[k]);
    }
  GRAFT_UNROLL for (int k = 0; k < N; ++k) sum[k] /= by;
  write_sums<T>(a.y, o, sum);
}
template <class T, int N, bool kPair>
__device__ __forceinline__ void make(const AvgPoolGradArgs& a, At o) {
  using A = Accum<T>;
  const Window g = window_of<kPair>(a.geometry);
  const int h = static_cast<int>(a.dx.shape[2]), w = static_cast<int>(a.dx.shape[3]);
  const Span rows = windows_over(o.i, g.pad_top, g.stride_h, g.kernel_h, static_cast<int>(a.dy.shape[2]));
  const Span cols = windows_over(o.j, g.pad_left, g.stride_w, g.kernel_w, static_cast<int>(a.dy.shape[3]));
  A sum[N] = {};
  for (int p = rows.begin; p < rows.end; ++p) {
    const Span r = kPair ? Span{0, 2} : taps_inside(p * g.stride_h - g.pad_top, 1, g.kernel_h, h);
    for (int q = cols.begin; q < cols.end; ++q) {
      const Span s = kPair ? Span{0, 2} : taps_inside(q * g.stride_w - g.pad_left, 1, g.kernel_w, w);
      const A by = static_cast<A>(divisor(g, a.count_padding, r, s));
      const Pack<T, N> dy = read<T, N>(a.dy, o.n, o.c, p, q);
      GRAFT_UNROLL for (int k = 0; k < N; ++k) sum[k] += static_cast<A>(dy.v[k]) / by;
    }
  }
  write_sums<T>(a.dx, o, sum);
}

inline const View& result_of(const MaxPoolArgs& a) { return a.y; }
inline const View& result_of(const MaxPoolGradArgs& a) { return a.dx; }
inline const View& result_of(const AvgPoolArgs& a) { return a.y; }
inline const View& result_of(const AvgPoolGradArgs& a) { return a.dx; }

}  // namespace graft::GRAFT_SIMT::pool_windows
