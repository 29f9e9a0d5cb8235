// How the packed product is cut. C is dealt out to the threads as a grid of cells: each thread packs what its own cell needs and nobody
// waits for anybody, which costs packing some rows or columns twice and saves two meetings per block of k and the way of each packed line
// from one core's cache to another's. Within a cell, k goes in blocks of at most most_depth(): a B micro-panel (512 x 16 f32, 32 KiB, or
// x 32 with AVX-512) stays near the core while it meets a block of A rows that takes about half of L2. Panels are 4 steps longer than the
// block, else they would all lie on the same cache sets. Each sum of C runs over the same blocks of k in the same order whatever the cells
// are: the bits do not depend on threads.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <numeric>

#include "kernels/matmul/matmul.h"

namespace graft {

inline constexpr std::int64_t kRowBlock = 192;
inline constexpr std::int64_t kUncutRows = 264;                         // rows of a cell that stay one block
inline constexpr std::int64_t kPanelColumns = 2048;                     // of B, packed at once by a thread
inline constexpr std::int64_t kMaxTileRows = 12, kMaxTileColumns = 32;  // what cells are made of: whole tiles on any target

// Steps of k in a block. Twice as many read and write C half as often: where L2 has room for kUncutRows of them (2 MiB, a Xeon with AMX)
// that is 1 to 2 % from 1024^3 on.
inline std::int64_t most_depth() {
  static const long second = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  return second >= 2048 * 1024 ? 1024 : 512;
}

inline std::int64_t round_up(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }

// The grid that is done first, in cycles per step of k: what tiles take, what each row of A and column of B takes on its way from memory,
// and what is lost to a thread that comes late or is slow. Small cells let the others take its share, and stay in the near caches; large
// ones read and pack less. Half a cell is lost, or, where packing makes small ones dear, at most what waking a thread takes (some 100 us)
// and a twentieth of all; where A is read in place an eighth of a cell, for rows of cells are dear there: each asks for B from its matrix
// again. On two Zen 5 cores 16 cells are the better by 4 % at 512^3 and 2048^3, 2 by 10 % at 512x768x3072 where A is transposed, and 1 x 6
// by 2 % over 4 x 4 where it is not.
struct CellCosts {
  std::int64_t tile_rows = kMaxTileRows, tile_columns = kMaxTileColumns;
  double tile = 12, row = 0.45, column = 0.45;  // cycles: 32 multiply-adds each
  bool in_place = false;
  std::int64_t held_k = most_depth(), held = kUncutRows;  // up to so many steps and lines, what a thread's cells share is packed once
};
struct CellGrid {
  std::int64_t rows = 1, columns = 1;
};
inline CellGrid cell_grid(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t threads, const CellCosts& of) {
  if (threads == 1) return {};
  constexpr std::int64_t kMost = 8;  // cells of a thread
  const std::int64_t row_tiles = (m + of.tile_rows - 1) / of.tile_rows, column_tiles = (n + of.tile_columns - 1) / of.tile_columns;
  const double waking = 4e5 / static_cast<double>(std::max<std::int64_t>(k, 1));
  CellGrid best;
  double least = 0;
  for (std::int64_t rows = 1; rows <= std::min(threads * kMost, row_tiles); rows *= 2)
    for (std::int64_t each = 1; each <= kMost; ++each) {
      const std::int64_t columns = std::min((threads * each + rows - 1) / rows, column_tiles);
      const std::int64_t r = (row_tiles + rows - 1) / rows, c = (column_tiles + columns - 1) / columns;
      const double tiles = of.tile * static_cast<double>(r * c), row_lines = of.row * static_cast<double>(of.tile_rows * r),
                   column_lines = of.column * static_cast<double>(of.tile_columns * c);
      const double cell = tiles + row_lines + column_lines;
      const auto cells = static_cast<double>((rows * columns + threads - 1) / threads);
      const bool one_block = k <= of.held_k && (of.in_place ? c * of.tile_columns : r * of.tile_rows) <= of.held;
      const double row_times = one_block && !of.in_place ? std::ceil(cells / static_cast<double>(columns)) : cells;
      const double column_times = one_block && of.in_place ? std::ceil(cells / static_cast<double>(rows)) : cells;
      const double all = tiles * cells + row_lines * row_times + column_lines * column_times;
      const double cost = all + (of.in_place ? cell / 8 : std::min(cell / 2, waking + all / 20));
      if (least == 0 || cost < least) best = {rows, columns}, least = cost;
    }
  return best;
}

// Whether tiles are so much faster with packed rows that packing them pays for a product of n columns. On a Xeon with AMX they are 5 to 9 %
// faster: 1024^3 and 2048^3 gain that, 512 columns 1 %, and at 128 columns packing loses 10 %. Other machines are as they were tuned: in
// place.
inline bool packing_pays([[maybe_unused]] std::int64_t n) {
#if defined(__x86_64__)
  return n >= 512 && __builtin_cpu_is("intel");
#else
  return false;
#endif
}

// Rows of A that are dense along k are read in place, unless packing pays or so many rows fall on one set of a cache that they would drive
// each other out: of a tile in the first one, of a block in the second.
inline bool rows_in_place(const MatmulArgs& a) {
  if (a.a.dtype != DType::f32 && a.a.dtype != DType::f64) return false;
  if (a.a.stride[2] != 1 || packing_pays(a.c.shape[2])) return false;
  struct Cache {
    std::int64_t ways, bytes_of_a_way;
  };
  const auto cache = [](int ways_name, int size_name, Cache otherwise) {
    const long ways = ::sysconf(ways_name), size = ::sysconf(size_name);
    return ways > 0 && size > 0 ? Cache{ways, size / ways} : otherwise;
  };
  static const Cache first = cache(_SC_LEVEL1_DCACHE_ASSOC, _SC_LEVEL1_DCACHE_SIZE, {8, 4096}),
                     second = cache(_SC_LEVEL2_CACHE_ASSOC, _SC_LEVEL2_CACHE_SIZE, {8, 64 * 1024});
  const std::int64_t line = std::abs(a.a.stride[1]) * (a.a.dtype == DType::f64 ? 8 : 4);
  const auto fit = [&](std::int64_t rows, Cache c) {
    const std::int64_t apart = c.bytes_of_a_way / std::gcd(c.bytes_of_a_way, line);  // rows until one falls where the first did
    return (rows + apart - 1) / apart <= c.ways;
  };
  return fit(kMaxTileRows, first) && fit(std::min(a.c.shape[1], kRowBlock), second);
}

struct PackPlan {
  std::int64_t m, n, k, depth, lead;
  bool in_place;   // A is not packed, but for what is left of whole tiles
  bool one_block;  // a cell's rows of A (in place: its columns of B) are still packed at its end, for the next cell of the same
  CellGrid grid;
  std::size_t a_elements, b_elements, sum_elements;  // packed panels of a thread; f32 sums of a 16-bit result over several k blocks
};

inline PackPlan pack_plan(const MatmulArgs& a, std::int64_t threads) {
  PackPlan p{a.c.shape[1], a.c.shape[2], a.a.shape[2], 0, 0, rows_in_place(a), false, {}, 0, 0, 0};
  const std::int64_t blocks = std::max<std::int64_t>(1, (p.k + most_depth() - 1) / most_depth());
  p.depth = std::max<std::int64_t>(1, round_up((p.k + blocks - 1) / blocks, 4));
  p.lead = p.depth + 4;
  CellCosts costs;
  costs.in_place = p.in_place;
  if (p.in_place) costs.row = 0.15, costs.held = kPanelColumns;
  if (a.b.stride[2] == 1) costs.column = 0.15;
  p.grid = cell_grid(p.m, p.n, p.k, threads, costs);
  const auto most = [](std::int64_t size, std::int64_t unit, std::int64_t parts) {
    return ((size + unit - 1) / unit + parts - 1) / parts * unit;
  };
  p.one_block = blocks == 1 && (p.in_place ? most(p.n, kMaxTileColumns, p.grid.columns) <= kPanelColumns
                                           : most(p.m, kMaxTileRows, p.grid.rows) <= kUncutRows);
  const std::int64_t columns = round_up((p.n + p.grid.columns - 1) / p.grid.columns, kMaxTileColumns) + kMaxTileColumns;
  p.a_elements = static_cast<std::size_t>(round_up(round_up(p.in_place ? 1 : std::min(p.m, kUncutRows), kMaxTileRows) * p.lead, 16));
  p.b_elements = static_cast<std::size_t>(round_up(std::min(columns, kPanelColumns) * p.lead, 16));
  const bool half = a.c.dtype == DType::bf16 || a.c.dtype == DType::f16;
  p.sum_elements = half && p.k > p.depth ? static_cast<std::size_t>(p.m * p.n) : 0;
  return p;
}
// Small products of a batch run side by side, each on one thread; large ones share all threads.
inline bool batch_in_parallel(const MatmulArgs& a) {
  return a.c.shape[0] > 1 && a.c.shape[1] * a.c.shape[2] * a.a.shape[2] < 8 * 1000 * 1000;
}

}  // namespace graft
