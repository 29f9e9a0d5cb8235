// cross-entropy and its gradient, a few rows per task: the yardstick, and what serves every dtype and stride.
#include <algorithm>

#include "kernels/loss/plain.h"
#include "kernels/loss/rows.h"

namespace graft {
namespace {
std::int64_t grain(std::int64_t classes) { return std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, classes)); }
}  // namespace

void cross_entropy_naive(Queue& q, const CrossEntropyArgs& a) {
  visit_loss(a.logits.dtype, [&]<class T, class S>() {
    parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { cross_entropy_walk<T, S, S>(a, b, e); });
  });
}
void cross_entropy_grad_naive(Queue& q, const CrossEntropyGradArgs& a) {
  visit_loss(a.logits.dtype, [&]<class T, class S>() {
    parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { cross_entropy_grad_walk<T, S, S>(a, b, e); });
  });
}
void cross_entropy_fused_naive(Queue& q, const CrossEntropyFusedArgs& a) {
  visit_loss(a.logits.dtype, [&]<class T, class S>() {
    parallel_ranges(q.pool(), a.logits.shape[0], grain(a.logits.shape[1]),
                    [&](std::int64_t b, std::int64_t e) { cross_entropy_fused_walk<T, S, S>(a, b, e); });
  });
}

}  // namespace graft
