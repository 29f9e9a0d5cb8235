// What the device rows of the norms share. A group is outer x inner elements of each view: a row (1 x cols), the channels of a group over
// their positions (channels x s), or a channel over the batch (n x s). A kernel gives a thread its span of a group's elements and a sum
// over the threads that share the group. The numbers are those of loops.h: two visits for the statistics, the mean kept as shift + delta.
#pragma once
#include "kernels/norm/norm.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace norm {

struct Line {  // where element (o, i) of a group lies in a view
  std::int64_t first, outer, inner;
  __device__ std::int64_t at(std::int64_t o, std::int64_t i) const { return first + o * outer + i * inner; }
};
struct Span {  // elements first, first + step, ... below end of a group
  std::int64_t first, end, step;
};
// (o, i) of a span's elements; an integer division per element would cost more than the element.
struct RowCursor {
  std::int64_t o = 0, i, step;
  __device__ RowCursor(std::int64_t first, std::int64_t leap, std::int64_t) : i(first), step(leap) {}
  __device__ void next() { i += step; }
};
struct PlaneCursor {
  std::int64_t o, i, leap_o, leap_i, inner;
  __device__ PlaneCursor(std::int64_t first, std::int64_t leap, std::int64_t n)
      : o(first / n), i(first % n), leap_o(leap / n), leap_i(leap % n), inner(n) {}
  __device__ void next() {
    o += leap_o;
    i += leap_i;
    if (i >= inner) i -= inner, ++o;
  }
};

struct RowKind {  // x [rows, cols]
  using Cursor = RowCursor;
  std::int64_t groups, outer, inner;
  explicit RowKind(const View& x) : groups(x.shape[0]), outer(1), inner(x.shape[1]) {}
  __device__ Line line(const View& v, std::int64_t t) const { return {t * v.stride[0], 0, v.stride[1]}; }
  __device__ std::int64_t stat(const View& v, std::int64_t t) const { return t * v.stride[0]; }
  __device__ std::int64_t channel(std::int64_t, std::int64_t, std::int64_t i) const { return i; }
};
struct GroupKind {  // x [n, c, s], c / per groups per image
  using Cursor = PlaneCursor;
  std::int64_t groups, outer, inner, per_image;
  GroupKind(const View& x, std::int64_t count)
      : groups(x.shape[0] * count), outer(x.shape[1] / count), inner(x.shape[2]), per_image(count) {}
  __device__ Line line(const View& v, std::int64_t t) const {
    return {t / per_image * v.stride[0] + t % per_image * outer * v.stride[1], v.stride[1], v.stride[2]};
  }
  __device__ std::int64_t stat(const View& v, std::int64_t t) const { return t / per_image * v.stride[0] + t % per_image * v.stride[1]; }
  __device__ std::int64_t channel(std::int64_t t, std::int64_t o, std::int64_t) const { return t % per_image * outer + o; }
};
struct BatchKind {  // x [n, c, s]
  using Cursor = PlaneCursor;
  std::int64_t groups, outer, inner;
  explicit BatchKind(const View& x) : groups(x.shape[1]), outer(x.shape[0]), inner(x.shape[2]) {}
  __device__ Line line(const View& v, std::int64_t t) const { return {t * v.stride[1], v.stride[0], v.stride[2]}; }
  __device__ std::int64_t stat(const View& v, std::int64_t t) const { return t * v.stride[0]; }
  __device__ std::int64_t channel(std::int64_t t, std::int64_t, std::int64_t) const { return t; }
};

template <class Kind>
struct Forward {
  Kind kind;
  View x, y, weight, bias, mean, rstd;
  double eps;
  bool rms, given;  // given: mean and rstd are read
  __host__ __device__ std::int64_t count() const { return kind.outer * kind.inner; }
};
template <class Kind>
struct Backward {
  Kind kind;
  View dy, x, weight, mean, rstd, dx;
  bool rms, constant;
  __host__ __device__ std::int64_t count() const { return kind.outer * kind.inner; }
};
// dweight and dbias: channel c over (n, s). The statistics of (n, c) lie at n * n_step + c / per * c_step.
struct Parameters {
  View dy, x, mean, rstd, dweight, dbias;
  std::int64_t n, c, s, per;
  bool rms, by_image, by_channel;
  __device__ std::int64_t stat(const View& v, std::int64_t image, std::int64_t channel) const {
    const std::int64_t k = channel / per;
    return by_image ? image * v.stride[0] + (by_channel ? k * v.stride[1] : 0) : k * v.stride[0];
  }
};

