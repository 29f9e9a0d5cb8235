// The rows of the bias_act tables; private to the family.
#pragma once
#include "kernels/bias_act/bias_act.h"

namespace graft {

void bias_act_ref(Queue& q, const BiasActArgs& a);
void bias_act_naive(Queue& q, const BiasActArgs& a);
void bias_act_simd(Queue& q, const BiasActArgs& a);

void bias_act_grad_ref(Queue& q, const BiasActGradArgs& a);
void bias_act_grad_naive(Queue& q, const BiasActGradArgs& a);
void bias_act_grad_simd(Queue& q, const BiasActGradArgs& a);

GRAFT_SIMT_ROW(bias_act_thread_element, BiasActArgs);
GRAFT_SIMT_ROW(bias_act_grad_thread_element, BiasActGradArgs);
GRAFT_SIMT_ROW(bias_act_vectors, BiasActArgs);
GRAFT_SIMT_ROW(bias_act_grad_vectors, BiasActGradArgs);

}  // namespace graft
