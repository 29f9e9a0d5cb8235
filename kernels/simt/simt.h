// The one header of a .cu file. A .cu is compiled twice: by nvcc into namespace graft::cuda, by the host compiler into graft::emu, where
// the emulator runs it. CUDA's own words stay (__global__, threadIdx, __syncthreads, __shfl_xor_sync, atomicAdd); the house words are
//   launch(queue, kernel, grid, block, dynamic_bytes, args...)   instead of <<<>>>
//   GRAFT_SHARED(float, tile, [32][33]);                         a __shared__ array
//   GRAFT_DYNAMIC_SHARED(float, panel);                          float* to the dynamic shared memory, aligned to 1024 bytes
// and what prims.h (tensor cores, asynchronous copies) and hopper.h (wgmma, TMA, mbarrier) declare. A family's .cu looks like this:
//   namespace graft::GRAFT_SIMT { namespace { template <class T> __global__ void k(...) {...} }  void family_idea(Queue& q, const Args& a)
//   {...} }
#pragma once
#ifdef __CUDACC__
#define GRAFT_SIMT cuda
#include "kernels/simt/cuda_words.h"
#else
#define GRAFT_SIMT emu
#include "kernels/simt/host_words.h"
#endif
#include "kernels/core/dtype.h"
#include "kernels/core/view.h"

namespace graft::GRAFT_SIMT {

// Sum and maximum over a warp's lanes, every lane gets the result; the tree is fixed.
template <class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}
// NaN wins, as PyTorch's maximum.
template <class T>
__device__ __forceinline__ T max_or_nan(T a, T b) {
  return a != a ? a : b != b ? b : a > b ? a : b;
}
template <class T>
__device__ __forceinline__ T warp_max(T v) {
  for (int o = 16; o > 0; o /= 2) v = max_or_nan(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}
// Over a block of whole warps, every thread gets the result. `lines` is a shared array of at least 32 elements, free again after the next
// barrier.
template <class T, class F>
__device__ __forceinline__ T block_fold(T v, T neutral, T* lines, F fold) {
  for (int o = 16; o > 0; o /= 2) v = fold(v, __shfl_xor_sync(0xffffffffu, v, o));
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
  __syncthreads();  // an earlier fold may still be reading `lines`
  if (lane == 0) lines[warp] = v;
  __syncthreads();
  v = lane < warps ? lines[lane] : neutral;
  for (int o = 16; o > 0; o /= 2) v = fold(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}
template <class T>
__device__ __forceinline__ T block_sum(T v, T* lines) {
  return block_fold(v, T(0), lines, [](T a, T b) { return a + b; });
}

// Blocks of `threads` that cover n; at most `most`, for grid-stride loops.
inline unsigned blocks_for(std::int64_t n, std::int64_t threads, std::int64_t most = 1 << 20) {
  const std::int64_t b = (n + threads - 1) / threads;
  return static_cast<unsigned>(b < 1 ? 1 : b > most ? most : b);
}

}  // namespace graft::GRAFT_SIMT
