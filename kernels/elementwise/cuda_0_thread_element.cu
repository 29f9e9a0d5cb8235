// elementwise, one thread per element at its row-major position: the loop of walk.h, any operation, dtype and stride. The position is
// divided by every axis (64-bit divisions); neighbouring threads touch neighbouring addresses wherever the last axis is dense. Bytes: each
// operand once.
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// The operation is chosen in the kernel, after the operands are read: one kernel per dtype, and one copy of the position arithmetic in it.
// With a copy per operation nvcc takes minutes.
template <class T>
__global__ void thread_element(ElementwiseArgs a, std::int64_t count) {
  std::int64_t rest = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (rest >= count) return;
  const int n = arity(a.op);
  std::int64_t to = 0, from[3] = {};
  for (int d = a.out.rank - 1; d >= 0; --d) {
    const std::int64_t c = rest % a.out.shape[d];
    rest /= a.out.shape[d];
    to += c * a.out.stride[d];
    for (int k = 0; k < 3; ++k)
      if (k < n) from[k] += c * a.in[k].stride[d];
  }
  T x[3] = {};
  for (int k = 0; k < 3; ++k) {
    if (k >= n) break;
    if (a.op == E::where && k == 0) x[0] = static_cast<T>(a.in[0].as<const bool>()[from[0]]);
    else x[k] = a.in[k].as<const T>()[from[k]];
  }
  visit_op(a.op, [&]<E op>() {
    using Out = std::conditional_t<is_predicate(op), bool, T>;
    a.out.as<Out>()[to] = static_cast<Out>(element_op<op, T, Accum<T>>(x[0], x[1], x[2], a.s0, a.s1));
  });
}

}  // namespace

void elementwise_thread_element(Queue& q, const ElementwiseArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit(value_dtype(a), [&]<class T>() { launch(q, thread_element<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
