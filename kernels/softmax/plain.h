// One row after the other, three visits: maximum, sum, quotient. The loops under `ref` (A = double) and `naive` (A = Accum<T>).
#pragma once
#include <cmath>
#include <limits>

#include "kernels/softmax/softmax.h"

namespace graft {

template <class T, class A>
constexpr void softmax_walk(const SoftmaxArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = a.x.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.x.as<const T>() + r * a.x.stride[0];
    T* y = a.y.as<T>() + r * a.y.stride[0];
    const std::int64_t sx = a.x.stride[1], sy = a.y.stride[1];
    A top = -std::numeric_limits<A>::infinity(), sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const A v = static_cast<A>(x[i * sx]);
      top = v > top || v != v ? v : top;
    }
    for (std::int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<A>(x[i * sx]) - top);
    if (a.log) {
      const A shift = std::log(sum);
      for (std::int64_t i = 0; i < n; ++i) y[i * sy] = static_cast<T>((static_cast<A>(x[i * sx]) - top) - shift);
    } else {
      const A scale = 1 / sum;
      for (std::int64_t i = 0; i < n; ++i) y[i * sy] = static_cast<T>(std::exp(static_cast<A>(x[i * sx]) - top) * scale);
    }
  }
}

template <class T, class A>
constexpr void softmax_grad_walk(const SoftmaxGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = a.y.shape[1];
  for (std::int64_t r = begin; r < end; ++r) {
    const T* y = a.y.as<const T>() + r * a.y.stride[0];
    const T* dy = a.dy.as<const T>() + r * a.dy.stride[0];
    T* dx = a.dx.as<T>() + r * a.dx.stride[0];
    A sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const A g = static_cast<A>(dy[i * a.dy.stride[1]]);
      sum += a.log ? g : g * static_cast<A>(y[i * a.y.stride[1]]);
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const A g = static_cast<A>(dy[i * a.dy.stride[1]]), p = static_cast<A>(y[i * a.y.stride[1]]);
      dx[i * a.dx.stride[1]] = static_cast<T>(a.log ? g - std::exp(p) * sum : p * (g - sum));
    }
  }
}

}  // namespace graft
