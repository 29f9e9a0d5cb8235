// The rows of the norm tables; private to the family.
#pragma once
#include "kernels/norm/norm.h"

namespace graft {

void row_norm_ref(Queue& q, const RowNormArgs& a);
void row_norm_naive(Queue& q, const RowNormArgs& a);
void row_norm_simd(Queue& q, const RowNormArgs& a);
void row_norm_grad_ref(Queue& q, const RowNormGradArgs& a);
void row_norm_grad_naive(Queue& q, const RowNormGradArgs& a);
void row_norm_grad_simd(Queue& q, const RowNormGradArgs& a);

void group_norm_ref(Queue& q, const GroupNormArgs& a);
void group_norm_naive(Queue& q, const GroupNormArgs& a);
void group_norm_simd(Queue& q, const GroupNormArgs& a);
void group_norm_grad_ref(Queue& q, const GroupNormGradArgs& a);
void group_norm_grad_naive(Queue& q, const GroupNormGradArgs& a);
void group_norm_grad_simd(Queue& q, const GroupNormGradArgs& a);

void batch_norm_ref(Queue& q, const BatchNormArgs& a);
void batch_norm_naive(Queue& q, const BatchNormArgs& a);
void batch_norm_simd(Queue& q, const BatchNormArgs& a);
void batch_norm_grad_ref(Queue& q, const BatchNormGradArgs& a);
void batch_norm_grad_naive(Queue& q, const BatchNormGradArgs& a);
void batch_norm_grad_simd(Queue& q, const BatchNormGradArgs& a);

GRAFT_SIMT_ROW(row_norm_thread_row, RowNormArgs);
GRAFT_SIMT_ROW(row_norm_grad_thread_row, RowNormGradArgs);
GRAFT_SIMT_ROW(group_norm_thread_group, GroupNormArgs);
GRAFT_SIMT_ROW(group_norm_grad_thread_group, GroupNormGradArgs);
GRAFT_SIMT_ROW(batch_norm_thread_channel, BatchNormArgs);
GRAFT_SIMT_ROW(batch_norm_grad_thread_channel, BatchNormGradArgs);

}  // namespace graft
