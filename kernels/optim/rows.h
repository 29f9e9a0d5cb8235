// The rows of the optim tables; private to the family.
#pragma once
#include "kernels/optim/optim.h"

namespace graft {

void optim_ref(Queue& q, const OptimArgs& a);
void optim_naive(Queue& q, const OptimArgs& a);
void optim_simd(Queue& q, const OptimArgs& a);

void optim_multi_ref(Queue& q, const OptimMultiArgs& a);
void optim_multi_naive(Queue& q, const OptimMultiArgs& a);
void optim_multi_simd(Queue& q, const OptimMultiArgs& a);

// Partial sums are of this many elements of a tensor; they meet in order.
inline constexpr std::int64_t kSquaresChunk = 8192;
inline std::size_t squares_scratch(const SumSquaresMultiArgs& a, int) {
  std::int64_t chunks = 1;
  for (const View& x : a.x) chunks += (x.shape[0] + kSquaresChunk - 1) / kSquaresChunk;
  return static_cast<std::size_t>(chunks) * sizeof(double);
}
void sum_squares_multi_ref(Queue& q, const SumSquaresMultiArgs& a);
void sum_squares_multi_naive(Queue& q, const SumSquaresMultiArgs& a);
void sum_squares_multi_simd(Queue& q, const SumSquaresMultiArgs& a);

GRAFT_SIMT_ROW(optim_thread_element, OptimArgs);
GRAFT_SIMT_ROW(optim_pieces, OptimArgs);
GRAFT_SIMT_ROW(optim_multi_tensors, OptimMultiArgs);
GRAFT_SIMT_ROW(optim_multi_chunks, OptimMultiArgs);
GRAFT_SIMT_ROW(sum_squares_multi_tensors, SumSquaresMultiArgs);
GRAFT_SIMT_ROW(sum_squares_multi_chunks, SumSquaresMultiArgs);

}  // namespace graft