inline Forward<RowKind> forward_of(const RowNormArgs& a) {
  return {RowKind(a.x), a.x, a.y, a.weight, a.bias, a.mean, a.rstd, a.eps, a.rms, false};
}
inline Forward<GroupKind> forward_of(const GroupNormArgs& a) {
  return {GroupKind(a.x, a.groups), a.x, a.y, a.weight, a.bias, a.mean, a.rstd, a.eps, false, false};
}
inline Forward<BatchKind> forward_of(const BatchNormArgs& a) {
  return {BatchKind(a.x), a.x, a.y, a.weight, a.bias, a.mean, a.rstd, a.eps, false, !a.training};
}
inline Backward<RowKind> backward_of(const RowNormGradArgs& a) {
  return {RowKind(a.x), a.dy, a.x, a.weight, a.mean, a.rstd, a.dx, a.rms, false};
}
inline Backward<GroupKind> backward_of(const GroupNormGradArgs& a) {
  return {GroupKind(a.x, a.groups), a.dy, a.x, a.weight, a.mean, a.rstd, a.dx, false, false};
}
inline Backward<BatchKind> backward_of(const BatchNormGradArgs& a) {
  return {BatchKind(a.x), a.dy, a.x, a.weight, a.mean, a.rstd, a.dx, false, !a.training};
}
inline Parameters parameters_of(const RowNormGradArgs& a) {
  return {a.dy, a.x, a.mean, a.rstd, a.dweight, a.dbias, a.x.shape[0], a.x.shape[1], 1, a.x.shape[1] + 1, a.rms, true, false};
}
inline Parameters parameters_of(const GroupNormGradArgs& a) {
  return {a.dy,  a.x,  a.mean, a.rstd, a.dweight, a.dbias, a.x.shape[0], a.x.shape[1], a.x.shape[2], a.x.shape[1] / a.groups,
          false, true, true};
}
inline Parameters parameters_of(const BatchNormGradArgs& a) {
  return {a.dy, a.x, a.mean, a.rstd, a.dweight, a.dbias, a.x.shape[0], a.x.shape[1], a.x.shape[2], 1, false, false, true};
}

// mean and rstd are f32 or f64, whatever x is.
template <class A>
__device__ __forceinline__ A stat(const View& v, std::int64_t i) {
  return v.dtype == DType::f64 ? static_cast<A>(v.as<const double>()[i]) : static_cast<A>(v.as<const float>()[i]);
}
template <class A>
__device__ __forceinline__ void set_stat(const View& v, std::int64_t i, A x) {
  if (!v.data) return;
  if (v.dtype == DType::f64) v.as<double>()[i] = static_cast<double>(x);
  else v.as<float>()[i] = static_cast<float>(x);
}
template <class T>
__device__ __forceinline__ Accum<T> at(const View& v, std::int64_t i) {
  return static_cast<Accum<T>>(v.as<const T>()[i]);
}

template <class Kind, class F>
__device__ __forceinline__ void each(const Kind& kind, const Span& span, F&& f) {
  if (span.first >= span.end) return;
  typename Kind::Cursor k(span.first, span.step, kind.inner);
  for (std::int64_t e = span.first; e < span.end; e += span.step, k.next()) f(k.o, k.i);
}

template <class A>
struct Stats {
  A shift = 0, delta = 0, rstd = 0;
  __device__ A mean() const { return shift + delta; }
  __device__ A centred(A x) const { return (x - shift) - delta; }
};

