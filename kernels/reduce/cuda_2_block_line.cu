// reduce, blocks of 256 threads on long lines: one block per line (rung 2), or many blocks per line where lines are few (rung 3), each on a
// piece of it; their folds lie in scratch as [line, piece], and a second launch with a warp per line merges them in a fixed tree. Threads
// load packs of 16 bytes where the piece is aligned. Bytes: each element read once. Limits: f32, bf16, f16; no prod, any, all; axis dense
// and at least 1024 elements (rung 3: less than 256 lines of at least 2 pieces).
#include "kernels/reduce/groups.h"
#include "kernels/reduce/pieces.h"
#include "kernels/reduce/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

// Elements [begin, end) of x; every thread of the block takes its part.
template <class F, class A, class T>
__device__ __forceinline__ F fold_piece(const T* x, std::int64_t begin, std::int64_t end) {
  F fold;
  std::int64_t k = begin;
  if (reinterpret_cast<std::uintptr_t>(x + begin) % 16 == 0) {
    const std::int64_t packs = (end - begin) / Pack<T>::size;
    for (std::int64_t p = threadIdx.x; p < packs; p += blockDim.x) {
      const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(x + begin + p * Pack<T>::size);
      for (int e = 0; e < Pack<T>::size; ++e) fold.add(static_cast<A>(pack.v[e]), begin + p * Pack<T>::size + e);
    }
    k += packs * Pack<T>::size;
  }
  for (k += threadIdx.x; k < end; k += blockDim.x) fold.add(static_cast<A>(x[k]), k);
  return fold;
}

// in: [outer, axis, inner], axis dense -> out: [outer, inner]; or, where partial is given, the folds of all pieces: [line, piece]
template <R op, class T>
__global__ void __launch_bounds__(256) block_line(ReduceArgs a, std::int64_t piece, unsigned pieces, void* partial) {
  using A = Accum<T>;
  using F = Fold<op, T, A>;
  using Out = ReduceOut<op, T>;
  GRAFT_SHARED(F, warps, [8]);
  const std::int64_t i = blockIdx.x / pieces, n = a.in.shape[1], inner = a.in.shape[2], o = i / inner, j = i % inner;
  const std::int64_t begin = blockIdx.x % pieces * piece, end = begin + piece < n ? begin + piece : n;
  F fold = fold_piece<F, A>(a.in.as<const T>() + o * a.in.stride[0] + j * a.in.stride[2], begin, end);
  fold_block(fold, warps);
  if (threadIdx.x != 0) return;
  if (partial) static_cast<F*>(partial)[blockIdx.x] = fold;
  else a.out.as<Out>()[o * a.out.stride[0] + j * a.out.stride[1]] = reduced<Out>(fold.result(n));
}

// partial: [lines, pieces] -> out: [outer, inner]
template <R op, class T>
__global__ void merge_pieces(ReduceArgs a, unsigned pieces, const void* partial) {
  using F = Fold<op, T, Accum<T>>;
  using Out = ReduceOut<op, T>;
  const std::int64_t i = blockIdx.x, inner = a.in.shape[2];
  F fold;
  for (unsigned p = threadIdx.x; p < pieces; p += 32) fold.merge(static_cast<const F*>(partial)[i * pieces + p]);
  fold_warp(fold);
  if (threadIdx.x == 0)
    a.out.as<Out>()[i / inner * a.out.stride[0] + i % inner * a.out.stride[1]] = reduced<Out>(fold.result(a.in.shape[1]));
}

}  // namespace

void reduce_block_line(Queue& q, const ReduceArgs& a) {
  const std::int64_t lines = a.out.numel();
  if (lines == 0) return;
  visit_common(a,
               [&]<R op, class T>() { launch(q, block_line<op, T>, static_cast<unsigned>(lines), 256, 0, a, a.in.shape[1], 1u, nullptr); });
}
void reduce_split_line(Queue& q, const ReduceArgs& a) {
  const std::int64_t lines = a.out.numel();
  if (lines == 0) return;
  const std::int64_t piece = line_piece(a.in.shape[1]);
  const auto pieces = static_cast<unsigned>((a.in.shape[1] + piece - 1) / piece);
  void* partial = q.scratch(reduce_split_line_scratch(a, 1));
  visit_common(a, [&]<R op, class T>() {
    static_assert(sizeof(Fold<op, T, Accum<T>>) <= kFoldBytes);
    launch(q, block_line<op, T>, static_cast<unsigned>(lines) * pieces, 256, 0, a, piece, pieces, partial);
    launch(q, merge_pieces<op, T>, static_cast<unsigned>(lines), 32, 0, a, pieces, partial);
  });
}

}  // namespace graft::GRAFT_SIMT
