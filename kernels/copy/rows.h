// The rows of the copy table; private to the family.
#pragma once
#include "kernels/copy/copy.h"

namespace graft {

void copy_ref(Queue& q, const CopyArgs& a);
void copy_naive(Queue& q, const CopyArgs& a);
void copy_runs(Queue& q, const CopyArgs& a);
void copy_simd(Queue& q, const CopyArgs& a);

GRAFT_SIMT_ROW(copy_thread_element, CopyArgs);
GRAFT_SIMT_ROW(copy_thread_runs, CopyArgs);
GRAFT_SIMT_ROW(copy_vectors, CopyArgs);
GRAFT_SIMT_ROW(copy_tiles, CopyArgs);

}  // namespace graft
