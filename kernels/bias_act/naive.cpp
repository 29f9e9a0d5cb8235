// bias_act and its gradient element by element, in parallel pieces.
#include "kernels/bias_act/plain.h"
#include "kernels/bias_act/rows.h"

namespace graft {

void bias_act_naive(Queue& q, const BiasActArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.x.numel(), 4096, [&](std::int64_t b, std::int64_t e) { bias_act_walk<T, Accum<T>>(a, b, e); });
  });
}
void bias_act_grad_naive(Queue& q, const BiasActGradArgs& a) {
  visit_float(a.dy.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.dy.numel(), 4096, [&](std::int64_t b, std::int64_t e) { bias_act_grad_walk<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
