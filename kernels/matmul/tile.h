// What the CUDA rungs of matmul share: which tile of C a block does, pieces of 16 bytes, and the end of an element. Private to the family.
#pragma once
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"
#include "kernels/simt/simt.h"

#ifdef __CUDACC__
#define GRAFT_UNROLL _Pragma("unroll")    // an array indexed by a loop that is not unrolled lies in local memory
#define GRAFT_ROLLED _Pragma("unroll 1")  // where unrolling would cost more registers than there are
#else
#define GRAFT_UNROLL
#define GRAFT_ROLLED
#endif

namespace graft::GRAFT_SIMT {

struct Tile {
  std::int64_t batch, i0, j0;
};
template <int BM, int BN>
constexpr std::int64_t tiles_of(const MatmulArgs& a) {
  return a.c.shape[0] * ((a.c.shape[1] + BM - 1) / BM) * ((a.c.shape[2] + BN - 1) / BN);
}
// `Band` rows of tiles at a time, column by column: blocks that run together share panels of A and of B in L2.
template <int BM, int BN, unsigned Band = 8>
__device__ __forceinline__ Tile tile_at(const MatmulArgs& a, unsigned block) {
  const unsigned rows = static_cast<unsigned>((a.c.shape[1] + BM - 1) / BM), cols = static_cast<unsigned>((a.c.shape[2] + BN - 1) / BN),
                 each = rows * cols;
  const unsigned batch = block / each, t = block % each, band = t / (Band * cols), in = t % (Band * cols), left = rows - Band * band;
  const unsigned high = left < Band ? left : Band;
  return {batch, std::int64_t{Band * band + in % high} * BM, std::int64_t{in / high} * BN};
}
// 128 x 128 tiles once they give most processors of a large device something to do; 64 x 64 before. By size alone: the same sums on every
// device.
inline bool large_tiles(const MatmulArgs& a) { return a.c.shape[1] > 64 && a.c.shape[2] > 64 && tiles_of<128, 128>(a) >= 96; }

// N elements that move together: 16 bytes at most a transaction
template <class T, int N>
struct alignas(N * sizeof(T) > 16 ? 16 : N * sizeof(T)) Group {
  T v[N];
};
template <class T>
inline constexpr int kPiece = 16 / static_cast<int>(sizeof(T));  // elements of 16 bytes
template <class T>
using Piece = Group<T, kPiece<T>>;

template <class T, int N>
__device__ __forceinline__ Group<T, N> group_at(const T* p) {
  return *reinterpret_cast<const Group<T, N>*>(p);
}
// p: 16 bytes of which the first `valid` elements exist (may be 0 or less, or more than there is room for); zeros behind them
template <class T>
__device__ __forceinline__ Piece<T> piece_at(const T* p, int valid) {
  if (valid >= kPiece<T>) return group_at<T, kPiece<T>>(p);
  Piece<T> r;
  for (int e = 0; e < kPiece<T>; ++e) r.v[e] = e < valid ? p[e] : T(0.0f);
  return r;
}
template <int N>
__device__ __forceinline__ int clamp_to(std::int64_t v) {
  return v < 0 ? 0 : v > N ? N : static_cast<int>(v);
}

template <class T, class A>
__device__ __forceinline__ T finished(const MatmulArgs& a, const T* c, std::int64_t j, A sum) {
  sum *= static_cast<A>(a.alpha);
  if (a.accumulate) sum += static_cast<A>(*c);
  if (a.bias.data) sum += static_cast<A>(a.bias.as<const T>()[j * a.bias.stride[0]]);
  return static_cast<T>(matmul_epilogue(a.epilogue, sum));
}
// May N neighbours of a row of C be stored at once, wherever a multiple of N begins?
template <class T, int N>
__device__ __forceinline__ bool stores_groups(const MatmulArgs& a) {
  return a.c.stride[2] == 1 && reinterpret_cast<std::uintptr_t>(a.c.data) % alignof(Group<T, N>) == 0 && a.c.stride[1] % N == 0 &&
         a.c.stride[0] % N == 0;
}
// sums: of C[batch, i, j .. j + N); what lies outside of C is dropped
template <class T, int N, class A>
__device__ __forceinline__ void finish(const MatmulArgs& a, std::int64_t batch, std::int64_t i, std::int64_t j, const A* sums,
                                       bool groups) {
  const std::int64_t n = a.c.shape[2];
  if (i >= a.c.shape[1] || j >= n) return;
  T* c = a.c.as<T>() + batch * a.c.stride[0] + i * a.c.stride[1] + j * a.c.stride[2];
  if (groups && j + N <= n) {
    Group<T, N> old{}, out;
    if (a.accumulate) old = group_at<T, N>(c);
    for (int e = 0; e < N; ++e) out.v[e] = finished(a, &old.v[e], j + e, sums[e]);
    *reinterpret_cast<Group<T, N>*>(c) = out;
  } else {
    for (int e = 0; e < N; ++e)
      if (j + e < n) c[e * a.c.stride[2]] = finished(a, c + e * a.c.stride[2], j + e, sums[e]);
  }
}
// f.operator()<A is dense along k, B is dense along k>(): else along m and n
template <class F>
void with_orders(const MatmulArgs& a, F&& f) {
  const bool ak = a.a.stride[2] == 1, bk = a.b.stride[2] != 1;
  if (ak && bk) f.template operator()<true, true>();
  else if (ak) f.template operator()<true, false>();
  else if (bk) f.template operator()<false, true>();
  else f.template operator()<false, false>();
}

}  // namespace graft::GRAFT_SIMT
