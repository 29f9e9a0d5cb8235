// How the device rungs cut a long axis into pieces that meet in scratch. The cut depends on the shape alone.
#pragma once
#include <algorithm>

#include "kernels/reduce/reduce.h"

namespace graft {

inline constexpr std::size_t kFoldBytes = 16;     // a fold: value and index
inline constexpr std::int64_t kScanPiece = 8192;  // elements of a line that one block scans, where lines are few
inline constexpr std::int64_t kSortTile = 2048;   // elements that one block sorts

// Along a dense axis: 16384 elements, more where there would be more than 1024 pieces; a multiple of every pack.
constexpr std::int64_t line_piece(std::int64_t n) { return std::max<std::int64_t>(16384, (n + 1024 * 1024 - 1) / (1024 * 1024) * 1024); }

// Of columns: 256 rows at least, and pieces enough to give a GPU some 512 blocks.
struct ColumnPlan {
  std::int64_t groups;         // of 32 columns, over all outer positions
  std::int64_t piece, pieces;  // along the axis
};
constexpr ColumnPlan column_plan(const View& in) {
  const std::int64_t n = in.shape[1], groups = in.shape[0] * ((in.shape[2] + 31) / 32);
  const std::int64_t wanted = std::max<std::int64_t>(1, 512 / std::max<std::int64_t>(1, groups)),
                     piece = std::max<std::int64_t>({256, (n + wanted - 1) / wanted});
  return {groups, piece, std::max<std::int64_t>(1, (n + piece - 1) / piece)};
}

}  // namespace graft
