// The rows of the embed tables; private to the family.
#pragma once
#include "kernels/embed/embed.h"

namespace graft {

void embed_ref(Queue& q, const EmbedArgs& a);
void embed_naive(Queue& q, const EmbedArgs& a);
void embed_rows(Queue& q, const EmbedArgs& a);

void embed_grad_ref(Queue& q, const EmbedGradArgs& a);
void embed_grad_naive(Queue& q, const EmbedGradArgs& a);
void embed_grad_sorted(Queue& q, const EmbedGradArgs& a);

}  // namespace graft
