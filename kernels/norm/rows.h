// The rows of the norm tables; private to the family.
#pragma once
#include <algorithm>

#include "kernels/norm/norm.h"

namespace graft {

void row_norm_ref(Queue& q, const RowNormArgs& a);
void row_norm_naive(Queue& q, const RowNormArgs& a);
void row_norm_simd(Queue& q, const RowNormArgs& a);
void row_norm_grad_ref(Queue& q, const RowNormGradArgs& a);
void row_norm_grad_naive(Queue& q, const RowNormGradArgs& a);
void row_norm_grad_simd(Queue& q, const RowNormGradArgs& a);

void group_norm_ref(Queue& q, const GroupNormArgs& a);
void group_norm_naive(Queue& q, const GroupNormArgs& a);
void group_norm_simd(Queue& q, const GroupNormArgs& a);
void group_norm_grad_ref(Queue& q, const GroupNormGradArgs& a);
void group_norm_grad_naive(Queue& q, const GroupNormGradArgs& a);
void group_norm_grad_simd(Queue& q, const GroupNormGradArgs& a);

void batch_norm_ref(Queue& q, const BatchNormArgs& a);
void batch_norm_naive(Queue& q, const BatchNormArgs& a);
void batch_norm_simd(Queue& q, const BatchNormArgs& a);
void batch_norm_grad_ref(Queue& q, const BatchNormGradArgs& a);
void batch_norm_grad_naive(Queue& q, const BatchNormGradArgs& a);
void batch_norm_grad_simd(Queue& q, const BatchNormGradArgs& a);

GRAFT_SIMT_ROW(row_norm_thread_row, RowNormArgs);
GRAFT_SIMT_ROW(row_norm_grad_thread_row, RowNormGradArgs);
GRAFT_SIMT_ROW(group_norm_thread_group, GroupNormArgs);
GRAFT_SIMT_ROW(group_norm_grad_thread_group, GroupNormGradArgs);
GRAFT_SIMT_ROW(batch_norm_thread_channel, BatchNormArgs);
GRAFT_SIMT_ROW(batch_norm_grad_thread_channel, BatchNormGradArgs);

GRAFT_SIMT_ROW(row_norm_warp_row, RowNormArgs);
GRAFT_SIMT_ROW(row_norm_block_row, RowNormArgs);
GRAFT_SIMT_ROW(row_norm_held_row, RowNormArgs);
GRAFT_SIMT_ROW(row_norm_grad_warp_row, RowNormGradArgs);
GRAFT_SIMT_ROW(row_norm_grad_block_row, RowNormGradArgs);
GRAFT_SIMT_ROW(row_norm_grad_held_row, RowNormGradArgs);
GRAFT_SIMT_ROW(group_norm_block_group, GroupNormArgs);
GRAFT_SIMT_ROW(group_norm_split_group, GroupNormArgs);
GRAFT_SIMT_ROW(group_norm_grad_block_group, GroupNormGradArgs);
GRAFT_SIMT_ROW(group_norm_grad_planes, GroupNormGradArgs);
GRAFT_SIMT_ROW(batch_norm_block_channel, BatchNormArgs);
GRAFT_SIMT_ROW(batch_norm_split_channel, BatchNormArgs);
GRAFT_SIMT_ROW(batch_norm_columns, BatchNormArgs);
GRAFT_SIMT_ROW(batch_norm_grad_block_channel, BatchNormGradArgs);
GRAFT_SIMT_ROW(batch_norm_grad_split_channel, BatchNormGradArgs);
GRAFT_SIMT_ROW(batch_norm_grad_columns, BatchNormGradArgs);

// How the device rows cut their work: by sizes alone, so that the sums are the same on every device.
struct Cut {
  std::int64_t parts, length;  // the last part may be shorter, none is empty
};
inline Cut cut(std::int64_t n, std::int64_t least, std::int64_t most_parts) {
  const std::int64_t length = std::max<std::int64_t>({1, least, (n + most_parts - 1) / most_parts});
  return {std::max<std::int64_t>(1, (n + length - 1) / length), length};
}
inline Cut cut_rows(std::int64_t rows) { return cut(rows, 64, 256); }
// A group over several blocks of at least 1024 elements, so many that 512 blocks or so are at work.
inline Cut cut_group(std::int64_t groups, std::int64_t count) {
  return cut(count, 1024, std::clamp<std::int64_t>(512 / std::max<std::int64_t>(1, groups), 1, 128));
}
// Rows held in registers: 16-byte pieces, up to held_pieces per thread. Gradients hold dy, x and two sums: half as many.
constexpr std::int64_t piece_of(DType t) { return 16 / static_cast<std::int64_t>(size_of(t)); }
constexpr std::int64_t held_pieces(DType t) { return t == DType::bf16 || t == DType::f16 ? 4 : 8; }
inline std::int64_t held_by_warp(DType t) { return 32 * piece_of(t) * held_pieces(t); }  // columns
inline Cut cut_held(const View& x) {                                                     // a part is what one warp or block walks through
  return x.shape[1] <= held_by_warp(x.dtype) / 2 ? cut(x.shape[0], 8, 1024) : cut(x.shape[0], 4, 512);
}

GRAFT_VENDOR_ROW(row_norm_cudnn, RowNormArgs);
GRAFT_VENDOR_ROW(row_norm_grad_cudnn, RowNormGradArgs);

}  // namespace graft
