// copy, transposition: the input's dense axis is not the output's. A block of 32 x 8 threads reads a 32 x 32 tile along the input's dense
// axis into shared memory and writes it along the output's, so that both sides are coalesced. Rows of 33 elements put a column's elements
// in 32 banks. Bytes: one read and one write per element. Blocks: outer planes x tiles, in one dimension. Limits: one dtype; both axes at
// least 8.
#include "kernels/copy/raw.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kTile = 32, kRows = 8;

// out: [planes, rows, cols], steps 1 along cols; in: steps 1 along rows
template <class T>
__global__ void __launch_bounds__(kTile* kRows) tiles(const T* in, T* out, Runs<2> r, unsigned row_tiles, unsigned col_tiles) {
  GRAFT_SHARED(T, tile, [kTile][kTile + 1]);
  const int last = r.rank - 1;
  unsigned rest = blockIdx.x;
  const std::int64_t j0 = std::int64_t{rest % col_tiles} * kTile;
  rest /= col_tiles;
  const std::int64_t i0 = std::int64_t{rest % row_tiles} * kTile;
  rest /= row_tiles;
  for (int d = last - 1; d >= 0; --d) {
    const unsigned size = static_cast<unsigned>(r.shape[d]), c = rest % size;
    rest /= size;
    out += c * r.stride[d][0];
    in += c * r.stride[d][1];
  }
  const std::int64_t rows = r.shape[last], cols = r.inner, row_out = r.stride[last][0], col_in = r.inner_stride[1];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  for (int k = y; k < kTile; k += kRows)
    if (i0 + x < rows && j0 + k < cols) tile[k][x] = in[(j0 + k) * col_in + i0 + x];
  __syncthreads();
  for (int k = y; k < kTile; k += kRows)
    if (i0 + k < rows && j0 + x < cols) out[(i0 + k) * row_out + j0 + x] = tile[x][k];
}

}  // namespace

void copy_tiles(Queue& q, const CopyArgs& a) {
  if (a.out.numel() == 0) return;
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  const std::int64_t rows = r.shape[static_cast<std::size_t>(r.rank) - 1], row_tiles = (rows + kTile - 1) / kTile,
                     col_tiles = (r.inner + kTile - 1) / kTile;
  visit_raw_or_floats(a.in.dtype, a.out.dtype, [&]<class From, class To>() {
    if constexpr (std::is_same_v<From, To>)
      launch(q, tiles<To>, static_cast<unsigned>(r.outer / rows * row_tiles * col_tiles), dim3(kTile, kRows), 0, a.in.as<const To>(),
             a.out.as<To>(), r, static_cast<unsigned>(row_tiles), static_cast<unsigned>(col_tiles));
  });
}

}  // namespace graft::GRAFT_SIMT
