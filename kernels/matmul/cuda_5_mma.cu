// matmul on the tensor cores: mma.sync m16n8k16 with f32 sums. A block does 128 x 128 of C by 8 warps of 64 x 32 (64 x 64 by 4 of 32 x 32
// where tiles are few); panels of 32 along k come by cp.async three steps ahead, ldmatrix takes fragments from shared memory whose 16-byte
// pieces are XOR-swizzled, so that neither side meets a bank conflict. Elements read: m n k / 64. Limits: bf16, f16; rows dense along one
// axis and aligned to 16 bytes. PTX ISA, mma.m16n8k16 and ldmatrix; NVIDIA CUTLASS, efficient GEMM.
#include "kernels/matmul/mma_tile.h"

namespace graft::GRAFT_SIMT {
namespace {

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n]; bias: [n]
template <class T, class P>
__global__ void __launch_bounds__(P::kThreads, 2) mma(MatmulArgs a) {
  GRAFT_DYNAMIC_SHARED(T, shared);
  const Tile t = tile_at<P::kSide, P::kSide>(a, blockIdx.x);
  typename P::Sums sum = {};
  P::product(a, t, 0, a.a.shape[2], shared, sum);
  const bool groups = stores_groups<T, 2>(a);
  P::each(sum, [&](int i, int j, const float* sums) { finish<T, 2>(a, t.batch, t.i0 + i, t.j0 + j, sums, groups); });
}
template <class T, class P>
void launch_mma(Queue& q, const MatmulArgs& a) {
  launch(q, mma<T, P>, static_cast<unsigned>(tiles_of<P::kSide, P::kSide>(a)), P::kThreads, P::kBytes, a);
}

}  // namespace

void matmul_mma(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  const auto run = [&]<class T>() {
    with_orders(a, [&]<bool AK, bool BK>() {
      if (large_tiles(a)) launch_mma<T, LargeMmaTile<T, AK, BK>>(q, a);
      else launch_mma<T, SmallMmaTile<T, AK, BK>>(q, a);
    });
  };
  if (a.c.dtype == DType::bf16) run.template operator()<bf16>();
  else run.template operator()<f16>();
}

}  // namespace graft::GRAFT_SIMT
