// softmax, log-softmax and their gradients: one thread per row, the plain loops of plain.h. The yardstick of the other rungs; any dtype and
// stride. Neighbouring threads read addresses a row apart, so every load is a transaction of its own: 3 reads and 1 write per element,
// uncoalesced.
#include "kernels/simt/simt.h"
#include "kernels/softmax/plain.h"
#include "kernels/softmax/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void thread_row(SoftmaxArgs a) {
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r < a.x.shape[0]) softmax_walk<T, Accum<T>>(a, r, r + 1);
}
template <class T>
__global__ void grad_thread_row(SoftmaxGradArgs a) {
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r < a.y.shape[0]) softmax_grad_walk<T, Accum<T>>(a, r, r + 1);
}

}  // namespace

void softmax_thread_row(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, thread_row<T>, blocks_for(a.x.shape[0], 128), 128, 0, a); });
}
void softmax_grad_thread_row(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  visit_float(a.y.dtype, [&]<class T>() { launch(q, grad_thread_row<T>, blocks_for(a.y.shape[0], 128), 128, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
