// softmax, log-softmax and their gradients as their definitions, in double. One thread.
#include "kernels/softmax/plain.h"
#include "kernels/softmax/rows.h"

namespace graft {

void softmax_ref(Queue&, const SoftmaxArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { softmax_walk<T, double>(a, 0, a.x.shape[0]); });
}
void softmax_grad_ref(Queue&, const SoftmaxGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() { softmax_grad_walk<T, double>(a, 0, a.dx.shape[0]); });
}

}  // namespace graft
