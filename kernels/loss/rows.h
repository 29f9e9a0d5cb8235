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

void cross_entropy_fused_ref(Queue& q, const CrossEntropyFusedArgs& a);
void cross_entropy_fused_naive(Queue& q, const CrossEntropyFusedArgs& a);
void cross_entropy_fused_simd(Queue& q, const CrossEntropyFusedArgs& a);

// A row that a block keeps in shared memory: what is left of the 99 KB that a block may have from compute capability 8.6 on, beside the
// partial results.
inline constexpr std::int64_t kHeldBytes = 100864;

GRAFT_SIMT_ROW(cross_entropy_thread_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_warp_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_block_row, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_pieces, CrossEntropyArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_thread_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_warp_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_block_row, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_grad_pieces, CrossEntropyGradArgs);
GRAFT_SIMT_ROW(cross_entropy_fused_thread_row, CrossEntropyFusedArgs);
GRAFT_SIMT_ROW(cross_entropy_fused_warp_row, CrossEntropyFusedArgs);
GRAFT_SIMT_ROW(cross_entropy_fused_block_row, CrossEntropyFusedArgs);
GRAFT_SIMT_ROW(cross_entropy_fused_pieces, CrossEntropyFusedArgs);
GRAFT_SIMT_ROW(cross_entropy_fused_held, CrossEntropyFusedArgs);

}  // namespace graft