// This thread's part of the sum of x - shift, and of the squared deviations.
template <class T, class Kind>
__device__ __forceinline__ Accum<T> part_of_sum(const Forward<Kind>& f, const Line& x, const Span& span, Accum<T> shift) {
  Accum<T> sum = 0;
  each(f.kind, span, [&](std::int64_t o, std::int64_t i) { sum += at<T>(f.x, x.at(o, i)) - shift; });
  return sum;
}
template <class T, class Kind>
__device__ __forceinline__ Accum<T> part_of_squares(const Forward<Kind>& f, const Line& x, const Span& span, const Stats<Accum<T>>& s) {
  Accum<T> squares = 0;
  each(f.kind, span, [&](std::int64_t o, std::int64_t i) {
    const Accum<T> d = s.centred(at<T>(f.x, x.at(o, i)));
    squares += d * d;
  });
  return squares;
}
template <class T, class Kind>
__device__ __forceinline__ Stats<Accum<T>> given_stats(const Forward<Kind>& f, std::int64_t t) {
  return {stat<Accum<T>>(f.mean, f.kind.stat(f.mean, t)), 0, stat<Accum<T>>(f.rstd, f.kind.stat(f.rstd, t))};
}
template <class A, class Kind>
__device__ __forceinline__ void save_stats(const Forward<Kind>& f, std::int64_t t, const Stats<A>& s) {
  set_stat(f.mean, f.kind.stat(f.mean, t), s.mean());
  set_stat(f.rstd, f.kind.stat(f.rstd, t), s.rstd);
}
template <class T, class Kind>
__device__ __forceinline__ void write(const Forward<Kind>& f, std::int64_t t, const Line& x, const Span& span, const Stats<Accum<T>>& s) {
  const Line y = f.kind.line(f.y, t);
  each(f.kind, span, [&](std::int64_t o, std::int64_t i) {
    const std::int64_t c = f.kind.channel(t, o, i);
    Accum<T> v = s.centred(at<T>(f.x, x.at(o, i))) * s.rstd;
    if (f.weight.data) v *= at<T>(f.weight, c * f.weight.stride[0]);
    if (f.bias.data) v += at<T>(f.bias, c * f.bias.stride[0]);
    f.y.template as<T>()[y.at(o, i)] = static_cast<T>(v);
  });
}

// Group t, forward; every thread of the group calls it with its span, the one whose span begins at 0 saves the statistics.
template <class T, class Kind, class Sum>
__device__ __forceinline__ void forward_group(const Forward<Kind>& f, std::int64_t t, const Span& span, Sum&& sum) {
  using A = Accum<T>;
  const A n = static_cast<A>(f.count());
  const Line x = f.kind.line(f.x, t);
  Stats<A> s;
  if (f.given) {
    s = given_stats<T>(f, t);
  } else {
    if (!f.rms && span.end > 0) {
      s.shift = at<T>(f.x, x.first);
      s.delta = sum(part_of_sum<T>(f, x, span, s.shift)) / n;
    }
    s.rstd = 1 / std::sqrt(sum(part_of_squares<T>(f, x, span, s)) / n + static_cast<A>(f.eps));
    if (span.first == 0) save_stats(f, t, s);
  }
  write<T>(f, t, x, span, s);
}

// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight; mean(g) only when the mean was subtracted. Constant statistics: dx =
// rstd * g.
template <class T, class Kind, class Sum>
__device__ __forceinline__ void backward_group(const Backward<Kind>& b, std::int64_t t, const Span& span, Sum&& sum) {
  using A = Accum<T>;
  const A n = static_cast<A>(b.count());
  const Line x = b.kind.line(b.x, t), dy = b.kind.line(b.dy, t), dx = b.kind.line(b.dx, t);
  const A mean = b.rms ? A(0) : stat<A>(b.mean, b.kind.stat(b.mean, t)), rstd = stat<A>(b.rstd, b.kind.stat(b.rstd, t));
  const auto g = [&](std::int64_t o, std::int64_t i) {
    const A v = at<T>(b.dy, dy.at(o, i));
    return b.weight.data ? v * at<T>(b.weight, b.kind.channel(t, o, i) * b.weight.stride[0]) : v;
  };
  const auto xhat = [&](std::int64_t o, std::int64_t i) { return (at<T>(b.x, x.at(o, i)) - mean) * rstd; };
  A mean_g = 0, mean_gx = 0;
  if (!b.constant) {
    each(b.kind, span, [&](std::int64_t o, std::int64_t i) {
      const A v = g(o, i);
      mean_g += v;
      mean_gx += v * xhat(o, i);
    });
    mean_g = b.rms ? A(0) : sum(mean_g) / n;
    mean_gx = sum(mean_gx) / n;
  }
  each(b.kind, span, [&](std::int64_t o, std::int64_t i) {
    b.dx.template as<T>()[dx.at(o, i)] = static_cast<T>(rstd * (g(o, i) - mean_g - xhat(o, i) * mean_gx));
  });
}

