// copy, one thread per element by its row-major position, any pair of dtypes and strides.
#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class From, class To>
__global__ void thread_element(View in, View out, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) copy_one<From, To>(in, out, i);
}

}  // namespace

void copy_thread_element(Queue& q, const CopyArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n == 0) return;
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() { launch(q, thread_element<From, To>, blocks_for(n, 256, 0x7fffffff), 256, 0, a.in, a.out, n); });
  });
}

}  // namespace graft::GRAFT_SIMT
