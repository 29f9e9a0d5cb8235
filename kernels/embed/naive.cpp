// embed element by element; its gradient scans all ids for every row of the table (vocab x n comparisons): the yardstick, for any strides.
#include <algorithm>

#include "kernels/embed/plain.h"
#include "kernels/embed/rows.h"

namespace graft {

void embed_naive(Queue& q, const EmbedArgs& a) {
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.out.shape[0], std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, a.out.shape[1])),
                    [&](std::int64_t b, std::int64_t e) { embed_walk<T>(a, b, e); });
  });
}
void embed_grad_naive(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t cost = std::max<std::int64_t>(1, a.ids.shape[0] * a.dtable.shape[1]);
  visit_float(a.dtable.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.dtable.shape[0], std::max<std::int64_t>(1, 16384 / cost),
                    [&](std::int64_t b, std::int64_t e) { embed_grad_walk<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
