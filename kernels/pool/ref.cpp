// Max and average pooling and their gradients as plain loops with double sums: the oracle. Any float dtype, any strides, one thread.
#include "kernels/pool/loops.h"
#include "kernels/pool/rows.h"

namespace graft {

void max_pool_ref(Queue&, const MaxPoolArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { pool_loops::max_forward<T>(a, 0, a.x.shape[0] * a.x.shape[1]); });
}
void max_pool_grad_ref(Queue&, const MaxPoolGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() { pool_loops::max_grad<T, double>(a, 0, a.dx.shape[0] * a.dx.shape[1]); });
}
void avg_pool_ref(Queue&, const AvgPoolArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { pool_loops::avg_forward<T, double>(a, 0, a.x.shape[0] * a.x.shape[1]); });
}
void avg_pool_grad_ref(Queue&, const AvgPoolGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() { pool_loops::avg_grad<T, double>(a, 0, a.dx.shape[0] * a.dx.shape[1]); });
}

}  // namespace graft
