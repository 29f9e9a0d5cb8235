// reduce, one warp per line: lanes take neighbouring elements of a dense axis, so that loads are coalesced, and meet in a tree of shuffles.
// Four lines per block of 128 threads. Bytes: each element read once. Limits: f32, bf16, f16; no prod, any, all; axis dense and at least 32
// elements.
#include "kernels/reduce/groups.h"
#include "kernels/reduce/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

// in: [outer, axis, inner], axis dense -> out: [outer, inner]
template <R op, class T>
__global__ void warp_line(ReduceArgs a, std::int64_t lines) {
  using A = Accum<T>;
  using Out = ReduceOut<op, T>;
  const std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32, n = a.in.shape[1], inner = a.in.shape[2];
  const unsigned lane = threadIdx.x % 32;
  if (i >= lines) return;  // whole warps leave
  const std::int64_t o = i / inner, j = i % inner;
  const T* x = a.in.as<const T>() + o * a.in.stride[0] + j * a.in.stride[2];
  Fold<op, T, A> fold;
  for (std::int64_t k = lane; k < n; k += 32) fold.add(static_cast<A>(x[k]), k);
  fold_warp(fold);
  if (lane == 0) a.out.as<Out>()[o * a.out.stride[0] + j * a.out.stride[1]] = reduced<Out>(fold.result(n));
}

}  // namespace

void reduce_warp_line(Queue& q, const ReduceArgs& a) {
  const std::int64_t lines = a.out.numel();
  if (lines == 0) return;
  visit_common(a, [&]<R op, class T>() { launch(q, warp_line<op, T>, blocks_for(lines, 4, 0x7fffffff), 128, 0, a, lines); });
}

}  // namespace graft::GRAFT_SIMT
