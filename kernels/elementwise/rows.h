// The rows of the elementwise table; private to the family.
#pragma once
#include "kernels/elementwise/elementwise.h"

namespace graft {

void elementwise_ref(Queue& q, const ElementwiseArgs& a);
void elementwise_naive(Queue& q, const ElementwiseArgs& a);
void elementwise_runs(Queue& q, const ElementwiseArgs& a);
void elementwise_simd(Queue& q, const ElementwiseArgs& a);
bool has_vector_form(ElementwiseOp op);

GRAFT_SIMT_ROW(elementwise_thread_element, ElementwiseArgs);
GRAFT_SIMT_ROW(elementwise_thread_runs, ElementwiseArgs);
GRAFT_SIMT_ROW(elementwise_vectors, ElementwiseArgs);

}  // namespace graft
