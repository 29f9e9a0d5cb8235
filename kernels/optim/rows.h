// The rows of the optim table; private to the family.
#pragma once
#include "kernels/optim/optim.h"

namespace graft {

void optim_ref(Queue& q, const OptimArgs& a);
void optim_naive(Queue& q, const OptimArgs& a);
void optim_simd(Queue& q, const OptimArgs& a);

GRAFT_SIMT_ROW(optim_thread_element, OptimArgs);
GRAFT_SIMT_ROW(optim_pieces, OptimArgs);

}  // namespace graft
