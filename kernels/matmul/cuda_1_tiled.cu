// matmul by 32 x 32 tiles: a block brings 32 columns of A and 32 rows of B at a time to shared memory, where each element serves 32
// products. A block has 32 x 8 threads; thread (x, y) sums column x of rows y, y + 8, y + 16, y + 24. Lanes load along the axis that lies
// denser in memory; the 33rd column keeps the other order free of bank conflicts. Elements read: m n k / 16 (0_naive: 2 m n k). Any dtype
// and stride; Hwu and Kirk, Programming Massively Parallel Processors, chapter 4.
#include "kernels/matmul/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n], any strides; bias: [n]
template <class T>
__global__ void __launch_bounds__(256) tiled(MatmulArgs a) {
  using A = Accum<T>;
  GRAFT_SHARED(A, as, [32][33]);  // [row of A, k]
  GRAFT_SHARED(A, bs, [32][33]);  // [k, column of B]
  const Tile t = tile_at<32, 32>(a, blockIdx.x);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2], k = a.a.shape[2], am = a.a.stride[1], ak = a.a.stride[2], bk = a.b.stride[1],
                     bn = a.b.stride[2];
  const T* pa = a.a.as<const T>() + t.batch * a.a.stride[0];
  const T* pb = a.b.as<const T>() + t.batch * a.b.stride[0];
  const bool a_along_k = ak < am, b_along_k = bk < bn;
  A sum[4] = {};
  for (std::int64_t k0 = 0; k0 < k; k0 += 32) {
    for (int r = y; r < 32; r += 8) {
      const int ai = a_along_k ? r : x, al = a_along_k ? x : r, bl = b_along_k ? x : r, bj = b_along_k ? r : x;
      as[ai][al] = t.i0 + ai < m && k0 + al < k ? static_cast<A>(pa[(t.i0 + ai) * am + (k0 + al) * ak]) : A(0);
      bs[bl][bj] = t.j0 + bj < n && k0 + bl < k ? static_cast<A>(pb[(k0 + bl) * bk + (t.j0 + bj) * bn]) : A(0);
    }
    __syncthreads();
    GRAFT_UNROLL for (int l = 0; l < 32; ++l) {
      const A v = bs[l][x];
      GRAFT_UNROLL for (int r = 0; r < 4; ++r) sum[r] += as[y + 8 * r][l] * v;
    }
    __syncthreads();  // the next tile overwrites this one
  }
  GRAFT_UNROLL for (int r = 0; r < 4; ++r) finish<T, 1>(a, t.batch, t.i0 + y + 8 * r, t.j0 + x, &sum[r], false);
}

}  // namespace

void matmul_tiled(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  visit_float(a.c.dtype, [&]<class T>() { launch(q, tiled<T>, static_cast<unsigned>(tiles_of<32, 32>(a)), dim3(32, 8), 0, a); });
}

}  // namespace graft::GRAFT_SIMT
