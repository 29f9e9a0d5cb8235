// cross-entropy and its gradient as their definitions, in double. One thread. The saved tensors may be of either accumulation type.
#include "kernels/loss/plain.h"
#include "kernels/loss/rows.h"

namespace graft {

void cross_entropy_ref(Queue&, const CrossEntropyArgs& a) {
  visit_float(a.logits.dtype, [&]<class T>() {
    if (a.loss.dtype == DType::f64) cross_entropy_walk<T, double, double>(a, 0, a.logits.shape[0]);
    else cross_entropy_walk<T, float, double>(a, 0, a.logits.shape[0]);
  });
}
void cross_entropy_grad_ref(Queue&, const CrossEntropyGradArgs& a) {
  visit_float(a.logits.dtype, [&]<class T>() {
    if (a.lse.dtype == DType::f64) cross_entropy_grad_walk<T, double, double>(a, 0, a.logits.shape[0]);
    else cross_entropy_grad_walk<T, float, double>(a, 0, a.logits.shape[0]);
  });
}

void cross_entropy_fused_ref(Queue&, const CrossEntropyFusedArgs& a) {
  visit_float(a.logits.dtype, [&]<class T>() {
    if (a.loss.dtype == DType::f64) cross_entropy_fused_walk<T, double, double>(a, 0, a.logits.shape[0]);
    else cross_entropy_fused_walk<T, float, double>(a, 0, a.logits.shape[0]);
  });
}

}  // namespace graft
