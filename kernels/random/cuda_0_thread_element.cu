// random and dropout, one thread and one Philox counter per element: four times the counters that are needed. Any dtype.
#include "kernels/random/plain.h"
#include "kernels/random/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void draw_element(RandomArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) random_walk<T>(a, i, i + 1);
}
template <class T>
__global__ void drop_element(DropoutArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) dropout_walk<T, Accum<T>>(a, i, i + 1);
}

}  // namespace

void random_thread_element(Queue& q, const RandomArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit(a.out.dtype, [&]<class T>() { launch(q, draw_element<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}
void dropout_thread_element(Queue& q, const DropoutArgs& a) {
  const std::int64_t n = a.x.numel();
  if (n) visit_float(a.x.dtype, [&]<class T>() { launch(q, drop_element<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
