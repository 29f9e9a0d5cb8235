// The optimisers' updates in double. One thread.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

namespace graft {

void optim_ref(Queue&, const OptimArgs& a) { optim_walk(a.kind, a, OptimStep<double>(a), 0, a.param.shape[0]); }
void optim_multi_ref(Queue&, const OptimMultiArgs& a) {
  for (const OptimTensors& t : a.tensors) optim_walk(a.kind, t, host_step<double>(a), 0, t.param.shape[0]);
}
void sum_squares_multi_ref(Queue&, const SumSquaresMultiArgs& a) {
  long double sum = 0;
  for (const View& x : a.x)
    for (std::int64_t i = 0; i < x.shape[0]; ++i) sum += static_cast<long double>(optim_load<double>(x, i)) * optim_load<double>(x, i);
  *a.out.as<double>() = static_cast<double>(sum);
}

}  // namespace graft
