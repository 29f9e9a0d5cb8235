// random and dropout, one counter per element, in parallel pieces.
#include "kernels/random/plain.h"
#include "kernels/random/rows.h"

namespace graft {

void random_naive(Queue& q, const RandomArgs& a) {
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.out.numel(), 4096, [&](std::int64_t b, std::int64_t e) { random_walk<T>(a, b, e); });
  });
}
void dropout_naive(Queue& q, const DropoutArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.x.numel(), 4096, [&](std::int64_t b, std::int64_t e) { dropout_walk<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
