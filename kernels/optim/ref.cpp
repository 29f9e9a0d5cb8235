// The optimisers' updates in double. One thread.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

namespace graft {

void optim_ref(Queue&, const OptimArgs& a) { optim_walk<double>(a, 0, a.param.shape[0]); }

}  // namespace graft
