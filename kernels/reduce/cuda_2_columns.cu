// reduce over an axis that is not the dense one: a block of 32 x 8 threads takes 32 neighbouring columns, every eighth row per thread, so
// that a warp reads 32 elements of one row; the eight folds of a column meet in shared memory in their order. Where columns are few the
// axis is cut into pieces too: their folds lie in scratch as [piece, outer, inner], and a second launch merges them, a thread per column.
// Bytes: each element read once. Limits: f32, bf16, f16; no prod, any, all; inner dense and at least 16.
#include "kernels/reduce/groups.h"
#include "kernels/reduce/pieces.h"
#include "kernels/reduce/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

// in: [outer, axis, inner], inner dense -> out: [outer, inner], or partial: [piece, outer, inner]
template <R op, class T>
__global__ void __launch_bounds__(256) columns(ReduceArgs a, ColumnPlan plan, void* partial) {
  using A = Accum<T>;
  using F = Fold<op, T, A>;
  using Out = ReduceOut<op, T>;
  GRAFT_SHARED(F, part, [8][32]);
  const std::int64_t n = a.in.shape[1], inner = a.in.shape[2], chunks = (inner + 31) / 32, group = blockIdx.x % plan.groups,
                     piece = blockIdx.x / plan.groups;
  const std::int64_t o = group / chunks, j = group % chunks * 32 + threadIdx.x;
  const std::int64_t begin = piece * plan.piece, end = begin + plan.piece < n ? begin + plan.piece : n, step = a.in.stride[1];
  F fold;
  if (j < inner) {
    const T* x = a.in.as<const T>() + o * a.in.stride[0] + j;
    for (std::int64_t k = begin + threadIdx.y; k < end; k += 8) fold.add(static_cast<A>(x[k * step]), k);
  }
  part[threadIdx.y][threadIdx.x] = fold;
  __syncthreads();
  if (threadIdx.y != 0 || j >= inner) return;
  for (int y = 1; y < 8; ++y) fold.merge(part[y][threadIdx.x]);
  if (partial) static_cast<F*>(partial)[(piece * a.in.shape[0] + o) * inner + j] = fold;
  else a.out.as<Out>()[o * a.out.stride[0] + j * a.out.stride[1]] = reduced<Out>(fold.result(n));
}

template <R op, class T>
__global__ void merge_columns(ReduceArgs a, ColumnPlan plan, std::int64_t count, const void* partial) {
  using F = Fold<op, T, Accum<T>>;
  using Out = ReduceOut<op, T>;
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, inner = a.in.shape[2];
  if (i >= count) return;
  F fold = static_cast<const F*>(partial)[i];
  for (std::int64_t p = 1; p < plan.pieces; ++p) fold.merge(static_cast<const F*>(partial)[p * count + i]);
  a.out.as<Out>()[i / inner * a.out.stride[0] + i % inner * a.out.stride[1]] = reduced<Out>(fold.result(a.in.shape[1]));
}

}  // namespace

void reduce_columns(Queue& q, const ReduceArgs& a) {
  const std::int64_t count = a.out.numel();
  if (count == 0) return;
  const ColumnPlan plan = column_plan(a.in);
  void* partial = plan.pieces > 1 ? q.scratch(reduce_columns_scratch(a, 1)) : nullptr;
  visit_common(a, [&]<R op, class T>() {
    static_assert(sizeof(Fold<op, T, Accum<T>>) <= kFoldBytes);
    launch(q, columns<op, T>, static_cast<unsigned>(plan.groups * plan.pieces), dim3(32, 8), 0, a, plan, partial);
    if (partial) launch(q, merge_columns<op, T>, blocks_for(count, 64, 0x7fffffff), 64, 0, a, plan, count, partial);
  });
}

}  // namespace graft::GRAFT_SIMT
