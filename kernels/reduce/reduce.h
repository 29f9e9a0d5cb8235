// reduce: in [outer, axis, inner] -> out [outer, inner], rank 3 and 2, any strides. The engine folds any set of axes to this form.
// Sums use Accum<dtype> over a fixed tree of blocks (size decides, never the thread count). argmax/argmin: first index of the extreme,
// a NaN wins; out is i64. sum/prod of integers: out is i64. any/all: bool in and out. An empty axis gives the neutral element;
// max, min, argmax, argmin of an empty axis are refused by the engine before the kernel.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class ReduceOp { sum, mean, prod, max, min, argmax, argmin, any, all, sum_of_squares };
std::string_view name_of(ReduceOp op);

struct ReduceArgs {
  ReduceOp op;
  View in;   // [outer, axis, inner]
  View out;  // [outer, inner]
};
const Family<ReduceArgs>& reduce_family();

// cumsum: out[o, i, j] = sum of in[o, 0..i, j]; same shape and dtype, sums in Accum<dtype>.
struct CumsumArgs {
  View in, out;  // [outer, axis, inner]
};
const Family<CumsumArgs>& cumsum_family();

// sort: along the last axis, stable, ascending or descending, NaN last in ascending order (first in descending), as NumPy and PyTorch do.
struct SortArgs {
  View in;       // [rows, n], any dtype
  View values;   // [rows, k], k <= n: the first k of the sorted row (k < n: top-k)
  View indices;  // [rows, k] i64
  bool descending = false;
};
const Family<SortArgs>& sort_family();

}  // namespace graft
