// Folds over the threads of a warp and a block, for the device rungs of reduce; and the operations and dtypes that they serve.
#pragma once
#include "kernels/reduce/fold.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {

// f.operator()<op, T>(): what a network asks for on the device; the rest is served by the plain rung.
template <class F>
void visit_common(const ReduceArgs& a, F&& f) {
  const auto typed = [&]<R op>() {
    if (a.in.dtype == DType::f32) f.template operator()<op, float>();
    else if (a.in.dtype == DType::bf16) f.template operator()<op, bf16>();
    else f.template operator()<op, f16>();
  };
  switch (a.op) {
    case R::sum: typed.template operator()<R::sum>(); break;
    case R::mean: typed.template operator()<R::mean>(); break;
    case R::max: typed.template operator()<R::max>(); break;
    case R::min: typed.template operator()<R::min>(); break;
    case R::argmax: typed.template operator()<R::argmax>(); break;
    case R::argmin: typed.template operator()<R::argmin>(); break;
    default: typed.template operator()<R::sum_of_squares>(); break;
  }
}

// The index travels only where it is the result. Lane 0's fold is the warp's.
template <R op, class T, class A>
__device__ __forceinline__ void fold_warp(Fold<op, T, A>& f) {
  for (int step = 16; step > 0; step /= 2) {
    Fold<op, T, A> other;
    other.v = __shfl_xor_sync(0xffffffffu, f.v, step);
    if constexpr (is_index(op)) other.at = __shfl_xor_sync(0xffffffffu, f.at, step);
    f.merge(other);
  }
}
// warps: shared, one per warp. Thread 0's fold is the block's.
template <R op, class T, class A>
__device__ __forceinline__ void fold_block(Fold<op, T, A>& f, Fold<op, T, A>* warps) {
  fold_warp(f);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = f;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  f = threadIdx.x < blockDim.x / 32 ? warps[threadIdx.x] : Fold<op, T, A>{};
  fold_warp(f);
}

}  // namespace graft::GRAFT_SIMT
