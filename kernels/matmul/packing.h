// How the packed product is cut. k in blocks of at most kDepth: a B micro-panel (kDepth x 16 f32, 32 KiB, or x 32 with AVX-512) stays near the core while
// it meets a block of A rows in L2 (96 x 512 f32, 192 KiB). Panels are 4 steps longer than the block, else they would all lie on the same cache
// sets. m and n are cut into tasks of kRowBlock rows x one panel; sizes alone decide, so the bits do not depend on threads.
#pragma once
#include <algorithm>
#include <cstddef>

#include "kernels/matmul/matmul.h"

namespace graft {

inline constexpr std::int64_t kDepth = 512, kRowBlock = 96, kPackElements = 16 * 1024, kPackSteps = 32;
inline constexpr std::int64_t kPanelColumns = 4096;  // of B, packed at once
inline constexpr std::int64_t kMaxTileRows = 12, kMaxTileColumns = 32;  // padding that any target may want

struct PackPlan {
  std::int64_t m, n, k, depth, lead;
  std::size_t a_elements, b_elements, sum_elements;  // packed panels; f32 sums of a 16-bit result over several k blocks
};
inline std::int64_t round_up(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }

inline PackPlan pack_plan(const MatmulArgs& a) {
  PackPlan p{a.c.shape[1], a.c.shape[2], a.a.shape[2], 0, 0, 0, 0, 0};
  const std::int64_t blocks = std::max<std::int64_t>(1, (p.k + kDepth - 1) / kDepth);
  p.depth = std::max<std::int64_t>(1, round_up((p.k + blocks - 1) / blocks, 4));
  p.lead = p.depth + 4;
  p.a_elements = static_cast<std::size_t>(round_up(round_up(std::min(p.m, kRowBlock), kMaxTileRows) * p.lead, 16));
  p.b_elements = static_cast<std::size_t>(round_up(round_up(std::min(p.n, kPanelColumns), kMaxTileColumns) * p.lead, 16));
  const bool half = a.c.dtype == DType::bf16 || a.c.dtype == DType::f16;
  p.sum_elements = half && p.k > p.depth ? static_cast<std::size_t>(p.m * p.n) : 0;
  return p;
}
// Scratch begins with a number per thread: which block of A it has packed.
inline std::size_t held_bytes(std::int64_t slots) { return static_cast<std::size_t>(round_up(slots * 8, 64)); }
// Small products of a batch run side by side, each on one thread; large ones share all threads.
inline bool batch_in_parallel(const MatmulArgs& a) {
  return a.c.shape[0] > 1 && a.c.shape[1] * a.c.shape[2] * a.a.shape[2] < 8 * 1000 * 1000;
}

}  // namespace graft
