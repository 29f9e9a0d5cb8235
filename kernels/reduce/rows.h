// The rows of the reduce, cumsum and sort tables; private to the family.
#pragma once
#include "kernels/reduce/reduce.h"

namespace graft {

void reduce_ref(Queue& q, const ReduceArgs& a);
void reduce_naive(Queue& q, const ReduceArgs& a);
void reduce_blocks(Queue& q, const ReduceArgs& a);
void reduce_simd(Queue& q, const ReduceArgs& a);
std::size_t reduce_blocks_scratch(const ReduceArgs& a, int threads);

void cumsum_ref(Queue& q, const CumsumArgs& a);
void cumsum_naive(Queue& q, const CumsumArgs& a);

void sort_ref(Queue& q, const SortArgs& a);
void sort_naive(Queue& q, const SortArgs& a);
void sort_partial(Queue& q, const SortArgs& a);

GRAFT_SIMT_ROW(reduce_thread_output, ReduceArgs);
GRAFT_SIMT_ROW(reduce_warp_line, ReduceArgs);
GRAFT_SIMT_ROW(reduce_block_line, ReduceArgs);
GRAFT_SIMT_ROW(reduce_split_line, ReduceArgs);
GRAFT_SIMT_ROW(reduce_columns, ReduceArgs);
std::size_t reduce_split_line_scratch(const ReduceArgs& a, int threads);
std::size_t reduce_columns_scratch(const ReduceArgs& a, int threads);

GRAFT_SIMT_ROW(cumsum_thread_line, CumsumArgs);
GRAFT_SIMT_ROW(cumsum_scan, CumsumArgs);
GRAFT_SIMT_ROW(cumsum_split_scan, CumsumArgs);
std::size_t cumsum_split_scratch(const CumsumArgs& a, int threads);

GRAFT_SIMT_ROW(sort_thread_place, SortArgs);
GRAFT_SIMT_ROW(sort_bitonic, SortArgs);
GRAFT_SIMT_ROW(sort_merge, SortArgs);
std::size_t sort_merge_scratch(const SortArgs& a, int threads);

}  // namespace graft
