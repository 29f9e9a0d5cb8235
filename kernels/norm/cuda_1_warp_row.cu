// row_norm and its gradient, a group of threads per row: a warp (rung 1) or a block (rung 2, for rows that keep 256 threads busy); lanes
// take neighbouring columns. Forward: 3 reads (2 of them from L2) and 1 write per element; dx: 4 reads (2 from L2) and 1 write. dweight and
// dbias: a block of 32 columns x 32 thread rows sums a block of rows, partial sums meet in a second launch in a fixed tree: 2 reads,
// coalesced. Any dtype, stride and option.
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

template <class T>
__global__ void forward_warp(Forward<RowKind> f) {
  const std::int64_t t = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (t < f.kind.groups) forward_group<T>(f, t, {threadIdx.x % 32, f.count(), 32}, [](Accum<T> v) { return warp_sum(v); });
}
template <class T>
__global__ void forward_block(Forward<RowKind> f) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  Accum<T>* l = lines;
  forward_group<T>(f, blockIdx.x, {threadIdx.x, f.count(), blockDim.x}, [l](Accum<T> v) { return block_sum(v, l); });
}
template <class T>
__global__ void backward_warp(Backward<RowKind> b) {
  const std::int64_t t = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (t < b.kind.groups) backward_group<T>(b, t, {threadIdx.x % 32, b.count(), 32}, [](Accum<T> v) { return warp_sum(v); });
}
template <class T>
__global__ void backward_block(Backward<RowKind> b) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  Accum<T>* l = lines;
  backward_group<T>(b, blockIdx.x, {threadIdx.x, b.count(), blockDim.x}, [l](Accum<T> v) { return block_sum(v, l); });
}

// parts: [gridDim.y, 2, cols]; block y takes `length` rows.
template <class T>
__global__ void sum_rows(Parameters p, Accum<T>* parts, std::int64_t length) {
  using A = Accum<T>;
  GRAFT_SHARED(A, tile, [32][33]);
  const std::int64_t c = std::int64_t{blockIdx.x} * 32 + threadIdx.x, k = blockIdx.y, end = (k + 1) * length < p.n ? (k + 1) * length : p.n;
  A dw = 0, db = 0;
  for (std::int64_t r = k * length + threadIdx.y; r < end && c < p.c; r += 32)
    add_parameters<T>(p, r, c, 0, mean_of<A>(p, r, c), rstd_of<A>(p, r, c), dw, db);
  dw = column_sum(dw, tile);
  db = column_sum(db, tile);
  if (threadIdx.y != 0 || c >= p.c) return;
  parts[2 * k * p.c + c] = dw;
  parts[(2 * k + 1) * p.c + c] = db;
}

template <class T>
void run_parameters(Queue& q, const Parameters& p) {
  if (!wanted(p)) return;
  const Cut rows = cut_rows(p.n);
  auto* parts = reinterpret_cast<Accum<T>*>(q.scratch(static_cast<std::size_t>(2 * rows.parts * p.c) * sizeof(Accum<T>)));
  launch(q, sum_rows<T>, dim3(blocks_for(p.c, 32, 1 << 30), static_cast<unsigned>(rows.parts)), dim3(32, 32), 0, p, parts, rows.length);
  launch(q, fold_parts<T>, blocks_for(p.c, 32, 1 << 30), dim3(32, 32), 0, p, static_cast<const Accum<T>*>(parts), rows.parts);
}

}  // namespace

void row_norm_warp_row(Queue& q, const RowNormArgs& a) {
  if (a.x.shape[0] == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, forward_warp<T>, blocks_for(a.x.shape[0], 4, 1 << 30), 128, 0, forward_of(a)); });
}
void row_norm_block_row(Queue& q, const RowNormArgs& a) {
  if (a.x.shape[0] == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, forward_block<T>, static_cast<unsigned>(a.x.shape[0]), 256, 0, forward_of(a)); });
}
void row_norm_grad_warp_row(Queue& q, const RowNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    run_parameters<T>(q, parameters_of(a));
    if (a.dx.data && a.x.numel() > 0) launch(q, backward_warp<T>, blocks_for(a.x.shape[0], 4, 1 << 30), 128, 0, backward_of(a));
  });
}
void row_norm_grad_block_row(Queue& q, const RowNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    run_parameters<T>(q, parameters_of(a));
    if (a.dx.data && a.x.numel() > 0) launch(q, backward_block<T>, static_cast<unsigned>(a.x.shape[0]), 256, 0, backward_of(a));
  });
}

}  // namespace graft::GRAFT_SIMT
