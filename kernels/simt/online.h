// Maximum and sum of exponentials in one visit (online softmax, Milakov and Gimelshein 2018): a running maximum and the sum of exp(x -
// maximum), rescaled when the maximum grows. Pairs are joined over a warp or a block in a fixed tree; every thread gets the result.
#pragma once
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {

template <class A>
struct Running {
  A top,
      sum;  // nothing seen: -inf, 0; one value x: x, 1. An element equal to top counts 1, so a row of -inf sums to its length, not to NaN
};
template <class A>
__device__ __forceinline__ Running<A> join(Running<A> a, Running<A> b) {
  const A top = max_or_nan(a.top, b.top);
  // -inf - -inf would be NaN where one side has seen nothing but -inf
  const A sa = a.top == top ? a.sum : a.sum * std::exp(a.top - top), sb = b.top == top ? b.sum : b.sum * std::exp(b.top - top);
  return {top, sa + sb};
}
// The sum of exp(x - top) as the mathematics has it: NaN where top is infinite, because exp(inf - inf) is in it. Only the whole row's: a
// part of -inf alone is no NaN.
template <class A>
__device__ __forceinline__ A sum_of(Running<A> v) {
  return v.sum + (v.top - v.top);
}
template <class A>
__device__ __forceinline__ Running<A> join_warp(Running<A> v) {
  for (int o = 16; o > 0; o /= 2) v = join(v, Running<A>{__shfl_xor_sync(0xffffffffu, v.top, o), __shfl_xor_sync(0xffffffffu, v.sum, o)});
  return v;
}
// warps: shared, 32 elements
template <class A>
__device__ __forceinline__ Running<A> join_block(Running<A> v, Running<A>* warps) {
  const unsigned lane = threadIdx.x % 32;
  v = join_warp(v);
  if (lane == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  return join_warp(lane < blockDim.x / 32 ? warps[lane] : Running<A>{-INFINITY, 0});
}

}  // namespace graft::GRAFT_SIMT
