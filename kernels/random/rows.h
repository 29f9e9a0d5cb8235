// The rows of the random and dropout tables; private to the family.
#pragma once
#include "kernels/random/random.h"

namespace graft {

void random_ref(Queue& q, const RandomArgs& a);
void random_naive(Queue& q, const RandomArgs& a);
void random_blocks(Queue& q, const RandomArgs& a);
void random_simd(Queue& q, const RandomArgs& a);

void dropout_ref(Queue& q, const DropoutArgs& a);
void dropout_naive(Queue& q, const DropoutArgs& a);
void dropout_simd(Queue& q, const DropoutArgs& a);

GRAFT_SIMT_ROW(random_thread_element, RandomArgs);
GRAFT_SIMT_ROW(dropout_thread_element, DropoutArgs);
GRAFT_SIMT_ROW(random_counters, RandomArgs);
GRAFT_SIMT_ROW(dropout_counters, DropoutArgs);

}  // namespace graft
