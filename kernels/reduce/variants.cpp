#include "kernels/reduce/fold.h"
#include "kernels/reduce/rows.h"

namespace graft {
namespace {

constexpr Limit<ReduceArgs> served{"mean and sum of squares of floats, any and all of bool, no sum of bool", [](const ReduceArgs& a) {
  const bool boolean = a.in.dtype == DType::b8, real = is_float(a.in.dtype);
  const bool ok = a.op == R::mean || a.op == R::sum_of_squares ? real : a.op == R::any || a.op == R::all ? boolean : a.op == R::sum || a.op == R::prod ? !boolean : true;
  return ok ? yes() : no(std::string(name_of(a.op)) + " of " + std::string(name_of(a.in.dtype)));
}};

constexpr Limit<ReduceArgs> vectors{"f32, bf16, f16; sum, mean, sum of squares, max, min; axis or inner dense", [](const ReduceArgs& a) {
  if (a.in.dtype != DType::f32 && a.in.dtype != DType::bf16 && a.in.dtype != DType::f16) return no("input is " + std::string(name_of(a.in.dtype)));
  if (a.op != R::sum && a.op != R::mean && a.op != R::sum_of_squares && a.op != R::max && a.op != R::min)
    return no(std::string(name_of(a.op)) + " has no vector form");
  if (a.in.shape[2] == 1 ? a.in.shape[1] > 1 && a.in.stride[1] != 1 : a.in.stride[2] != 1) return no("the walked axis is not dense");
  return yes();
}};
constexpr Limit<SortArgs> few{"k at most a quarter of the row", [](const SortArgs& a) {
  return 4 * a.values.shape[1] <= a.in.shape[1] ? yes() : no("k is more than a quarter of the row");
}};

}  // namespace

std::string_view name_of(ReduceOp op) {
  static constexpr std::string_view names[] = {"sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all", "sum_of_squares"};
  return names[static_cast<std::size_t>(op)];
}

const Family<ReduceArgs>& reduce_family() {
  static const Family<ReduceArgs> family("reduce", {
      host("ref", reduce_ref, served, 0, "one output after the other, double sums"),
      host("naive", reduce_naive, served, 1, "one output after the other"),
      host("cpu.1_blocks", reduce_blocks, served, 10, "columns side by side, long axes in blocks", reduce_blocks_scratch),
      host("cpu.2_simd", reduce_simd, vectors, 20, "whole vectors along rows or columns", reduce_blocks_scratch),
  }, {
      {"0_thread_output", GRAFT_BODIES(reduce_thread_output), served, 1, "one thread per output"},
  });
  return family;
}

const Family<CumsumArgs>& cumsum_family() {
  static const Family<CumsumArgs> family("cumsum", {
      host("ref", cumsum_ref, any<CumsumArgs>, 0, "running sums in double"),
      host("naive", cumsum_naive, any<CumsumArgs>, 1, "running sums, one row per task"),
  }, {
      {"0_thread_line", GRAFT_BODIES(cumsum_thread_line), any<CumsumArgs>, 1, "one thread per line"},
  });
  return family;
}

const Family<SortArgs>& sort_family() {
  static const Family<SortArgs> family("sort", {
      host("ref", sort_ref, any<SortArgs>, 0, "stable merge sort of positions, one thread"),
      host("naive", sort_naive, any<SortArgs>, 1, "stable merge sort of positions, one row per task"),
      host("cpu.1_partial", sort_partial, few, 10, "a heap of the first k"),
  }, {
      {"0_thread_place", GRAFT_BODIES(sort_thread_place), any<SortArgs>, 1, "one thread per element counts what stands before it"},
  });
  return family;
}

}  // namespace graft
