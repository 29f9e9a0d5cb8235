#include "kernels/reduce/fold.h"
#include "kernels/reduce/pieces.h"
#include "kernels/reduce/rows.h"

namespace graft {
namespace {

constexpr Limit<ReduceArgs> served{"mean and sum of squares of floats, any and all of bool, no sum of bool", [](const ReduceArgs& a) {
                                     const bool boolean = a.in.dtype == DType::b8, real = is_float(a.in.dtype);
                                     const bool ok = a.op == R::mean || a.op == R::sum_of_squares ? real
                                                     : a.op == R::any || a.op == R::all           ? boolean
                                                     : a.op == R::sum || a.op == R::prod          ? !boolean
                                                                                                  : true;
                                     return ok ? yes() : no(std::string(name_of(a.op)) + " of " + std::string(name_of(a.in.dtype)));
                                   }};

constexpr Limit<ReduceArgs> vectors{
    "f32, bf16, f16; sum, mean, sum of squares, max, min; axis or inner dense", [](const ReduceArgs& a) {
      if (a.in.dtype != DType::f32 && a.in.dtype != DType::bf16 && a.in.dtype != DType::f16)
        return no("input is " + std::string(name_of(a.in.dtype)));
      if (a.op != R::sum && a.op != R::mean && a.op != R::sum_of_squares && a.op != R::max && a.op != R::min)
        return no(std::string(name_of(a.op)) + " has no vector form");
      if (a.in.shape[2] == 1 ? a.in.shape[1] > 1 && a.in.stride[1] != 1 : a.in.stride[2] != 1) return no("the walked axis is not dense");
      return yes();
    }};
constexpr Limit<SortArgs> few{"k at most a quarter of the row", [](const SortArgs& a) {
                                return 4 * a.values.shape[1] <= a.in.shape[1] ? yes() : no("k is more than a quarter of the row");
                              }};

Verdict few_blocks(std::int64_t n) { return n < (std::int64_t{1} << 31) ? yes() : no("2^31 blocks or more"); }
Verdict common(const ReduceArgs& a) {
  if (a.in.dtype != DType::f32 && a.in.dtype != DType::bf16 && a.in.dtype != DType::f16)
    return no("input is " + std::string(name_of(a.in.dtype)));
  if (a.op == R::prod || a.op == R::any || a.op == R::all) return no(std::string(name_of(a.op)) + " is left to one thread per output");
  return few_blocks(a.out.numel());
}
Verdict dense_axis(const ReduceArgs& a, std::int64_t least) {
  if (const Verdict v = common(a); !v) return v;
  if (a.in.stride[1] != 1) return no("the axis is not dense");
  return a.in.shape[1] >= least ? yes() : no("an axis of " + std::to_string(a.in.shape[1]) + " elements");
}
constexpr Limit<ReduceArgs> warp_lines{"f32, bf16, f16; no prod, any, all; axis dense, at least 32",
                                       [](const ReduceArgs& a) { return dense_axis(a, 32); }};
constexpr Limit<ReduceArgs> block_lines{"as 1_warp_line; axis at least 1024", [](const ReduceArgs& a) { return dense_axis(a, 1024); }};
constexpr Limit<ReduceArgs> split_lines{
    "as 1_warp_line; axis at least 32768, less than 256 outputs", [](const ReduceArgs& a) {
      if (const Verdict v = dense_axis(a, 32768); !v) return v;
      return a.out.numel() < 256 ? yes() : no(std::to_string(a.out.numel()) + " outputs keep the device busy without a second launch");
    }};
constexpr Limit<ReduceArgs> wide_columns{
    "f32, bf16, f16; no prod, any, all; inner dense, at least 16", [](const ReduceArgs& a) {
      if (const Verdict v = common(a); !v) return v;
      if (a.in.stride[2] != 1) return no("inner is not dense");
      return a.in.shape[2] >= 16 ? yes() : no("inner of " + std::to_string(a.in.shape[2]) + " leaves lanes idle");
    }};

constexpr Limit<CumsumArgs> scans{
    "at least 128 elements, inner 1", [](const CumsumArgs& a) {
      if (a.in.shape[1] < 128) return no("an axis of " + std::to_string(a.in.shape[1]) + " elements");
      if (a.in.shape[2] != 1)
        return no("inner of " + std::to_string(a.in.shape[2]) + ": neighbouring threads read neighbouring columns already");
      return few_blocks(a.in.shape[0]);
    }};
constexpr Limit<CumsumArgs> split_scans{"at least 16384 elements, less than 256 lines", [](const CumsumArgs& a) {
                                          if (a.in.shape[1] < 2 * kScanPiece)
                                            return no("an axis of " + std::to_string(a.in.shape[1]) + " elements");
                                          if (a.in.shape[0] * a.in.shape[2] >= 256) return no("enough lines for a block each");
                                          return few_blocks(a.in.shape[0] * a.in.shape[2] * (a.in.shape[1] / kScanPiece + 1));
                                        }};

constexpr Limit<SortArgs> short_rows{"rows of at most 2048", [](const SortArgs& a) {
                                       return a.in.shape[1] <= kSortTile ? few_blocks(a.in.shape[0])
                                                                         : no("rows of " + std::to_string(a.in.shape[1]));
                                     }};
constexpr Limit<SortArgs> long_rows{"rows of more than 2048, fewer than 2^31 elements", [](const SortArgs& a) {
                                      if (a.in.shape[1] <= kSortTile)
                                        return no("rows of " + std::to_string(a.in.shape[1]) + ": one block sorts them");
                                      return a.in.numel() < (std::int64_t{1} << 31) ? yes() : no("2^31 elements or more");
                                    }};

}  // namespace

std::size_t reduce_split_line_scratch(const ReduceArgs& a, int) {
  const std::int64_t piece = line_piece(a.in.shape[1]);
  return static_cast<std::size_t>(a.out.numel() * ((a.in.shape[1] + piece - 1) / piece)) * kFoldBytes;
}
std::size_t reduce_columns_scratch(const ReduceArgs& a, int) {
  const ColumnPlan plan = column_plan(a.in);
  return plan.pieces > 1 ? static_cast<std::size_t>(a.out.numel() * plan.pieces) * kFoldBytes : 0;
}
std::size_t cumsum_split_scratch(const CumsumArgs& a, int) {
  return static_cast<std::size_t>(a.in.shape[0] * a.in.shape[2] * ((a.in.shape[1] + kScanPiece - 1) / kScanPiece)) * 8;
}
std::size_t sort_merge_scratch(const SortArgs& a, int) {
  return static_cast<std::size_t>(a.in.numel()) * 24;
}  // twice: a value in 8 bytes, an index in 4

std::string_view name_of(ReduceOp op) {
  static constexpr std::string_view names[] = {"sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all", "sum_of_squares"};
  return names[static_cast<std::size_t>(op)];
}

const Family<ReduceArgs>& reduce_family() {
  static const Family<ReduceArgs> family(
      "reduce",
      {
          host("ref", reduce_ref, served, 0, "one output after the other, double sums"),
          host("naive", reduce_naive, served, 1, "one output after the other"),
          host("cpu.1_blocks", reduce_blocks, served, 10, "columns side by side, long axes in blocks", reduce_blocks_scratch),
          host("cpu.2_simd", reduce_simd, vectors, 20, "whole vectors along rows or columns", reduce_blocks_scratch),
      },
      {
          {"0_thread_output", GRAFT_BODIES(reduce_thread_output), served, 1, "one thread per output"},
          {"1_warp_line", GRAFT_BODIES(reduce_warp_line), warp_lines, 10, "one warp per line of a dense axis"},
          {"2_block_line", GRAFT_BODIES(reduce_block_line), block_lines, 20, "one block per line, 16-byte packs"},
          {"2_columns", GRAFT_BODIES(reduce_columns), wide_columns, 25, "32 columns side by side, pieces of the axis where columns are few",
           reduce_columns_scratch},
          {"3_split_line", GRAFT_BODIES(reduce_split_line), split_lines, 30, "blocks on pieces of a line, merged by a second launch",
           reduce_split_line_scratch},
      });
  return family;
}

const Family<CumsumArgs>& cumsum_family() {
  static const Family<CumsumArgs> family("cumsum",
                                         {
                                             host("ref", cumsum_ref, any<CumsumArgs>, 0, "running sums in double"),
                                             host("naive", cumsum_naive, any<CumsumArgs>, 1, "running sums, one row per task"),
                                         },
                                         {
                                             {"0_thread_line", GRAFT_BODIES(cumsum_thread_line), any<CumsumArgs>, 1, "one thread per line"},
                                             {"1_scan", GRAFT_BODIES(cumsum_scan), scans, 10, "one block per line, a scan by shuffles"},
                                             {"2_split_scan", GRAFT_BODIES(cumsum_split_scan), split_scans, 20,
                                              "blocks on pieces of a line: their sums first, then the scans", cumsum_split_scratch},
                                         });
  return family;
}

const Family<SortArgs>& sort_family() {
  static const Family<SortArgs> family(
      "sort",
      {
          host("ref", sort_ref, any<SortArgs>, 0, "stable merge sort of positions, one thread"),
          host("naive", sort_naive, any<SortArgs>, 1, "stable merge sort of positions, one row per task"),
          host("cpu.1_partial", sort_partial, few, 10, "a heap of the first k"),
      },
      {
          {"0_thread_place", GRAFT_BODIES(sort_thread_place), any<SortArgs>, 1, "one thread per element counts what stands before it"},
          {"1_bitonic", GRAFT_BODIES(sort_bitonic), short_rows, 10, "one block per row, a bitonic network in shared memory"},
          {"2_merge", GRAFT_BODIES(sort_merge), long_rows, 10, "bitonic tiles of 2048, merged two by two by rank", sort_merge_scratch},
      });
  return family;
}

}  // namespace graft
