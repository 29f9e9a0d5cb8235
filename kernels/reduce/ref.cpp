// reduce, cumsum and sort as their definitions, sums in double. One thread.
#include "kernels/reduce/plain.h"
#include "kernels/reduce/rows.h"

namespace graft {
namespace {
template <class T>
using Exact = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
}

void reduce_ref(Queue&, const ReduceArgs& a) {
  visit_reduce(a, [&]<R op, class T>() { reduce_walk<op, T, Exact<T>>(a, 0, a.out.numel()); });
}
void cumsum_ref(Queue&, const CumsumArgs& a) {
  visit(a.in.dtype, [&]<class T>() { cumsum_walk<T, Exact<T>>(a, 0, a.in.shape[0] * a.in.shape[2]); });
}
void sort_ref(Queue&, const SortArgs& a) {
  visit(a.in.dtype, [&]<class T>() { sort_walk<T>(a, 0, a.in.shape[0], false); });
}

}  // namespace graft
