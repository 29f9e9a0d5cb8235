// matmul with copies under way while it multiplies: four stages of shared memory, filled by cp.async three steps of k ahead, so that the
// latency of global memory is waited for by nobody and no register holds a value in transit. Tiles and registers as in 3_vectors; panels
// keep the order they have in memory (async_tile.h). Elements read: m n k / 64. Limits: f32, f64; rows dense along one axis and aligned to
// 16 bytes. CUDA C++ Programming Guide, asynchronous data copies.
#include "kernels/matmul/async_tile.h"

namespace graft::GRAFT_SIMT {
namespace {

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n]; bias: [n]
template <class T, int R, bool AK, bool BK>
__global__ void __launch_bounds__(256, 2) async(MatmulArgs a) {
  using P = AsyncTile<T, R, AK, BK>;
  GRAFT_DYNAMIC_SHARED(T, shared);
  const Tile t = tile_at<P::kSide, P::kSide>(a, blockIdx.x);
  T sum[R][R] = {};
  P::product(a, t, 0, a.a.shape[2], shared, sum);
  const bool groups = stores_groups<T, P::kColumns>(a);
  P::each(sum, [&]<int N>(int i, int j, const T* sums) { finish<T, N>(a, t.batch, t.i0 + i, t.j0 + j, sums, groups); });
}

}  // namespace

void matmul_async(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  with_orders(a, [&]<bool AK, bool BK>() {
    if (a.c.dtype == DType::f64)
      launch(q, async<double, 4, AK, BK>, static_cast<unsigned>(tiles_of<64, 64>(a)), 256, AsyncTile<double, 4, AK, BK>::kBytes, a);
    else if (large_tiles(a))
      launch(q, async<float, 8, AK, BK>, static_cast<unsigned>(tiles_of<128, 128>(a)), 256, AsyncTile<float, 8, AK, BK>::kBytes, a);
    else launch(q, async<float, 4, AK, BK>, static_cast<unsigned>(tiles_of<64, 64>(a)), 256, AsyncTile<float, 4, AK, BK>::kBytes, a);
  });
}

}  // namespace graft::GRAFT_SIMT
