// matmul with k split over blocks: where C has few tiles and k is long, most of the device would idle. Each part of k goes to blocks of its
// own, which do what 5_mma (bf16, f16) or 4_async (f32, f64) does and leave sums in scratch, [parts, batch, m, n]; a second kernel, one
// thread per element, folds the parts in their order and ends the element. Parts depend on sizes alone, so the bits do too. Bytes beside
// the product's: 2 parts m n sums.
#include "kernels/matmul/async_tile.h"
#include "kernels/matmul/mma_tile.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class A>
__device__ __forceinline__ void put_part(const MatmulArgs& a, A* out, std::int64_t i, std::int64_t j, const A* sums, int count) {
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2];
  for (int e = 0; e < count; ++e)
    if (i < m && j + e < n) out[i * n + j + e] = sums[e];
}
// a: [batch, m, k], b: [batch, k, n]; parts: [gridDim.y, batch, m, n]
template <class T, class P>
__global__ void __launch_bounds__(P::kThreads, 2) mma_part(MatmulArgs a, SplitK split, float* parts) {
  GRAFT_DYNAMIC_SHARED(T, shared);
  const Tile t = tile_at<P::kSide, P::kSide>(a, blockIdx.x);
  const std::int64_t begin = blockIdx.y * split.each, k = a.a.shape[2];
  typename P::Sums sum = {};
  P::product(a, t, begin, begin + split.each < k ? begin + split.each : k, shared, sum);
  float* out = parts + (blockIdx.y * a.c.shape[0] + t.batch) * a.c.shape[1] * a.c.shape[2];
  P::each(sum, [&](int i, int j, const float* sums) { put_part(a, out, t.i0 + i, t.j0 + j, sums, 2); });
}
template <class T, class P>
__global__ void __launch_bounds__(P::kThreads, 2) async_part(MatmulArgs a, SplitK split, T* parts) {
  GRAFT_DYNAMIC_SHARED(T, shared);
  const Tile t = tile_at<P::kSide, P::kSide>(a, blockIdx.x);
  const std::int64_t begin = blockIdx.y * split.each, k = a.a.shape[2];
  T sum[P::kSide / 16][P::kSide / 16] = {};
  P::product(a, t, begin, begin + split.each < k ? begin + split.each : k, shared, sum);
  T* out = parts + (blockIdx.y * a.c.shape[0] + t.batch) * a.c.shape[1] * a.c.shape[2];
  P::each(sum, [&]<int N>(int i, int j, const T* sums) { put_part(a, out, t.i0 + i, t.j0 + j, sums, N); });
}
// c: [batch, m, n]; parts: [count, batch, m, n]
template <class T>
__global__ void fold(MatmulArgs a, const Accum<T>* parts, int count) {
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2], all = a.c.shape[0] * m * n,
                     e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (e >= all) return;
  Accum<T> sum = parts[e];
  for (int p = 1; p < count; ++p) sum += parts[p * all + e];
  finish<T, 1>(a, e / n / m, e / n % m, e % n, &sum, false);
}

}  // namespace

void matmul_split_k(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  const SplitK split = split_k(a);
  const dim3 grid(static_cast<unsigned>(tiles_of<64, 64>(a)), static_cast<unsigned>(split.parts));
  std::byte* parts = q.scratch(matmul_split_k_scratch(a, q.threads()));
  visit_float(a.c.dtype, [&]<class T>() {
    with_orders(a, [&]<bool AK, bool BK>() {
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) {
        using P = SmallMmaTile<T, AK, BK>;
        launch(q, mma_part<T, P>, grid, P::kThreads, P::kBytes, a, split, reinterpret_cast<float*>(parts));
      } else {
        using P = AsyncTile<T, 4, AK, BK>;
        launch(q, async_part<T, P>, grid, P::kThreads, P::kBytes, a, split, reinterpret_cast<T*>(parts));
      }
    });
    launch(q, fold<T>, blocks_for(a.c.numel(), 256, 0x7fffffff), 256, 0, a, reinterpret_cast<const Accum<T>*>(parts), split.parts);
  });
}

}  // namespace graft::GRAFT_SIMT
