// gather, threads along the inner axis: [outer * k] rows of `inner` positions, neighbouring threads neighbouring positions, short rows
// share a block. Rung 1 any strides, an element per thread; rung 2, where one index serves a whole row (index_select), copies it in the
// widest pieces (at most 16 bytes) on whose boundaries all rows begin. Bytes: one read, one write per element, and 8 of index (rung 2: 8
// per row). An index outside reads nothing and is reported.
#include <bit>

#include "kernels/gather/faults.h"
#include "kernels/gather/rows.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

// in: [outer, n, inner], index, out: [outer, k, inner]
template <class T>
__global__ void gather_row(GatherArgs a, FaultSink faulty) {
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y, k = a.out.shape[1];
  if (row >= a.out.shape[0] * k) return;
  const std::int64_t o = row / k, i = row % k;
  const std::int64_t* index = a.index.as<const std::int64_t>() + o * a.index.stride[0] + i * a.index.stride[1];
  const T* in = a.in.as<const T>() + o * a.in.stride[0];
  T* out = a.out.as<T>() + o * a.out.stride[0] + i * a.out.stride[1];
  for (std::int64_t j = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x; j < a.out.shape[2];
       j += std::int64_t{gridDim.y} * blockDim.x) {
    const std::int64_t at = index[j * a.index.stride[2]];
    const bool inside = index_inside(at, a.in.shape[1]);
    if (!inside) report_fault(faulty, index_position(a.index, o, i, j), at, a.in.shape[1]);
    out[j * a.out.stride[2]] = inside ? in[at * a.in.stride[1] + j * a.in.stride[2]] : missing_value<T>();
  }
}

struct Steps {  // between outer positions and between rows, in pieces
  std::int64_t outer, row;
};
// in: [outer, n, pieces], out: [outer, k, pieces]; missing: the bits of what no row answers
template <class V>
__global__ void copy_row(GatherArgs a, Steps in, Steps out, std::int64_t pieces, unsigned missing, FaultSink faulty) {
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y, k = a.out.shape[1];
  if (row >= a.out.shape[0] * k) return;
  const std::int64_t o = row / k, i = row % k, at = a.index.as<const std::int64_t>()[o * a.index.stride[0] + i * a.index.stride[1]];
  const bool inside = index_inside(at, a.in.shape[1]);
  if (!inside && threadIdx.x == 0 && blockIdx.y == 0) report_fault(faulty, index_position(a.index, o, i, 0), at, a.in.shape[1]);
  const V* from = a.in.as<const V>() + o * in.outer + (inside ? at * in.row : 0);
  V* to = a.out.as<V>() + o * out.outer + i * out.row;
  for (std::int64_t p = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x; p < pieces; p += std::int64_t{gridDim.y} * blockDim.x)
    to[p] = inside ? from[p] : filled<V>(missing);
}

// f(grid, block) for rows of `units`: at least 4 of them per thread before a row is spread over blocks
template <class F>
void over_rows(std::int64_t rows, std::int64_t units, F&& f) {
  const unsigned x = units >= 256 ? 256 : std::bit_ceil(static_cast<unsigned>(units));
  f(dim3(blocks_for(rows, 256 / x, 0x7fffffff), blocks_for(units, 4 * x, 65535)), dim3(x, 256 / x));
}
template <class V>
void copy_in(Queue& q, const GatherArgs& a) {
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype)), width = static_cast<std::int64_t>(sizeof(V));
  const auto steps = [&](const View& v) { return Steps{v.stride[0] * size / width, v.stride[1] * size / width}; };
  const std::int64_t pieces = a.out.shape[2] * size / width;
  over_rows(a.out.shape[0] * a.out.shape[1], pieces, [&](dim3 grid, dim3 block) {
    launch(q, copy_row<V>, grid, block, 0, a, steps(a.in), steps(a.out), pieces, is_float(a.out.dtype) ? ~0u : 0u, q.fault(a.outside));
  });
}

}  // namespace

void gather_rows(Queue& q, const GatherArgs& a) {
  if (a.out.numel() == 0) return;
  visit(a.out.dtype, [&]<class T>() {
    over_rows(a.out.shape[0] * a.out.shape[1], a.out.shape[2],
              [&](dim3 grid, dim3 block) { launch(q, gather_row<T>, grid, block, 0, a, q.fault(a.outside)); });
  });
}
void gather_pieces(Queue& q, const GatherArgs& a) {
  if (a.out.numel() == 0) return;
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype));
  std::uint64_t boundary = static_cast<std::uint64_t>(a.out.shape[2] * size);
  for (const View* v : {&a.in, &a.out})
    boundary |= reinterpret_cast<std::uintptr_t>(v->data) | static_cast<std::uint64_t>(v->stride[0] * size) |
                static_cast<std::uint64_t>(v->stride[1] * size);
  visit_piece(boundary, [&]<class V>() { copy_in<V>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
