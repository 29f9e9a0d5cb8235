// The rows of the matmul table; private to the family.
#pragma once
#include "kernels/matmul/matmul.h"

namespace graft {

void matmul_ref(Queue& q, const MatmulArgs& a);
void matmul_naive(Queue& q, const MatmulArgs& a);
void matmul_blocked(Queue& q, const MatmulArgs& a);
void matmul_packed(Queue& q, const MatmulArgs& a);
std::size_t matmul_packed_scratch(const MatmulArgs& a, int threads);
void matmul_amx(Queue& q, const MatmulArgs& a);
std::size_t matmul_amx_scratch(const MatmulArgs& a, int threads);

GRAFT_SIMT_ROW(matmul_thread_product, MatmulArgs);
GRAFT_SIMT_ROW(matmul_tiled, MatmulArgs);
GRAFT_SIMT_ROW(matmul_registers, MatmulArgs);
GRAFT_SIMT_ROW(matmul_vectors, MatmulArgs);
GRAFT_SIMT_ROW(matmul_async, MatmulArgs);
GRAFT_SIMT_ROW(matmul_mma, MatmulArgs);
GRAFT_SIMT_ROW(matmul_split_k, MatmulArgs);
GRAFT_VENDOR_ROW(matmul_cublaslt, MatmulArgs);
GRAFT_SIMT_ROW(matmul_wgmma, MatmulArgs);

// How 6_split_k cuts k: `parts` of `each`, the last one shorter. By size alone, so that results do not depend on the device.
struct SplitK {
  int parts;
  std::int64_t each;
};
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

// Tiles of 128 x width, as 7_wgmma cuts C.
inline std::int64_t wgmma_tiles(const MatmulArgs& a, std::int64_t width) {
  return a.c.shape[0] * ((a.c.shape[1] + 127) / 128) * ((a.c.shape[2] + width - 1) / width);
}
// 128 x 256 where there are enough of them and the last column of tiles is not mostly empty; else 128 x 128.
inline bool wide_wgmma_tiles(const MatmulArgs& a) {
  const std::int64_t n = a.c.shape[2], last = n % 256;
  return wgmma_tiles(a, 256) >= 64 && (last == 0 || last > 128 || n > 2048);
}

}  // namespace graft
