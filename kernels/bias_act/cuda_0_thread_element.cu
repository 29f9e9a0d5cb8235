// bias_act and its gradient, one thread per element, and a Philox counter per element where there is dropout: four times the counters that
// are needed.
#include "kernels/bias_act/plain.h"
#include "kernels/bias_act/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <ActKind act, class T>
__global__ void thread_element(BiasActArgs a, Dropping<Accum<T>> drop, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) bias_act_one<act, T, Accum<T>>(a, drop, Counters(a).here(), i);
}
template <ActKind act, class T>
__global__ void grad_thread_element(BiasActGradArgs a, Dropping<Accum<T>> drop, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) bias_act_grad_one<act, T, Accum<T>>(a, drop, Counters(a).here(), i);
}

}  // namespace

void bias_act_thread_element(Queue& q, const BiasActArgs& a) {
  const std::int64_t n = a.x.numel();
  if (n == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    visit_act(a.act, [&]<ActKind act>() {
      launch(q, thread_element<act, T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, Dropping<Accum<T>>(a), n);
    });
  });
}
void bias_act_grad_thread_element(Queue& q, const BiasActGradArgs& a) {
  const std::int64_t n = a.dy.numel();
  if (n == 0) return;
  visit_float(a.dy.dtype, [&]<class T>() {
    visit_act(a.act, [&]<ActKind act>() {
      launch(q, grad_thread_element<act, T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, Dropping<Accum<T>>(a), n);
    });
  });
}

}  // namespace graft::GRAFT_SIMT
