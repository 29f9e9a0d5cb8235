// cumsum, a block of 256 threads per line: a thread sums 4 neighbouring elements, the sums are scanned by shuffles within a warp and over
// the warps in shared memory, and a carry goes from 1024 elements to the next. Where lines are few (rung 2) blocks take pieces of a line:
// one launch sums the pieces into scratch, a second scans each with the sum of the pieces before it as its carry. The tree depends on the
// length alone. Bytes: one read (rung 2: two), one write. Limits: at least 128 elements (rung 2: 2 pieces, less than 256 lines). Scan:
// Hillis and Steele 1986, in a warp; reduce then scan over pieces.
#include "kernels/reduce/fold.h"
#include "kernels/reduce/pieces.h"
#include "kernels/reduce/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kThreads = 256, kItems = 4, kWarps = kThreads / 32;

template <class A>
__device__ __forceinline__ A plus(A a, A b) {
  if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));  // wraps
  else return a + b;
}

// totals: [line, piece]
template <class T>
__global__ void __launch_bounds__(kThreads) piece_sums(CumsumArgs a, unsigned pieces, Accum<T>* totals) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  const std::int64_t i = blockIdx.x / pieces, n = a.in.shape[1], inner = a.in.shape[2], begin = blockIdx.x % pieces * kScanPiece;
  const std::int64_t end = begin + kScanPiece < n ? begin + kScanPiece : n;
  const T* x = a.in.as<const T>() + i / inner * a.in.stride[0] + i % inner * a.in.stride[2];
  A sum = 0;
  for (std::int64_t k = begin + threadIdx.x; k < end; k += kThreads) sum = plus(sum, static_cast<A>(x[k * a.in.stride[1]]));
  sum = block_fold(sum, A(0), lines, [](A p, A q) { return plus(p, q); });
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

// in, out: [outer, axis, inner]; totals: [line, piece] or nullptr where a line is one piece
template <class T>
__global__ void __launch_bounds__(kThreads) scan(CumsumArgs a, std::int64_t piece, unsigned pieces, const Accum<T>* totals) {
  using A = Accum<T>;
  GRAFT_SHARED(A, warps, [kWarps]);
  GRAFT_SHARED(A, lines, [32]);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, mine = blockIdx.x % pieces;
  const std::int64_t i = blockIdx.x / pieces, n = a.in.shape[1], inner = a.in.shape[2], begin = mine * piece,
                     end = begin + piece < n ? begin + piece : n;
  const T* x = a.in.as<const T>() + i / inner * a.in.stride[0] + i % inner * a.in.stride[2];
  T* y = a.out.as<T>() + i / inner * a.out.stride[0] + i % inner * a.out.stride[2];
  A carry = 0;
  if (totals) {
    for (unsigned p = threadIdx.x; p < mine; p += kThreads) carry = plus(carry, totals[i * pieces + p]);
    carry = block_fold(carry, A(0), lines, [](A p, A q) { return plus(p, q); });
  }
  for (std::int64_t k0 = begin; k0 < end; k0 += kThreads * kItems) {
    const std::int64_t first = k0 + threadIdx.x * kItems;
    A v[kItems];
    for (int e = 0; e < kItems; ++e) v[e] = first + e < end ? static_cast<A>(x[(first + e) * a.in.stride[1]]) : A(0);
    for (int e = 1; e < kItems; ++e) v[e] = plus(v[e], v[e - 1]);
    A sum = v[kItems - 1];  // inclusive over the warp's threads, after the loop
    for (unsigned o = 1; o < 32; o *= 2) {
      const A below = __shfl_up_sync(0xffffffffu, sum, o);
      if (lane >= o) sum = plus(below, sum);
    }
    A before = __shfl_up_sync(0xffffffffu, sum, 1);
    if (lane == 0) before = 0;
    __syncthreads();  // the last round's sums may still be read
    if (lane == 31) warps[warp] = sum;
    __syncthreads();
    A base = carry;
    for (unsigned w = 0; w < kWarps; ++w) {
      if (w == warp) before = plus(base, before);
      base = plus(base, warps[w]);
    }
    carry = base;
    for (int e = 0; e < kItems; ++e)
      if (first + e < end) y[(first + e) * a.out.stride[1]] = reduced<T>(plus(before, v[e]));
  }
}

}  // namespace

void cumsum_scan(Queue& q, const CumsumArgs& a) {
  if (a.in.numel() == 0) return;
  const auto lines = static_cast<unsigned>(a.in.shape[0] * a.in.shape[2]);
  visit(a.in.dtype, [&]<class T>() { launch(q, scan<T>, lines, kThreads, 0, a, a.in.shape[1], 1u, nullptr); });
}
void cumsum_split_scan(Queue& q, const CumsumArgs& a) {
  if (a.in.numel() == 0) return;
  const auto lines = static_cast<unsigned>(a.in.shape[0] * a.in.shape[2]),
             pieces = static_cast<unsigned>((a.in.shape[1] + kScanPiece - 1) / kScanPiece);
  void* scratch = q.scratch(cumsum_split_scratch(a, 1));
  visit(a.in.dtype, [&]<class T>() {
    auto* totals = static_cast<Accum<T>*>(scratch);
    launch(q, piece_sums<T>, lines * pieces, kThreads, 0, a, pieces, totals);
    launch(q, scan<T>, lines * pieces, kThreads, 0, a, kScanPiece, pieces, totals);
  });
}

}  // namespace graft::GRAFT_SIMT
