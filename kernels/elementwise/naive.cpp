// elementwise, one element at a time in the accumulation type, in parallel pieces: what serves every operation, dtype and stride.
#include "kernels/elementwise/rows.h"
#include "kernels/elementwise/walk.h"

namespace graft {

void elementwise_naive(Queue& q, const ElementwiseArgs& a) {
  void (*walk)(const ElementwiseArgs&, std::int64_t, std::int64_t) = nullptr;
  visit_values(a, [&]<E op, class T>() { walk = elementwise_walk<op, T, Accum<T>>; });
  parallel_ranges(q.pool(), a.out.numel(), 8192, [&](std::int64_t b, std::int64_t e) { walk(a, b, e); });
}

}  // namespace graft
