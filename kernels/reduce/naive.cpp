// reduce, cumsum and sort, one output (or row) after the other in the accumulation type: the yardstick, and what serves every dtype and
// stride.
#include "kernels/reduce/plain.h"
#include "kernels/reduce/rows.h"

namespace graft {
namespace {
std::int64_t grain(std::int64_t cost) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cost)); }
}  // namespace

void reduce_naive(Queue& q, const ReduceArgs& a) {
  visit_reduce(a, [&]<R op, class T>() {
    parallel_ranges(q.pool(), a.out.numel(), grain(a.in.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { reduce_walk<op, T, Accum<T>>(a, b, e); });
  });
}
void cumsum_naive(Queue& q, const CumsumArgs& a) {
  visit(a.in.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.in.shape[0] * a.in.shape[2], grain(a.in.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { cumsum_walk<T, Accum<T>>(a, b, e); });
  });
}
void sort_naive(Queue& q, const SortArgs& a) {
  visit(a.in.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.in.shape[0], grain(8 * a.in.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { sort_walk<T>(a, b, e, false); });
  });
}
void sort_partial(Queue& q, const SortArgs& a) {
  visit(a.in.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.in.shape[0], grain(2 * a.in.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { sort_walk<T>(a, b, e, true); });
  });
}

}  // namespace graft
