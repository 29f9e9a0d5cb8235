// matmul on Hopper: as many blocks as multiprocessors; each takes tiles of 128 x 256 of C (128 x 128 where those are few) one after the
// other. One thread brings panels of 64 along k by TMA into a ring of 4 (6) stages behind mbarriers; two warp groups multiply 64 rows each
// by wgmma m64nNk16; the next tile's panels arrive while this one is stored. Elements read: m n k (1/128 + 1/256): 4.2 MFLOP on 48 KiB a
// stage, 85 FLOP per byte of L2; bands of 16 rows of tiles let 132 blocks share them, so from k = 64 tensor cores are the bound. Limits:
// sm_90a; bf16, f16; operands that TMA can describe; 64 tiles of 128 x 128. PTX ISA, wgmma and cp.async.bulk.tensor; NVIDIA CUTLASS,
// warp-specialised persistent kernels; Shankhdhar 2024, "Outperforming cuBLAS on H100".
#include "kernels/matmul/wgmma_tile.h"

namespace graft::GRAFT_SIMT {
namespace {

template <int Stages>
struct Turn {  // a stage of the ring, and the parity of its barriers' phase
  int stage = 0;
  unsigned parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
};

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n]; bias: [n]
template <class T, class P>
__global__ void __launch_bounds__(P::kThreads, 1)
    wgmma(MatmulArgs a, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, unsigned tiles) {
#ifdef GRAFT_HOPPER
  GRAFT_DYNAMIC_SHARED(unsigned char, shared);
  GRAFT_SHARED(Mbarrier, full, [P::kStages]);
  GRAFT_SHARED(Mbarrier, free, [P::kStages]);
  const int group =
      __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128, 0);  // by a shuffle: the compiler sees that a warp does not diverge
  const int warp = static_cast<int>(threadIdx.x) % 128 / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int s = 0; s < P::kStages; ++s) {
      mbarrier_init(&full[s], 1);
      mbarrier_init(&free[s], 8);  // a lane of each warp that multiplies
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  const int steps = static_cast<int>((a.a.shape[2] + P::kDepth - 1) / P::kDepth);
  Turn<P::kStages> turn;
  if (group == 0) {
    give_registers<40>();
    if (warp == 0 && elect_one()) {
      tma_prefetch(map_a);
      tma_prefetch(map_b);
      for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const Tile t = tile_at<P::kRows, P::kCols, 16>(a, tile);
        const int i = static_cast<int>(t.i0), j = static_cast<int>(t.j0), batch = static_cast<int>(t.batch);
        for (int step = 0; step < steps; ++step, turn.next()) {
          unsigned char* stage = shared + turn.stage * P::kStage;
          mbarrier_wait(&free[turn.stage], turn.parity ^ 1);
          mbarrier_arrive_expect_tx(&full[turn.stage], P::kStage);
          P::load_a(map_a, stage, &full[turn.stage], i, step * P::kDepth, a.a.stride[0] ? batch : 0);
          P::load_b(map_b, stage + P::kBytesA, &full[turn.stage], j, step * P::kDepth, a.b.stride[0] ? batch : 0);
        }
      }
    }
    return;
  }
  take_registers<232>();
  const int half = group - 1;
  const bool pieces = stores_groups<T, 8>(a);
  typename P::Sums sum;
  for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int before = 0;
    for (int step = 0; step < steps; ++step, turn.next()) {
      mbarrier_wait(&full[turn.stage], turn.parity);
      wgmma_fence();
      P::multiply(sum, shared + turn.stage * P::kStage, half, step == 0);
      wgmma_commit();
      if (step > 0) {  // the step before is done: its stage may be filled again
        wgmma_wait<1>();
        if (lane == 0) mbarrier_arrive(&free[before]);
      }
      before = turn.stage;
    }
    wgmma_wait_all(sum);
    if (lane == 0) mbarrier_arrive(&free[before]);
    const Tile t = tile_at<P::kRows, P::kCols, 16>(a, tile);
    P::store(a, t, t.i0 + half * 64 + warp * 16 + lane / 4, sum, pieces);
  }
#else
  __trap();
#endif
}

template <class T, class P>
void launch_wgmma(Queue& q, const MatmulArgs& a) {
  const auto tiles = static_cast<unsigned>(tiles_of<P::kRows, P::kCols>(a)), all = multiprocessors(q);
  launch(q, wgmma<T, P>, tiles < all ? tiles : all, P::kThreads, P::kBytes, a, P::map_a(a), P::map_b(a), tiles);
}

}  // namespace

void matmul_wgmma(Queue& q, const MatmulArgs& a) {
  const auto run = [&]<class T>() {
    with_orders(a, [&]<bool AK, bool BK>() {
      if (wide_wgmma_tiles(a)) launch_wgmma<T, WgmmaTile<T, 256, AK, BK>>(q, a);
      else launch_wgmma<T, WgmmaTile<T, 128, AK, BK>>(q, a);
    });
  };
  if (a.c.dtype == DType::bf16) run.template operator()<bf16>();
  else run.template operator()<f16>();
}

}  // namespace graft::GRAFT_SIMT
