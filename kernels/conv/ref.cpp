// The three convolution passes as plain loops with double sums: the oracle. Any float dtype, any strides, one thread.
#include "kernels/conv/loops.h"
#include "kernels/conv/rows.h"

namespace graft {

void conv_ref(Queue&, const ConvArgs& a) {
  visit_float(a.y.dtype, [&]<class T>() { conv_loops::forward<T, double>(a, 0, a.y.shape[0] * a.y.shape[1]); });
}

void conv_input_grad_ref(Queue&, const ConvInputGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() { conv_loops::input_grad<T, double>(a, 0, a.dx.shape[0] * a.dx.shape[1]); });
}

void conv_weight_grad_ref(Queue&, const ConvWeightGradArgs& a) {
  visit_float(a.dweight.dtype, [&]<class T>() {
    conv_loops::weight_grad<T, double>(a, 0, a.dweight.shape[0] * a.dweight.shape[1]);
    if (a.dbias.data) conv_loops::bias_grad<T, double>(a, 0, a.dbias.shape[0]);
  });
}

}  // namespace graft
