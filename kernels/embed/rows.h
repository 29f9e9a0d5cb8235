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
void embed_grad_simd(Queue& q, const EmbedGradArgs& a);

GRAFT_SIMT_ROW(embed_thread_element, EmbedArgs);
GRAFT_SIMT_ROW(embed_grad_thread_element, EmbedGradArgs);
GRAFT_SIMT_ROW(embed_pieces, EmbedArgs);
GRAFT_SIMT_ROW(embed_grad_sorted_positions, EmbedGradArgs);
GRAFT_SIMT_ROW(embed_grad_sorted_pieces, EmbedGradArgs);
GRAFT_SIMT_ROW(embed_grad_atomic, EmbedGradArgs);

}  // namespace graft
