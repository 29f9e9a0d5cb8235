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

}  // namespace graft
