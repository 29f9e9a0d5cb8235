// The rows of the softmax tables; private to the family.
#pragma once
#include "kernels/softmax/softmax.h"

namespace graft {

void softmax_ref(Queue& q, const SoftmaxArgs& a);
void softmax_naive(Queue& q, const SoftmaxArgs& a);
void softmax_simd(Queue& q, const SoftmaxArgs& a);

void softmax_grad_ref(Queue& q, const SoftmaxGradArgs& a);
void softmax_grad_naive(Queue& q, const SoftmaxGradArgs& a);
void softmax_grad_simd(Queue& q, const SoftmaxGradArgs& a);

GRAFT_SIMT_ROW(softmax_thread_row, SoftmaxArgs);
GRAFT_SIMT_ROW(softmax_warp_row, SoftmaxArgs);
GRAFT_SIMT_ROW(softmax_block_row, SoftmaxArgs);
GRAFT_SIMT_ROW(softmax_grad_thread_row, SoftmaxGradArgs);
GRAFT_SIMT_ROW(softmax_grad_warp_row, SoftmaxGradArgs);
GRAFT_SIMT_ROW(softmax_grad_block_row, SoftmaxGradArgs);

GRAFT_VENDOR_ROW(softmax_cudnn, SoftmaxArgs);
GRAFT_VENDOR_ROW(softmax_grad_cudnn, SoftmaxGradArgs);

}  // namespace graft
