// The three convolution passes as plain loops, sums in Accum<T>: the yardstick of the tolerance, and what serves every dtype and stride.
// One task is a few output planes (forward, input gradient) or filters (weight gradient), each computed by one thread in one order.
#include "kernels/conv/loops.h"
#include "kernels/conv/rows.h"

namespace graft {

void conv_naive(Queue& q, const ConvArgs& a) {
  const std::int64_t cost = a.y.shape[2] * a.y.shape[3] * a.weight.shape[1] * a.weight.shape[2] * a.weight.shape[3];
  visit_float(a.y.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.y.shape[0] * a.y.shape[1], conv_loops::grain_of(cost),
                    [&](std::int64_t b, std::int64_t e) { conv_loops::forward<T, Accum<T>>(a, b, e); });
  });
}

void conv_input_grad_naive(Queue& q, const ConvInputGradArgs& a) {
  const std::int64_t taps = a.weight.shape[0] / a.geometry.groups * a.weight.shape[2] * a.weight.shape[3];
  visit_float(a.dx.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.dx.shape[0] * a.dx.shape[1], conv_loops::grain_of(a.dx.shape[2] * a.dx.shape[3] * taps),
                    [&](std::int64_t b, std::int64_t e) { conv_loops::input_grad<T, Accum<T>>(a, b, e); });
  });
}

void conv_weight_grad_naive(Queue& q, const ConvWeightGradArgs& a) {
  const std::int64_t positions = a.dy.shape[0] * a.dy.shape[2] * a.dy.shape[3];
  const std::int64_t taps = a.dweight.shape[2] * a.dweight.shape[3];
  visit_float(a.dweight.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.dweight.shape[0] * a.dweight.shape[1], conv_loops::grain_of(positions * taps),
                    [&](std::int64_t b, std::int64_t e) { conv_loops::weight_grad<T, Accum<T>>(a, b, e); });
    if (a.dbias.data)
      parallel_ranges(q.pool(), a.dbias.shape[0], conv_loops::grain_of(positions),
                      [&](std::int64_t b, std::int64_t e) { conv_loops::bias_grad<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
