// elementwise, one thread per element by its row-major position: the walk of walk.h, any operation, dtype and stride. One division per axis and
// element; neighbouring threads touch neighbouring addresses wherever the last axis is dense.
#include "kernels/simt/simt.h"
#include "kernels/elementwise/rows.h"
#include "kernels/elementwise/walk.h"

namespace graft::GRAFT_SIMT {
namespace {

// The operation is chosen in the kernel: one kernel per dtype instead of {operations x dtypes}.
template <class T>
__global__ void thread_element(ElementwiseArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) visit_op(a.op, [&]<E op>() { elementwise_walk<op, T, Accum<T>>(a, i, i + 1); });
}

}  // namespace

void elementwise_thread_element(Queue& q, const ElementwiseArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit(value_dtype(a), [&]<class T>() { launch(q, thread_element<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
