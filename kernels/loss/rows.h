// The rows of the loss tables; private to the family.
#pragma once
#include "kernels/loss/loss.h"

namespace graft {

void cross_entropy_ref(Queue& q, const CrossEntropyArgs& a);
void cross_entropy_naive(Queue& q, const CrossEntropyArgs& a);
void cross_entropy_simd(Queue& q, const CrossEntropyArgs& a);

void cross_entropy_grad_ref(Queue& q, const CrossEntropyGradArgs& a);
void cross_entropy_grad_naive(Queue& q, const CrossEntropyGradArgs& a);
void cross_entropy_grad_simd(Queue& q, const CrossEntropyGradArgs& a);

GRAFT_SIMT_ROW(cross_entropy_thread_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_warp_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_block_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_pieces, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_thread_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_warp_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_block_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_pieces, CrossEntropyGradArgs);

}  // namespace graft
