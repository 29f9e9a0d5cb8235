// The normalisations and their gradients with sums in the accumulation type, groups over threads: the yardstick, for any dtype and strides.
#include <algorithm>

#include "kernels/norm/loops.h"
#include "kernels/norm/rows.h"

namespace graft {
namespace {
template <class F>
void spread(Queue& q, std::int64_t groups, std::int64_t cost, F&& f) {
  parallel_ranges(q.pool(), groups, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, cost)), f);
}
}  // namespace

void row_norm_naive(Queue& q, const RowNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    spread(q, a.x.shape[0], a.x.shape[1], [&](std::int64_t b, std::int64_t e) { norm_loops::row_forward<T, Accum<T>>(a, b, e); });
  });
}
void row_norm_grad_naive(Queue& q, const RowNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    if (a.dx.data)
      spread(q, a.x.shape[0], a.x.shape[1], [&](std::int64_t b, std::int64_t e) { norm_loops::row_backward<T, Accum<T>>(a, b, e); });
    if (a.dweight.data || a.dbias.data)
      spread(q, a.x.shape[1], a.x.shape[0], [&](std::int64_t b, std::int64_t e) { norm_loops::row_parameters<T, Accum<T>>(a, b, e); });
  });
}
void group_norm_naive(Queue& q, const GroupNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    spread(q, a.x.shape[0] * a.groups, a.x.shape[1] / a.groups * a.x.shape[2],
           [&](std::int64_t b, std::int64_t e) { norm_loops::group_forward<T, Accum<T>>(a, b, e); });
  });
}
void group_norm_grad_naive(Queue& q, const GroupNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    if (a.dx.data)
      spread(q, a.x.shape[0] * a.groups, a.x.shape[1] / a.groups * a.x.shape[2],
             [&](std::int64_t b, std::int64_t e) { norm_loops::group_backward<T, Accum<T>>(a, b, e); });
    if (a.dweight.data || a.dbias.data)
      spread(q, a.x.shape[1], a.x.shape[0] * a.x.shape[2],
             [&](std::int64_t b, std::int64_t e) { norm_loops::group_parameters<T, Accum<T>>(a, b, e); });
  });
}
void batch_norm_naive(Queue& q, const BatchNormArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    spread(q, a.x.shape[1], a.x.shape[0] * a.x.shape[2],
           [&](std::int64_t b, std::int64_t e) { norm_loops::batch_forward<T, Accum<T>>(a, b, e); });
  });
}
void batch_norm_grad_naive(Queue& q, const BatchNormGradArgs& a) {
  visit_float(a.x.dtype, [&]<class T>() {
    spread(q, a.x.shape[1], a.x.shape[0] * a.x.shape[2],
           [&](std::int64_t b, std::int64_t e) { norm_loops::batch_backward<T, Accum<T>>(a, b, e); });
  });
}

}  // namespace graft
