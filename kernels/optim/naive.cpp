// The optimisers' updates in the accumulation type, an element at a time: any mixture of dtypes.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

namespace graft {

void optim_naive(Queue& q, const OptimArgs& a) {
  const DType t = a.master.data ? a.master.dtype : a.param.dtype;
  parallel_ranges(q.pool(), a.param.shape[0], 4096, [&](std::int64_t b, std::int64_t e) {
    if (t == DType::f64) optim_walk<double>(a, b, e);
    else optim_walk<float>(a, b, e);
  });
}

}  // namespace graft
