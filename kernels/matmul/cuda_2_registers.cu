// matmul by tiles in registers: a block of 16 x 16 threads does 128 x 128 (or 64 x 64) of C, each thread 8 x 8 (4 x 4) of it: rows ty + 16
// i, columns tx + 16 j, so that a warp reads neighbouring words. Each value from shared memory serves 8 products instead of one, and shared
// memory, which bounds 1_tiled, no longer does. Elements read: m n k / 64. Any dtype and stride; f64 keeps to 4 x 4, for 8 x 8 would not
// fit the registers. Volkov and Demmel, Benchmarking GPUs to tune dense linear algebra, 2008.
#include "kernels/matmul/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kDepth = 16;  // of k at a time

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n], any strides; bias: [n]
template <class T, int R>
__global__ void __launch_bounds__(256, R == 8 || sizeof(T) == 8 ? 1 : 2) registers(MatmulArgs a) {
  using A = Accum<T>;
  constexpr int B = 16 * R;
  GRAFT_SHARED(A, as, [kDepth][B + 2]);  // [k, row of A]; two more, so that stores along k meet different banks
  GRAFT_SHARED(A, bs, [kDepth][B + 2]);  // [k, column of B]
  const Tile t = tile_at<B, B>(a, blockIdx.x);
  const int id = static_cast<int>(threadIdx.x), tx = id % 16, ty = id / 16;
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2], k = a.a.shape[2], am = a.a.stride[1], ak = a.a.stride[2], bk = a.b.stride[1],
                     bn = a.b.stride[2];
  const T* pa = a.a.as<const T>() + t.batch * a.a.stride[0] + t.i0 * am;
  const T* pb = a.b.as<const T>() + t.batch * a.b.stride[0] + t.j0 * bn;
  const bool a_along_k = ak < am, b_along_k = bk < bn;
  A sum[R][R] = {};
  for (std::int64_t k0 = 0; k0 < k; k0 += kDepth) {
    GRAFT_UNROLL for (int s = 0; s < R; ++s) {
      const int e = id + 256 * s, slow = e / kDepth, fast = e % kDepth;
      const int i = a_along_k ? slow : e % B, al = a_along_k ? fast : e / B, j = b_along_k ? slow : e % B, bl = b_along_k ? fast : e / B;
      as[al][i] = t.i0 + i < m && k0 + al < k ? static_cast<A>(pa[i * am + (k0 + al) * ak]) : A(0);
      bs[bl][j] = t.j0 + j < n && k0 + bl < k ? static_cast<A>(pb[(k0 + bl) * bk + j * bn]) : A(0);
    }
    __syncthreads();
    GRAFT_UNROLL for (int l = 0; l < kDepth; ++l) {
      A x[R], y[R];
      GRAFT_UNROLL for (int i = 0; i < R; ++i) x[i] = as[l][ty + 16 * i], y[i] = bs[l][tx + 16 * i];
      GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; ++j) sum[i][j] += x[i] * y[j];
    }
    __syncthreads();
  }
  GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; ++j)
      finish<T, 1>(a, t.batch, t.i0 + ty + 16 * i, t.j0 + tx + 16 * j, &sum[i][j], false);
}

}  // namespace

void matmul_registers(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  visit_float(a.c.dtype, [&]<class T>() {
    if constexpr (!std::is_same_v<T, double>)
      if (large_tiles(a)) return launch(q, registers<T, 8>, static_cast<unsigned>(tiles_of<128, 128>(a)), 256, 0, a);
    launch(q, registers<T, 4>, static_cast<unsigned>(tiles_of<64, 64>(a)), 256, 0, a);
  });
}

}  // namespace graft::GRAFT_SIMT
