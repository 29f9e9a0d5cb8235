// The rows of the four pool tables; private to the family. Each function's limits stand in variants.cpp.
#pragma once
#include "kernels/pool/pool.h"

namespace graft {

void max_pool_ref(Queue& q, const MaxPoolArgs& a);
void max_pool_naive(Queue& q, const MaxPoolArgs& a);
void max_pool_pairs(Queue& q, const MaxPoolArgs& a);
void max_pool_channels(Queue& q, const MaxPoolArgs& a);

void max_pool_grad_ref(Queue& q, const MaxPoolGradArgs& a);
void max_pool_grad_naive(Queue& q, const MaxPoolGradArgs& a);
void max_pool_grad_pairs(Queue& q, const MaxPoolGradArgs& a);
void max_pool_grad_channels(Queue& q, const MaxPoolGradArgs& a);

void avg_pool_ref(Queue& q, const AvgPoolArgs& a);
void avg_pool_naive(Queue& q, const AvgPoolArgs& a);
void avg_pool_pairs(Queue& q, const AvgPoolArgs& a);
void avg_pool_channels(Queue& q, const AvgPoolArgs& a);

void avg_pool_grad_ref(Queue& q, const AvgPoolGradArgs& a);
void avg_pool_grad_naive(Queue& q, const AvgPoolGradArgs& a);
void avg_pool_grad_pairs(Queue& q, const AvgPoolGradArgs& a);
void avg_pool_grad_channels(Queue& q, const AvgPoolGradArgs& a);

GRAFT_SIMT_ROW(max_pool_thread_output, MaxPoolArgs);
GRAFT_SIMT_ROW(max_pool_grad_thread_element, MaxPoolGradArgs);
GRAFT_SIMT_ROW(avg_pool_thread_output, AvgPoolArgs);
GRAFT_SIMT_ROW(avg_pool_grad_thread_element, AvgPoolGradArgs);
GRAFT_SIMT_ROW(max_pool_plane, MaxPoolArgs);
GRAFT_SIMT_ROW(max_pool_grad_plane, MaxPoolGradArgs);
GRAFT_SIMT_ROW(avg_pool_plane, AvgPoolArgs);
GRAFT_SIMT_ROW(avg_pool_grad_plane, AvgPoolGradArgs);
GRAFT_SIMT_ROW(max_pool_channels_16, MaxPoolArgs);
GRAFT_SIMT_ROW(max_pool_grad_channels_16, MaxPoolGradArgs);
GRAFT_SIMT_ROW(avg_pool_channels_16, AvgPoolArgs);
GRAFT_SIMT_ROW(avg_pool_grad_channels_16, AvgPoolGradArgs);

}  // namespace graft
