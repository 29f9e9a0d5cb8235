// embed: one thread per looked-up element; its gradient: one thread per element of the table, which looks at every id in order, so repeated ids add in
// the order of i without atomics (vocabulary x n comparisons). Any dtype and stride. An id outside of the table reads nothing.
#include "kernels/simt/simt.h"
#include "kernels/embed/plain.h"
#include "kernels/embed/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void lookup(EmbedArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) embed_one<T>(a, i / a.out.shape[1], i % a.out.shape[1]);
}
template <class T>
__global__ void grad_element(EmbedGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) embed_grad_one<T, Accum<T>>(a, i / a.dtable.shape[1], i % a.dtable.shape[1]);
}

}  // namespace

void embed_thread_element(Queue& q, const EmbedArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit(a.out.dtype, [&]<class T>() { launch(q, lookup<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n); });
}
void embed_grad_thread_element(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t n = a.dtable.numel();
  if (n) visit_float(a.dtable.dtype, [&]<class T>() { launch(q, grad_element<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
