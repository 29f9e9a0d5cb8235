// The optimisers' updates in the accumulation type, an element at a time: any mixture of dtypes.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

namespace graft {
namespace {

void update(Queue& q, OptimKind kind, const OptimTensors& t, const OptimStep<float>& narrow, const OptimStep<double>& wide) {
  parallel_ranges(q.pool(), t.param.shape[0], 4096, [&](std::int64_t b, std::int64_t e) {
    if (optim_dtype(t) == DType::f64) optim_walk(kind, t, wide, b, e);
    else optim_walk(kind, t, narrow, b, e);
  });
}

}  // namespace

void optim_naive(Queue& q, const OptimArgs& a) { update(q, a.kind, a, OptimStep<float>(a), OptimStep<double>(a)); }
void optim_multi_naive(Queue& q, const OptimMultiArgs& a) {
  for (const OptimTensors& t : a.tensors) update(q, a.kind, t, host_step<float>(a), host_step<double>(a));
}
void sum_squares_multi_naive(Queue&, const SumSquaresMultiArgs& a) {
  double sum = 0;
  for (const View& x : a.x)
    for (std::int64_t i = 0; i < x.shape[0]; ++i) sum += optim_load<double>(x, i) * optim_load<double>(x, i);
  *a.out.as<double>() = sum;
}

}  // namespace graft
