// softmax, log-softmax and their gradients, a few rows per task: the yardstick, and what serves every dtype and stride.
#include <algorithm>

#include "kernels/softmax/plain.h"
#include "kernels/softmax/rows.h"

namespace graft {
namespace {
std::int64_t grain(std::int64_t cols) { return std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, cols)); }
}  // namespace

void softmax_naive(Queue& q, const SoftmaxArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.x.shape[0], grain(a.x.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { softmax_walk<T, Accum<T>>(a, b, e); });
  });
}
void softmax_grad_naive(Queue& q, const SoftmaxGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() {
    parallel_ranges(q.pool(), a.dx.shape[0], grain(a.dx.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { softmax_grad_walk<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
