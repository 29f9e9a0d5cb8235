// The optimisers' updates, one thread per element, any mixture of dtypes: what does not depend on the element is computed once on the host.
// Bytes: every operand read once, weight and states written once; neighbouring threads take neighbouring elements. optim_multi: a launch
// per tensor.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <OptimKind kind, class A>
__global__ void thread_element(OptimTensors a, OptimStep<A> s, const double* scalars, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (scalars) s.set(scalars);
  if (i < n) optim_one<kind, A>(a, s, i);
}

void update(Queue& q, const OptimTensors& t, const OptimRule& rule, const View& scalars) {
  const std::int64_t n = t.param.shape[0];
  if (n == 0) return;
  const auto run = [&]<class A>(A) {
    visit_optim(rule.kind, [&]<OptimKind kind>() {
      launch(q, thread_element<kind, A>, blocks_for(n, 256, 0x7fffffff), 256, 0, t, OptimStep<A>(rule), scalars.as<const double>(), n);
    });
  };
  if (optim_dtype(t) == DType::f64) run(double{});
  else run(float{});
}

}  // namespace

void optim_thread_element(Queue& q, const OptimArgs& a) { update(q, a, a, View{}); }
void optim_multi_tensors(Queue& q, const OptimMultiArgs& a) {
  for (const OptimTensors& t : a.tensors) update(q, t, a, a.scalars);
}

}  // namespace graft::GRAFT_SIMT
