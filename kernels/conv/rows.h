// The rows of the three conv tables; private to the family. Each function's limits stand in variants.cpp.
#pragma once
#include "kernels/conv/conv.h"

namespace graft {

void conv_ref(Queue& q, const ConvArgs& a);
void conv_naive(Queue& q, const ConvArgs& a);
void conv_rows_forward(Queue& q, const ConvArgs& a);
void conv_offsets_forward(Queue& q, const ConvArgs& a);
void conv_amx_forward(Queue& q, const ConvArgs& a);

void conv_input_grad_ref(Queue& q, const ConvInputGradArgs& a);
void conv_input_grad_naive(Queue& q, const ConvInputGradArgs& a);
void conv_rows_input_grad(Queue& q, const ConvInputGradArgs& a);
void conv_offsets_input_grad(Queue& q, const ConvInputGradArgs& a);
void conv_amx_input_grad(Queue& q, const ConvInputGradArgs& a);

void conv_weight_grad_ref(Queue& q, const ConvWeightGradArgs& a);
void conv_weight_grad_naive(Queue& q, const ConvWeightGradArgs& a);
void conv_rows_weight_grad(Queue& q, const ConvWeightGradArgs& a);
void conv_offsets_weight_grad(Queue& q, const ConvWeightGradArgs& a);
void conv_amx_weight_grad(Queue& q, const ConvWeightGradArgs& a);

// dbias alone; part of the weight gradient's faster rows.
void conv_bias_grad(Queue& q, const ConvWeightGradArgs& a);

GRAFT_SIMT_ROW(conv_direct, ConvArgs);
GRAFT_SIMT_ROW(conv_direct_input_grad, ConvInputGradArgs);
GRAFT_SIMT_ROW(conv_direct_weight_grad, ConvWeightGradArgs);
GRAFT_SIMT_ROW(conv_implicit_gemm, ConvArgs);
GRAFT_SIMT_ROW(conv_implicit_gemm_input_grad, ConvInputGradArgs);
GRAFT_SIMT_ROW(conv_implicit_gemm_weight_grad, ConvWeightGradArgs);
GRAFT_SIMT_ROW(conv_depthwise, ConvArgs);
GRAFT_SIMT_ROW(conv_depthwise_input_grad, ConvInputGradArgs);
GRAFT_SIMT_ROW(conv_depthwise_weight_grad, ConvWeightGradArgs);
GRAFT_SIMT_ROW(conv_winograd, ConvArgs);

GRAFT_VENDOR_ROW(conv_cudnn, ConvArgs);
GRAFT_VENDOR_ROW(conv_input_grad_cudnn, ConvInputGradArgs);
GRAFT_VENDOR_ROW(conv_weight_grad_cudnn, ConvWeightGradArgs);

}  // namespace graft
