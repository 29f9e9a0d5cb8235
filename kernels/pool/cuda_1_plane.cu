// Pooling and its gradients, a block per plane (or per 1024 outputs of one), lanes along a row of outputs: loads and stores are coalesced,
// image and channel are divided out once per block and all other arithmetic is 32-bit. 2 x 2 windows with stride 2 are compiled apart,
// without bounds. Bytes: forward x, y and where once; gradient dy and where (from L1 where windows overlap), dx once. Any float dtype, last
// axes dense.
#include "kernels/pool/rows.h"
#include "kernels/pool/windows.h"

namespace graft::GRAFT_SIMT {
namespace {

using namespace pool_windows;
constexpr int kEach = 4;  // outputs of a thread

// channels, outputs of a plane, outputs of a row
template <class T, bool kPair, class Args>
__global__ void __launch_bounds__(256, 4) plane(const Args a, int channels, int outputs, int cols) {
  const int n = static_cast<int>(blockIdx.x) / channels, c = static_cast<int>(blockIdx.x) % channels,
            threads = static_cast<int>(blockDim.x);
  int o = static_cast<int>(blockIdx.y) * threads * kEach + static_cast<int>(threadIdx.x);
  for (int e = 0; e < kEach && o < outputs; ++e, o += threads) make<T, 1, kPair>(a, At{n, c, o / cols, o % cols});
}
template <class Args>
void planes(Queue& q, const Args& a) {
  const View& y = result_of(a);
  if (y.numel() == 0) return;
  const std::int64_t outputs = y.shape[2] * y.shape[3];
  const unsigned threads = outputs >= 256 ? 256 : static_cast<unsigned>((outputs + 31) / 32 * 32);
  const dim3 grid(static_cast<unsigned>(y.shape[0] * y.shape[1]), blocks_for(outputs, threads * kEach));
  visit_float(y.dtype, [&]<class T>() {
    const int channels = static_cast<int>(y.shape[1]), cols = static_cast<int>(y.shape[3]);
    const auto run = [&](auto kernel) { launch(q, kernel, grid, threads, 0, a, channels, static_cast<int>(outputs), cols); };
    if (is_pair(a.geometry)) run(plane<T, true, Args>);
    else run(plane<T, false, Args>);
  });
}

}  // namespace

void max_pool_plane(Queue& q, const MaxPoolArgs& a) { planes(q, a); }
void max_pool_grad_plane(Queue& q, const MaxPoolGradArgs& a) { planes(q, a); }
void avg_pool_plane(Queue& q, const AvgPoolArgs& a) { planes(q, a); }
void avg_pool_grad_plane(Queue& q, const AvgPoolGradArgs& a) { planes(q, a); }

}  // namespace graft::GRAFT_SIMT
