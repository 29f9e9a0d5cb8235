// One row after the other. The loops under `ref` (A = double) and `naive` (A = Accum<T>); S is the type of loss, lse and dloss.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/loss/loss.h"

namespace graft {

// -sum_c q_c w_c log p_c, the smoothed target spread over all classes. log p_c = (x_c - top) - log_sum: with the rounded lse = top +
// log_sum in its place, logits of 1000 and a spread of 1 would lose four digits.
template <class T, class A>
A cross_entropy_of(const T* x, std::int64_t sx, const T* w, std::int64_t sw, std::int64_t n, std::int64_t target, A smoothing, A top,
                   A log_sum) {
  const auto weight = [&](std::int64_t c) { return w ? static_cast<A>(w[c * sw]) : A(1); };
  A loss = (1 - smoothing) * weight(target) * (log_sum - (static_cast<A>(x[target * sx]) - top));
  if (smoothing != 0) {
    A sum = 0;
    for (std::int64_t c = 0; c < n; ++c) sum += weight(c) * (log_sum - (static_cast<A>(x[c * sx]) - top));
    loss += smoothing / static_cast<A>(n) * sum;
  }
  return loss;
}

template <class A>
struct RowSum {
  A top, sum;
};  // the maximum, and the sum of exp(x - maximum)
template <class T, class A>
RowSum<A> row_sum(const T* x, std::int64_t sx, std::int64_t n) {
  A top = -std::numeric_limits<A>::infinity(), sum = 0;
  for (std::int64_t c = 0; c < n; ++c) {
    const A v = static_cast<A>(x[c * sx]);
    top = v > top || v != v ? v : top;
  }
  for (std::int64_t c = 0; c < n; ++c) sum += std::exp(static_cast<A>(x[c * sx]) - top);
  return {top, sum};
}

template <class T, class S, class A>
RowSum<A> cross_entropy_row(const CrossEntropyArgs& a, std::int64_t r) {
  const std::int64_t n = a.logits.shape[1], sx = a.logits.stride[1];
  const T* w = a.class_weight.data ? a.class_weight.as<const T>() : nullptr;
  const T* x = a.logits.as<const T>() + r * a.logits.stride[0];
  const std::int64_t target = a.target.as<const std::int64_t>()[r * a.target.stride[0]];
  S& loss = a.loss.as<S>()[r * a.loss.stride[0]];
  const RowSum<A> s = row_sum<T, A>(x, sx, n);
  const A log_sum = std::log(s.sum);
  a.lse.as<S>()[r * a.lse.stride[0]] = static_cast<S>(s.top + log_sum);
  if (target == a.ignore_index) loss = 0;
  else if (target < 0 || target >= n) loss = std::numeric_limits<S>::quiet_NaN();
  else
    loss =
        static_cast<S>(cross_entropy_of<T, A>(x, sx, w, a.class_weight.stride[0], n, target, static_cast<A>(a.smoothing), s.top, log_sum));
  return s;
}
template <class T, class S, class A>
void cross_entropy_walk(const CrossEntropyArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) cross_entropy_row<T, S, A>(a, r);
}

// sum_k q_k w_k
template <class T, class A>
A target_mass(const T* w, std::int64_t sw, std::int64_t n, std::int64_t target, A smoothing) {
  if (!w) return 1;
  A mass = (1 - smoothing) * static_cast<A>(w[target * sw]);
  if (smoothing != 0) {
    A sum = 0;
    for (std::int64_t c = 0; c < n; ++c) sum += static_cast<A>(w[c * sw]);
    mass += smoothing / static_cast<A>(n) * sum;
  }
  return mass;
}

// A row of dlogits = g * (p_c * sum_k(q_k w_k) - q_c w_c) with p_c = exp(x_c - shift) / sum. Args: CrossEntropyGradArgs or
// CrossEntropyFusedArgs.
template <class T, class A, class Args>
void cross_entropy_grad_row(const Args& a, std::int64_t r, A g, A shift, A sum) {
  const std::int64_t n = a.logits.shape[1], sw = a.class_weight.stride[0];
  const T* w = a.class_weight.data ? a.class_weight.template as<const T>() : nullptr;
  const A smoothing = static_cast<A>(a.smoothing), spread = smoothing / static_cast<A>(n);
  const T* x = a.logits.template as<const T>() + r * a.logits.stride[0];
  T* dx = a.dlogits.template as<T>() + r * a.dlogits.stride[0];
  const std::int64_t target = a.target.template as<const std::int64_t>()[r * a.target.stride[0]];
  const bool ignored = target == a.ignore_index, outside = !ignored && (target < 0 || target >= n);
  const A mass = ignored || outside ? A(0) : target_mass<T, A>(w, sw, n, target, smoothing);
  for (std::int64_t c = 0; c < n; ++c) {
    A v = 0;
    if (outside) {
      v = std::numeric_limits<A>::quiet_NaN();
    } else if (!ignored) {
      const A q = spread + (c == target ? 1 - smoothing : A(0));
      v = g * (std::exp(static_cast<A>(x[c * a.logits.stride[1]]) - shift) / sum * mass - q * (w ? static_cast<A>(w[c * sw]) : A(1)));
    }
    dx[c * a.dlogits.stride[1]] = static_cast<T>(v);
  }
}
template <class T, class S, class A>
void cross_entropy_grad_walk(const CrossEntropyGradArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const A g = static_cast<A>(a.dloss.as<const S>()[r * a.dloss.stride[0]]),
            lse = static_cast<A>(a.lse.as<const S>()[r * a.lse.stride[0]]);
    cross_entropy_grad_row<T, A>(a, r, g, lse, A(1));
  }
}
template <class T, class S, class A>
void cross_entropy_fused_walk(const CrossEntropyFusedArgs& a, std::int64_t begin, std::int64_t end) {
  const A scale = a.scale.data ? static_cast<A>(*a.scale.as<const S>()) : A(1);
  for (std::int64_t r = begin; r < end; ++r) {
    const RowSum<A> s = cross_entropy_row<T, S, A>(a, r);
    cross_entropy_grad_row<T, A>(a, r, scale, s.top, s.sum);
  }
}

// f.operator()<T, S>(): S is f64 for f64 logits, f32 otherwise.
template <class F>
void visit_loss(DType t, F&& f) {
  visit_float(t, [&]<class T>() { f.template operator()<T, Accum<T>>(); });
}

}  // namespace graft
