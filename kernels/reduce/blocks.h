// How a long reduction is cut: into blocks of the axis whose partial results lie in scratch as [block, outer, inner] and are combined in
// the order of the blocks. The cut depends on the shape alone.
#pragma once
#include <algorithm>

#include "kernels/reduce/reduce.h"

namespace graft {

inline constexpr std::int64_t kColumnChunk = 128;  // inner positions that one task keeps in registers and L1

struct ReducePlan {
  std::int64_t outer, n, inner;
  std::int64_t block, blocks;  // along the axis
  std::int64_t chunk, chunks;  // along inner
  std::int64_t tasks() const { return outer * blocks * chunks; }
};
inline ReducePlan reduce_plan(const View& in) {
  ReducePlan p{in.shape[0], in.shape[1], in.shape[2], in.shape[1], 1, std::min(in.shape[2], kColumnChunk), 1};
  p.chunks = p.chunk ? (p.inner + p.chunk - 1) / p.chunk : 0;
  const std::int64_t length = std::max<std::int64_t>(64, 65536 / std::max<std::int64_t>(1, p.chunk));  // elements of a block along the axis
  if (p.outer * p.chunks < 16 && p.n >= 2 * length) {
    p.block = length;
    p.blocks = (p.n + length - 1) / length;
  }
  return p;
}

}  // namespace graft
