// The activations that more than one family computes, and their derivatives, on numbers. constexpr, because nvcc lets device code call
// that.
#pragma once
#include <cmath>

namespace graft {

inline constexpr double kSqrtHalf = 0.70710678118654752440, kInvSqrt2Pi = 0.39894228040143267794;

template <class A>
constexpr A sigmoid_of(A x) {
  return 1 / (1 + std::exp(-x));
}
template <class A>
constexpr A relu_of(A x) {
  return x < 0 ? A(0) : x;
}
template <class A>
constexpr A relu_grad_of(A dy, A x) {
  return x > 0 ? dy : x != x ? x : A(0);
}
template <class A>
constexpr A gelu_of(A x) {
  return A(0.5) * x * (1 + std::erf(x * A(kSqrtHalf)));
}
template <class A>
constexpr A gelu_grad_of(A dy, A x) {
  return dy * (A(0.5) * (1 + std::erf(x * A(kSqrtHalf))) + x * A(kInvSqrt2Pi) * std::exp(A(-0.5) * x * x));
}
template <class A>
constexpr A silu_of(A x) {
  return x / (1 + std::exp(-x));
}
template <class A>
constexpr A silu_grad_of(A dy, A x) {
  const A s = sigmoid_of(x);
  return dy * (s * (1 + x * (1 - s)));
}

}  // namespace graft
