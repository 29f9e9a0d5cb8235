// gather and scatter line by line along the middle axis. A line of a scatter is one task's own, so repeated indices need no atomics.
#include <algorithm>

#include "kernels/gather/plain.h"
#include "kernels/gather/rows.h"

namespace graft {
namespace {
std::int64_t grain(std::int64_t k) { return std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, k)); }
}  // namespace

void gather_naive(Queue& q, const GatherArgs& a) {
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.out.shape[0] * a.out.shape[2], grain(a.out.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { gather_walk<T>(a, b, e); });
  });
}
void scatter_naive(Queue& q, const ScatterArgs& a) {
  visit(a.out.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.src.shape[0] * a.src.shape[2], grain(a.src.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { scatter_walk<T>(a, b, e); });
  });
}

}  // namespace graft
