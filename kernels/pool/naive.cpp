// Max and average pooling and their gradients as plain loops, sums in Accum<T>: the yardstick, and what serves every dtype and stride.
// One task is a few of the n*c planes.
#include "kernels/pool/loops.h"
#include "kernels/pool/rows.h"

namespace graft {
namespace {

template <class F>
void planes(Queue& q, std::int64_t count, std::int64_t cost, F&& f) {
  parallel_ranges(q.pool(), count, std::max<std::int64_t>(1, 20000 / std::max<std::int64_t>(1, cost)), f);
}
std::int64_t cost(const View& y, const PoolGeometry& g) { return y.shape[2] * y.shape[3] * g.kernel_h * g.kernel_w; }

}  // namespace

void max_pool_naive(Queue& q, const MaxPoolArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    planes(q, a.x.shape[0] * a.x.shape[1], cost(a.y, a.geometry),
           [&](std::int64_t b, std::int64_t e) { pool_loops::max_forward<T>(a, b, e); });
  });
}
void max_pool_grad_naive(Queue& q, const MaxPoolGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() {
    planes(q, a.dx.shape[0] * a.dx.shape[1], a.dx.shape[2] * a.dx.shape[3] + cost(a.dy, a.geometry),
           [&](std::int64_t b, std::int64_t e) { pool_loops::max_grad<T, Accum<T>>(a, b, e); });
  });
}
void avg_pool_naive(Queue& q, const AvgPoolArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    planes(q, a.x.shape[0] * a.x.shape[1], cost(a.y, a.geometry),
           [&](std::int64_t b, std::int64_t e) { pool_loops::avg_forward<T, Accum<T>>(a, b, e); });
  });
}
void avg_pool_grad_naive(Queue& q, const AvgPoolGradArgs& a) {
  visit_float(a.dx.dtype, [&]<class T>() {
    planes(q, a.dx.shape[0] * a.dx.shape[1], a.dx.shape[2] * a.dx.shape[3] + cost(a.dy, a.geometry),
           [&](std::int64_t b, std::int64_t e) { pool_loops::avg_grad<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
