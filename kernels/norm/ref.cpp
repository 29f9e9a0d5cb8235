// The normalisations and their gradients with double sums. One thread.
#include "kernels/norm/loops.h"
#include "kernels/norm/rows.h"

namespace graft {

void row_norm_ref(Queue&, const RowNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { norm_loops::row_forward<T, double>(a, 0, a.x.shape[0]); });
}
void row_norm_grad_ref(Queue&, const RowNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    if (a.dx.data) norm_loops::row_backward<T, double>(a, 0, a.x.shape[0]);
    if (a.dweight.data || a.dbias.data) norm_loops::row_parameters<T, double>(a, 0, a.x.shape[1]);
  });
}
void group_norm_ref(Queue&, const GroupNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { norm_loops::group_forward<T, double>(a, 0, a.x.shape[0] * a.groups); });
}
void group_norm_grad_ref(Queue&, const GroupNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    if (a.dx.data) norm_loops::group_backward<T, double>(a, 0, a.x.shape[0] * a.groups);
    if (a.dweight.data || a.dbias.data) norm_loops::group_parameters<T, double>(a, 0, a.x.shape[1]);
  });
}
void batch_norm_ref(Queue&, const BatchNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { norm_loops::batch_forward<T, double>(a, 0, a.x.shape[1]); });
}
void batch_norm_grad_ref(Queue&, const BatchNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() { norm_loops::batch_backward<T, double>(a, 0, a.x.shape[1]); });
}

}  // namespace graft
