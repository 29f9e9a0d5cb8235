// One product sum after the other: the loop under `ref` (A = double) and `naive` (A = Accum<T>).
#pragma once
#include <cmath>

#include "kernels/matmul/matmul.h"

namespace graft {

template <class A>
constexpr A matmul_epilogue(Epilogue e, A v) {
  if (e == Epilogue::relu) return v < 0 ? A(0) : v;
  if (e == Epilogue::gelu) return A(0.5) * v * (1 + std::erf(v * A(0.70710678118654752440)));
  return v;
}

// C[batch, i, j]
template <class T, class A>
constexpr void matmul_one(const MatmulArgs& a, std::int64_t batch, std::int64_t i, std::int64_t j) {
  const T* x = a.a.as<const T>() + batch * a.a.stride[0] + i * a.a.stride[1];
  const T* y = a.b.as<const T>() + batch * a.b.stride[0] + j * a.b.stride[2];
  T& c = a.c.as<T>()[batch * a.c.stride[0] + i * a.c.stride[1] + j * a.c.stride[2]];
  A sum = 0;
  for (std::int64_t l = 0; l < a.a.shape[2]; ++l) sum += static_cast<A>(x[l * a.a.stride[2]]) * static_cast<A>(y[l * a.b.stride[1]]);
  sum *= static_cast<A>(a.alpha);
  if (a.accumulate) sum += static_cast<A>(c);
  if (a.bias.data) sum += static_cast<A>(a.bias.as<const T>()[j * a.bias.stride[0]]);
  c = static_cast<T>(matmul_epilogue(a.epilogue, sum));
}

// rows [begin, end) of batch * m
template <class T, class A>
void matmul_walk(const MatmulArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t m = a.c.shape[1];
  for (std::int64_t row = begin; row < end; ++row)
    for (std::int64_t j = 0; j < a.c.shape[2]; ++j) matmul_one<T, A>(a, row / m, row % m, j);
}

}  // namespace graft
