// reduce and cumsum: one thread per output (or line), the walks of plain.h. sort: one thread per element counts how many stand before it,
// which is its place (n^2 comparisons; stable, since equal elements are ordered by index). Any dtype and stride.
#include "kernels/reduce/plain.h"
#include "kernels/reduce/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <R op, class T>
__global__ void reduce_output(ReduceArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) reduce_walk<op, T, Accum<T>>(a, i, i + 1);
}
template <class T>
__global__ void cumsum_line(CumsumArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) cumsum_walk<T, Accum<T>>(a, i, i + 1);
}
template <class T>
__global__ void sort_place(SortArgs a, std::int64_t total) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const std::int64_t n = a.in.shape[1], row = i / n, at = i % n, step = a.in.stride[1];
  const T* x = a.in.as<const T>() + row * a.in.stride[0];
  const T mine = x[at * step];
  std::int64_t place = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const T other = x[j * step];
    place += before(other, mine, a.descending) || (j < at && !before(mine, other, a.descending));
  }
  if (place >= a.values.shape[1]) return;
  a.values.as<T>()[row * a.values.stride[0] + place * a.values.stride[1]] = mine;
  a.indices.as<std::int64_t>()[row * a.indices.stride[0] + place * a.indices.stride[1]] = at;
}

}  // namespace

void reduce_thread_output(Queue& q, const ReduceArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit_reduce(a, [&]<R op, class T>() { launch(q, reduce_output<op, T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void cumsum_thread_line(Queue& q, const CumsumArgs& a) {
  const std::int64_t n = a.in.shape[0] * a.in.shape[2];
  if (a.in.numel()) visit(a.in.dtype, [&]<class T>() { launch(q, cumsum_line<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void sort_thread_place(Queue& q, const SortArgs& a) {
  const std::int64_t n = a.in.numel();
  if (n) visit(a.in.dtype, [&]<class T>() { launch(q, sort_place<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
