// A row held in registers by its threads (a warp or a block of 256) in pieces of 16 bytes: piece p of thread i is columns (p * threads + i)
// * V and on. Views: last axis dense, every row on a 16-byte boundary, a whole number of pieces.
#pragma once
#include <cstring>

#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

#ifdef __CUDACC__
#define GRAFT_UNROLL _Pragma("unroll")  // an array indexed by a loop that is not unrolled lies in local memory
#else
#define GRAFT_UNROLL
#endif

namespace graft::GRAFT_SIMT {
namespace norm {

template <class T>
inline constexpr int kPiece = 16 / sizeof(T);  // V, elements per piece

template <class T>
__device__ __forceinline__ void load_piece(const T* from, Accum<T> (&to)[kPiece<T>]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  T v[kPiece<T>];
  std::memcpy(static_cast<void*>(v), &bits, 16);
  GRAFT_UNROLL for (int k = 0; k < kPiece<T>; ++k) to[k] = static_cast<Accum<T>>(v[k]);
}
template <class T>
__device__ __forceinline__ void store_piece(T* to, const Accum<T> (&from)[kPiece<T>]) {
  T v[kPiece<T>];
  GRAFT_UNROLL for (int k = 0; k < kPiece<T>; ++k) v[k] = static_cast<T>(from[k]);
  uint4 bits;
  std::memcpy(&bits, v, 16);
  *reinterpret_cast<uint4*>(to) = bits;
}

// The threads that share a row.
template <int kThreads, class A>
struct RowTeam {
  static_assert(kThreads == 32 || kThreads == 256);
  static constexpr unsigned kBlock = kThreads == 32 ? 128 : kThreads, kTeams = kBlock / kThreads;
  A* lines;  // shared, 32 elements
  __device__ static std::int64_t index() { return std::int64_t{blockIdx.x} * kTeams + threadIdx.x / kThreads; }
  __device__ static unsigned thread() { return threadIdx.x % kThreads; }
  __device__ A sum(A v) const {
    if constexpr (kThreads == 32) return warp_sum(v);
    else return block_sum(v, lines);
  }
};

// f.operator()<threads, pieces>(): the smallest of 1, 2, 4, ... most pieces that hold a row; a warp where it can.
template <class T, int kMost, class F>
void visit_held(std::int64_t cols, F&& f) {
  const std::int64_t pieces = cols / kPiece<T>;
  const auto by = [&]<int kThreads>() {
    if (pieces <= kThreads) f.template operator()<kThreads, 1>();
    else if (pieces <= 2 * kThreads) f.template operator()<kThreads, 2>();
    else if (pieces <= 4 * kThreads || kMost < 8) f.template operator()<kThreads, std::min(4, kMost)>();
    else f.template operator()<kThreads, kMost>();
  };
  if (pieces <= 32 * kMost) by.template operator()<32>();
  else by.template operator()<256>();
}

}  // namespace norm
}  // namespace graft::GRAFT_SIMT
