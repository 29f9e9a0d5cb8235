// The rows of the matmul table; private to the family.
#pragma once
#include "kernels/matmul/matmul.h"

namespace graft {

void matmul_ref(Queue& q, const MatmulArgs& a);
void matmul_naive(Queue& q, const MatmulArgs& a);
void matmul_blocked(Queue& q, const MatmulArgs& a);
void matmul_packed(Queue& q, const MatmulArgs& a);
std::size_t matmul_packed_scratch(const MatmulArgs& a, int threads);

GRAFT_SIMT_ROW(matmul_thread_product, MatmulArgs);

}  // namespace graft
