// The optimisers' updates, one thread per element, any mixture of dtypes: what does not depend on the element is computed once on the host. Bytes: every
// operand read once, weight and states written once; neighbouring threads take neighbouring elements.
#include "kernels/simt/simt.h"
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

namespace graft::GRAFT_SIMT {
namespace {

template <OptimKind kind, class A>
__global__ void thread_element(OptimArgs a, OptimStep<A> s, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) optim_one<kind, A>(a, s, i);
}

}  // namespace

void optim_thread_element(Queue& q, const OptimArgs& a) {
  const std::int64_t n = a.param.shape[0];
  if (n == 0) return;
  const auto run = [&]<class A>(A) {
    visit_optim(a.kind, [&]<OptimKind kind>() { launch(q, thread_element<kind, A>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, OptimStep<A>(a), n); });
  };
  if ((a.master.data ? a.master.dtype : a.param.dtype) == DType::f64) run(double{});
  else run(float{});
}

}  // namespace graft::GRAFT_SIMT