// What dy[n, c, s] adds to (dweight, dbias) of channel c, mean and rstd given.
template <class T>
__device__ __forceinline__ void add_parameters(const Parameters& p, std::int64_t n, std::int64_t c, std::int64_t s, Accum<T> mean,
                                               Accum<T> rstd, Accum<T>& dw, Accum<T>& db) {
  const Accum<T> g = at<T>(p.dy, n * p.dy.stride[0] + c * p.dy.stride[1] + s * p.dy.stride[2]);
  dw += g * ((at<T>(p.x, n * p.x.stride[0] + c * p.x.stride[1] + s * p.x.stride[2]) - mean) * rstd);
  db += g;
}
template <class A>
__device__ __forceinline__ A mean_of(const Parameters& p, std::int64_t n, std::int64_t c) {
  return p.rms ? A(0) : stat<A>(p.mean, p.stat(p.mean, n, c));
}
template <class A>
__device__ __forceinline__ A rstd_of(const Parameters& p, std::int64_t n, std::int64_t c) {
  return stat<A>(p.rstd, p.stat(p.rstd, n, c));
}
template <class T>
__device__ __forceinline__ void set_parameters(const Parameters& p, std::int64_t c, Accum<T> dw, Accum<T> db) {
  if (p.dweight.data) p.dweight.as<T>()[c * p.dweight.stride[0]] = static_cast<T>(dw);
  if (p.dbias.data) p.dbias.as<T>()[c * p.dbias.stride[0]] = static_cast<T>(db);
}
// Sums over the rows of a block of 32 columns x 32 rows of threads (a warp is 32 neighbouring columns), a fixed tree; every thread gets the
// sum of its column.
template <class A>
__device__ __forceinline__ A column_sum(A v, A (&tile)[32][33]) {
  __syncthreads();  // an earlier sum may still be reading the tile
  tile[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  // transposed: warp y folds column y, then hands it to column y of every warp through the tile
  A sum = warp_sum(tile[threadIdx.x][threadIdx.y]);
  __syncthreads();
  if (threadIdx.x == 0) tile[0][threadIdx.y] = sum;
  __syncthreads();
  return tile[0][threadIdx.x];
}
// parts: [count, 2, cols], dweight's and dbias's partial sums. Block 32 x 32.
template <class T>
__global__ void fold_parts(Parameters p, const Accum<T>* parts, std::int64_t count) {
  using A = Accum<T>;
  GRAFT_SHARED(A, tile, [32][33]);
  const std::int64_t c = std::int64_t{blockIdx.x} * 32 + threadIdx.x;
  A dw = 0, db = 0;
  for (std::int64_t k = threadIdx.y; k < count && c < p.c; k += 32) {
    dw += parts[2 * k * p.c + c];
    db += parts[(2 * k + 1) * p.c + c];
  }
  dw = column_sum(dw, tile);
  db = column_sum(db, tile);
  if (threadIdx.y == 0 && c < p.c) set_parameters<T>(p, c, dw, db);
}
inline bool wanted(const Parameters& p) { return (p.dweight.data || p.dbias.data) && p.c > 0; }

}  // namespace norm
}  // namespace graft::GRAFT_SIMT
