// cross-entropy and its gradient: one thread per row, the loops of plain.h. The yardstick of the other rungs; any dtype, stride and option.
// Neighbouring threads read a row apart, so nothing is coalesced: forward 2 reads per element (3 with smoothing), gradient 1 read and 1
// write, fused 3 reads (4) and 1 write.
#include "kernels/loss/device.h"
#include "kernels/loss/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace cross;

template <class T>
__device__ __forceinline__ Running<Accum<T>> two_visits(const Row<const T>& x) {
  using A = Accum<T>;
  A top = -INFINITY, sum = 0;
  for (std::int64_t c = 0; c < x.n; ++c) top = max_or_nan(top, static_cast<A>(x[c]));
  for (std::int64_t c = 0; c < x.n; ++c) sum += std::exp(static_cast<A>(x[c]) - top);
  return {top, sum};
}

template <class T>
__global__ void thread_row(CrossEntropyArgs a, FaultSink faults) {
  using A = Accum<T>;
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r >= a.logits.shape[0]) return;
  const Row<const T> x = row<const T>(a.logits, r);
  const Running<A> v = two_visits(x);
  finish<T>(a, faults, r, x, hit_of(a, r, x), v.top, v.sum, 0, 1, [](A s) { return s; });
}
template <class T>
__global__ void fused_thread_row(CrossEntropyFusedArgs a, FaultSink faults) {
  using A = Accum<T>;
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r >= a.logits.shape[0]) return;
  const Row<const T> x = row<const T>(a.logits, r);
  write_row<T>(a, r, x, finish_fused<T>(a, faults, r, x, hit_of(a, r, x), two_visits(x), 0, 1, [](A s) { return s; }), 0, 1);
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
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, thread_row<T>, blocks_for(a.logits.shape[0], 64, 1 << 30), 64, 0, a, q.fault(FaultKind::target));
  });
}
void cross_entropy_grad_thread_row(Queue& q, const CrossEntropyGradArgs& a) {
  if (a.logits.numel() == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, grad_thread_row<T>, blocks_for(a.logits.shape[0], 64, 1 << 30), 64, 0, a); });
}
void cross_entropy_fused_thread_row(Queue& q, const CrossEntropyFusedArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, fused_thread_row<T>, blocks_for(a.logits.shape[0], 64, 1 << 30), 64, 0, a, q.fault(FaultKind::target));
  });
}

}  // namespace graft::GRAFT_SIMT
