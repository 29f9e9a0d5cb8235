// gather: out[o, i, j] = in[o, index[o, i, j], j] along the middle axis (PyTorch's gather and take_along_dim, folded to rank 3).
// scatter: out[o, index[o, i, j], j] = or += src[o, i, j]; `out` holds the base values on entry. Where indices repeat, `add` sums in the
// order of i and `set` keeps the last i: the same bits for any number of threads. Indices are i64; for an index outside a kernel reads
// nothing and gives NaN (0 for integers), a scatter writes nothing. On the host the engine checks before; a device row reports it to the
// queue's fault word.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct GatherArgs {
  View in;                               // [outer, n, inner]
  View index;                            // [outer, k, inner] i64; strides of 0 allowed (index_select)
  View out;                              // [outer, k, inner]
  FaultKind outside = FaultKind::index;  // how a report speaks of an index
};
const Family<GatherArgs>& gather_family();
// The position of index[o, i, j] among the indices there are, row-major: axes along which one index is stretched do not count.
constexpr std::int64_t index_position(const View& index, std::int64_t o, std::int64_t i, std::int64_t j) {
  const std::int64_t row = (index.stride[0] == 0 ? 0 : o) * index.shape[1] + i;
  return index.stride[2] == 0 ? row : row * index.shape[2] + j;
}

struct ScatterArgs {
  View src, index;  // [outer, k, inner]
  View out;         // [outer, n, inner], in place
  bool add = false;
  FaultKind outside = FaultKind::index;
};
const Family<ScatterArgs>& scatter_family();

}  // namespace graft
