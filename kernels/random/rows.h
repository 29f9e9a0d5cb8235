// The rows of the random and dropout tables; private to the family.
#pragma once
#include "kernels/random/random.h"

namespace graft {

void random_ref(Queue& q, const RandomArgs& a);
void random_naive(Queue& q, const RandomArgs& a);
void random_blocks(Queue& q, const RandomArgs& a);

void dropout_ref(Queue& q, const DropoutArgs& a);
void dropout_naive(Queue& q, const DropoutArgs& a);
void dropout_simd(Queue& q, const DropoutArgs& a);

}  // namespace graft
