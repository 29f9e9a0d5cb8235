// What the device rows of cross-entropy share: the end of a row, once its maximum and sum are known, and a row of the gradient. A thread
// takes columns first, first + step, ...; sum(v) adds v over the threads that share the row. The numbers are those of plain.h: log p is (x
// - top) - log(sum), never x - lse.
#pragma once
#include "kernels/loss/loss.h"
#include "kernels/simt/fault.h"
#include "kernels/simt/online.h"

namespace graft::GRAFT_SIMT {
namespace cross {

template <class T>
struct Row {
  T* data;
  std::int64_t stride, n;
  __device__ T& operator[](std::int64_t c) const { return data[c * stride]; }
};
template <class T>
__device__ __forceinline__ Row<T> row(const View& v, std::int64_t r) {
  return {v.as<T>() + r * v.stride[0], v.stride[1], v.shape[1]};
}

template <class T>
__device__ __forceinline__ Accum<T> class_weight(const View& w, std::int64_t c) {
  return w.data ? static_cast<Accum<T>>(w.as<const T>()[c * w.stride[0]]) : Accum<T>(1);
}

template <class T>
__device__ __forceinline__ Running<Accum<T>> visit_row(const Row<const T>& x, std::int64_t first, std::int64_t step) {
  Running<Accum<T>> v{-INFINITY, 0};
  for (std::int64_t c = first; c < x.n; c += step) v = join(v, Running<Accum<T>>{static_cast<Accum<T>>(x[c]), 1});
  return v;
}

// The target's logit, or anything where there is none. Read by every thread before the row's maximum is joined, so that dlogits may take
// the logits' place.
template <class T>
__device__ __forceinline__ Accum<T> hit_of(const CrossEntropyArgs& a, std::int64_t r, const Row<const T>& x) {
  const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
  return target >= 0 && target < x.n ? static_cast<Accum<T>>(x[target]) : Accum<T>(0);
}

// x: [classes]; hit, top and sum known to every thread of the row. Loss and lse are written by the thread whose first column is 0.
template <class T, class Sum>
__device__ __forceinline__ void finish(const CrossEntropyArgs& a, const FaultSink& faults, std::int64_t r, const Row<const T>& x,
                                       Accum<T> hit, Accum<T> top, Accum<T> sum, std::int64_t first, std::int64_t step, Sum&& over_row) {
  using A = Accum<T>;
  const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
  const A log_sum = std::log(sum_of(Running<A>{top, sum})), smoothing = static_cast<A>(a.smoothing);
  A spread = 0;
  if (smoothing != 0) {  // the same for every thread of the row: all of them meet in over_row
    for (std::int64_t c = first; c < x.n; c += step)
      spread += class_weight<T>(a.class_weight, c) * (log_sum - (static_cast<A>(x[c]) - top));
    spread = over_row(spread) * (smoothing / static_cast<A>(x.n));
  }
  if (first != 0) return;
  A loss = NAN;
  if (target == a.ignore_index) loss = 0;
  else if (!index_inside(target, x.n)) report_fault(faults, r, target, x.n);
  else loss = (1 - smoothing) * class_weight<T>(a.class_weight, target) * (log_sum - (hit - top)) + spread;
  a.lse.as<A>()[r * a.lse.stride[0]] = top + log_sum;
  a.loss.as<A>()[r * a.loss.stride[0]] = loss;
}

// What a row of the gradient needs beside its logits: dlogits[c] = g * (exp(x - shift) * mass - q_c w_c), q_c = spread, and 1 - smoothing
// more at the target. shift is lse; the fused rows, which know top and sum, take top and divide mass by sum.
template <class A>
struct Target {
  std::int64_t index;
  A g, shift, mass, spread, at_target;
  bool ignored, outside;
};
template <class T, class Args, class Sum>
__device__ __forceinline__ Target<Accum<T>> target_of(const Args& a, std::int64_t r, Accum<T> g, Accum<T> shift, std::int64_t first,
                                                      std::int64_t step, Sum&& over_row) {
  using A = Accum<T>;
  const std::int64_t n = a.logits.shape[1], target = a.target.template as<const std::int64_t>()[r * a.target.stride[0]];
  const A smoothing = static_cast<A>(a.smoothing);
  Target<A> t{target, g, shift, 1, smoothing / static_cast<A>(n), 1 - smoothing, target == a.ignore_index, target < 0 || target >= n};
  if (!a.class_weight.data) return t;
  t.mass = t.ignored || t.outside ? A(0) : t.at_target * class_weight<T>(a.class_weight, target);
  if (smoothing != 0) {
    A sum = 0;
    for (std::int64_t c = first; c < n; c += step) sum += class_weight<T>(a.class_weight, c);
    t.mass += t.spread * over_row(sum);
  }
  return t;
}
template <class T, class Sum>
__device__ __forceinline__ Target<Accum<T>> target_of(const CrossEntropyGradArgs& a, std::int64_t r, std::int64_t first, std::int64_t step,
                                                      Sum&& over_row) {
  using A = Accum<T>;
  return target_of<T>(a, r, a.dloss.as<const A>()[r * a.dloss.stride[0]], a.lse.as<const A>()[r * a.lse.stride[0]], first, step, over_row);
}
template <class T>
__device__ __forceinline__ Accum<T> gradient(const Target<Accum<T>>& t, const View& weight, std::int64_t c, Accum<T> x) {
  if (t.ignored) return 0;
  if (t.outside) return NAN;
  const Accum<T> q = t.spread + (c == t.index ? t.at_target : Accum<T>(0));
  return t.g * (std::exp(x - t.shift) * t.mass - q * class_weight<T>(weight, c));
}
template <class T, class Sum>
__device__ __forceinline__ void grad_row(const CrossEntropyGradArgs& a, std::int64_t r, std::int64_t first, std::int64_t step,
                                         Sum&& over_row) {
  const Row<const T> x = row<const T>(a.logits, r);
  const Row<T> dx = row<T>(a.dlogits, r);
  const auto t = target_of<T>(a, r, first, step, over_row);
  for (std::int64_t c = first; c < x.n; c += step) dx[c] = static_cast<T>(gradient<T>(t, a.class_weight, c, static_cast<Accum<T>>(x[c])));
}

// Loss, lse and what the gradient of the row needs.
template <class T, class Sum>
__device__ __forceinline__ Target<Accum<T>> finish_fused(const CrossEntropyFusedArgs& a, const FaultSink& faults, std::int64_t r,
                                                         const Row<const T>& x, Accum<T> hit, const Running<Accum<T>>& v,
                                                         std::int64_t first, std::int64_t step, Sum&& over_row) {
  using A = Accum<T>;
  finish<T>(a, faults, r, x, hit, v.top, v.sum, first, step, over_row);
  auto t = target_of<T>(a, r, a.scale.data ? *a.scale.as<const A>() : A(1), v.top, first, step, over_row);
  t.mass /= sum_of(v);
  return t;
}
// columns first, first + step, ...
template <class T>
__device__ __forceinline__ void write_row(const CrossEntropyFusedArgs& a, std::int64_t r, const Row<const T>& x, const Target<Accum<T>>& t,
                                          std::int64_t first, std::int64_t step) {
  const Row<T> dx = row<T>(a.dlogits, r);
  for (std::int64_t c = first; c < x.n; c += step) dx[c] = static_cast<T>(gradient<T>(t, a.class_weight, c, static_cast<Accum<T>>(x[c])));
}

}  // namespace cross
}  // namespace graft::GRAFT_SIMT
