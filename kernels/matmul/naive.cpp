// matmul, one product sum after the other in the accumulation type, rows in parallel: the yardstick, and what serves every dtype and
// stride.
#include <algorithm>

#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"

namespace graft {

void matmul_naive(Queue& q, const MatmulArgs& a) {
  const std::int64_t cost = a.c.shape[2] * std::max<std::int64_t>(1, a.a.shape[2]);
  visit_float(a.c.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.c.shape[0] * a.c.shape[1], std::max<std::int64_t>(1, 20000 / std::max<std::int64_t>(1, cost)),
                    [&](std::int64_t b, std::int64_t e) { matmul_walk<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
