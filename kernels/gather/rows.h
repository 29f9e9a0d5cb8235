// The rows of the gather and scatter tables; private to the family.
#pragma once
#include "kernels/gather/gather.h"

namespace graft {

void gather_ref(Queue& q, const GatherArgs& a);
void gather_naive(Queue& q, const GatherArgs& a);
void gather_lines(Queue& q, const GatherArgs& a);

void scatter_ref(Queue& q, const ScatterArgs& a);
void scatter_naive(Queue& q, const ScatterArgs& a);
void scatter_lines(Queue& q, const ScatterArgs& a);
void scatter_simd(Queue& q, const ScatterArgs& a);

GRAFT_SIMT_ROW(gather_thread_line, GatherArgs);
GRAFT_SIMT_ROW(scatter_thread_line, ScatterArgs);
GRAFT_SIMT_ROW(gather_rows, GatherArgs);
GRAFT_SIMT_ROW(gather_pieces, GatherArgs);
GRAFT_SIMT_ROW(scatter_ranges, ScatterArgs);
GRAFT_SIMT_ROW(scatter_warp_ranges, ScatterArgs);

}  // namespace graft
