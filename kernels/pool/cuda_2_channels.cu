// Pooling and its gradients with channels last: a thread makes one output position of 16 bytes of channels (4 f32, 8 bf16 or f16), lanes
// along the channels, so that a load or store is a whole 16 bytes and a warp reads 512 neighbouring ones. Bytes: forward x, y and where
// once (overlaps from L2); gradient dy and where once per window over the element, dx once. Any float dtype, channels dense, 16-byte
// aligned, a multiple of 16 bytes.
#include "kernels/pool/rows.h"
#include "kernels/pool/windows.h"

namespace graft::GRAFT_SIMT {
namespace {

using namespace pool_windows;

// packs: 16-byte pieces of the channels; rows, cols: of the result
template <class T, bool kPair, class Args>
__global__ void __launch_bounds__(256, 3) channels(const Args a, unsigned all, unsigned packs, unsigned rows, unsigned cols) {
  const unsigned t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= all) return;
  const unsigned position = t / packs, row = position / cols, c = t % packs * kPack<T>;
  make<T, kPack<T>, kPair>(
      a, At{static_cast<int>(row / rows), static_cast<int>(c), static_cast<int>(row % rows), static_cast<int>(position % cols)});
}
template <class Args>
void pieces(Queue& q, const Args& a) {
  const View& y = result_of(a);
  if (y.numel() == 0) return;
  visit_float(y.dtype, [&]<class T>() {
    const auto packs = static_cast<unsigned>(y.shape[1] / kPack<T>), rows = static_cast<unsigned>(y.shape[2]),
               cols = static_cast<unsigned>(y.shape[3]);
    const unsigned all = static_cast<unsigned>(y.shape[0]) * rows * cols * packs;
    const auto run = [&](auto kernel) { launch(q, kernel, blocks_for(all, 256, 0x7fffffff), 256, 0, a, all, packs, rows, cols); };
    if (is_pair(a.geometry)) run(channels<T, true, Args>);
    else run(channels<T, false, Args>);
  });
}

}  // namespace

void max_pool_channels_16(Queue& q, const MaxPoolArgs& a) { pieces(q, a); }
void max_pool_grad_channels_16(Queue& q, const MaxPoolGradArgs& a) { pieces(q, a); }
void avg_pool_channels_16(Queue& q, const AvgPoolArgs& a) { pieces(q, a); }
void avg_pool_grad_channels_16(Queue& q, const AvgPoolGradArgs& a) { pieces(q, a); }

}  // namespace graft::GRAFT_SIMT
