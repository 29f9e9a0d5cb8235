// gather: out[o, i, j] = in[o, index[o, i, j], j] along the middle axis (PyTorch's gather and take_along_dim, folded to rank 3).
// scatter: out[o, index[o, i, j], j] = or += src[o, i, j]; `out` holds the base values on entry. Where indices repeat, `add` sums in the order
// of i and `set` keeps the last i: the same bits for any number of threads. Indices are i64, checked by the engine; for an index outside a kernel
// reads nothing and gives NaN (0 for integers), a scatter writes nothing.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct GatherArgs {
  View in;     // [outer, n, inner]
  View index;  // [outer, k, inner] i64; strides of 0 allowed (index_select)
  View out;    // [outer, k, inner]
};
const Family<GatherArgs>& gather_family();

struct ScatterArgs {
  View src, index;  // [outer, k, inner]
  View out;         // [outer, n, inner], in place
  bool add = false;
};
const Family<ScatterArgs>& scatter_family();

}  // namespace graft
