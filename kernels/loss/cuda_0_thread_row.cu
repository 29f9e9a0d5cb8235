// cross-entropy and its gradient: one thread per row, the loops of plain.h. The yardstick of the other rungs; any dtype, stride and option.
// Neighbouring threads read a row apart, so nothing is coalesced: forward 2 reads per element (3 with smoothing), gradient 1 read and 1 write.
#include "kernels/loss/device.h"
#include "kernels/loss/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace cross;

template <class T>
__global__ void thread_row(CrossEntropyArgs a, FaultSink faults) {
  using A = Accum<T>;
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r >= a.logits.shape[0]) return;
  const Row<const T> x = row<const T>(a.logits, r);
  A top = -INFINITY, sum = 0;
  for (std::int64_t c = 0; c < x.n; ++c) top = max_or_nan(top, static_cast<A>(x[c]));
  for (std::int64_t c = 0; c < x.n; ++c) sum += std::exp(static_cast<A>(x[c]) - top);
  finish<T>(a, faults, r, x, top, sum, 0, 1, [](A v) { return v; });
}
template <class T>
__global__ void grad_thread_row(CrossEntropyGradArgs a) {
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r >= a.logits.shape[0]) return;
  grad_row<T>(a, r, 0, 1, [](Accum<T> v) { return v; });
}

}  // namespace

void cross_entropy_thread_row(Queue& q, const CrossEntropyArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, thread_row<T>, blocks_for(a.logits.shape[0], 64, 1 << 30), 64, 0, a, q.fault(FaultKind::target)); });
}
void cross_entropy_grad_thread_row(Queue& q, const CrossEntropyGradArgs& a) {
  if (a.logits.numel() == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, grad_thread_row<T>, blocks_for(a.logits.shape[0], 64, 1 << 30), 64, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
