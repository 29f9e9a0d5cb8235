// The rows of the matmul table; private to the family.
#pragma once
#include "kernels/matmul/matmul.h"

namespace graft {

void matmul_ref(Queue& q, const MatmulArgs& a);
void matmul_naive(Queue& q, const MatmulArgs& a);
void matmul_blocked(Queue& q, const MatmulArgs& a);
void matmul_packed(Queue& q, const MatmulArgs& a);
std::size_t matmul_packed_scratch(const MatmulArgs& a, int threads);

GRAFT_SIMT_ROW(matmul_thread_product, MatmulArgs);
GRAFT_SIMT_ROW(matmul_tiled, MatmulArgs);
GRAFT_SIMT_ROW(matmul_registers, MatmulArgs);
GRAFT_SIMT_ROW(matmul_vectors, MatmulArgs);
GRAFT_SIMT_ROW(matmul_async, MatmulArgs);
GRAFT_SIMT_ROW(matmul_mma, MatmulArgs);
GRAFT_SIMT_ROW(matmul_split_k, MatmulArgs);
GRAFT_VENDOR_ROW(matmul_cublaslt, MatmulArgs);

// How 6_split_k cuts k: `parts` of `each`, the last one shorter. By size alone, so that results do not depend on the device.
struct SplitK { int parts; std::int64_t each; };
inline SplitK split_k(const MatmulArgs& a) {
  const std::int64_t k = a.a.shape[2], tiles = a.c.shape[0] * ((a.c.shape[1] + 63) / 64) * ((a.c.shape[2] + 63) / 64);
  std::int64_t parts = tiles > 0 ? 128 / tiles : 1;  // about as many blocks as a large device has processors
  if (parts > k / 256) parts = k / 256;              // each with enough to do
  if (parts > 32) parts = 32;
  if (parts <= 1) return {1, k};
  const std::int64_t each = ((k + parts - 1) / parts + 31) / 32 * 32;  // whole steps of the tile
  return {static_cast<int>((k + each - 1) / each), each};
}
inline std::size_t matmul_split_k_scratch(const MatmulArgs& a, int) {
  return static_cast<std::size_t>(split_k(a).parts * a.c.numel()) * (a.c.dtype == DType::f64 ? 8 : 4);
}

}  // namespace graft
