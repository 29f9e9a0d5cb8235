// bias_act and its gradient as their definitions, in double. One thread.
#include "kernels/bias_act/plain.h"
#include "kernels/bias_act/rows.h"

namespace graft {

void bias_act_ref(Queue&, const BiasActArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { bias_act_walk<T, double>(a, 0, a.x.numel()); });
}
void bias_act_grad_ref(Queue&, const BiasActGradArgs& a) {
  visit_float(a.dy.dtype, [&]<class T>() { bias_act_grad_walk<T, double>(a, 0, a.dy.numel()); });
}

}  // namespace graft
