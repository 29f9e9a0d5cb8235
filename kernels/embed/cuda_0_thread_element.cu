// embed: one thread per looked-up element; its gradient: one thread per element of the table, which looks at every id in order, so repeated
// ids add in the order of i without atomics (vocabulary x n comparisons). Any dtype and stride. An id outside of the table reads nothing
// and is reported.
#include "kernels/embed/plain.h"
#include "kernels/embed/rows.h"
#include "kernels/simt/fault.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void lookup(EmbedArgs a, std::int64_t n, FaultSink faults) {
  const std::int64_t t = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, i = t / a.out.shape[1], j = t % a.out.shape[1];
  if (t >= n) return;
  embed_one<T>(a, i, j);
  if (j != 0) return;
  const std::int64_t id = a.ids.as<const std::int64_t>()[i * a.ids.stride[0]];
  if (!index_inside(id, a.table.shape[0])) report_fault(faults, i, id, a.table.shape[0]);
}
template <class T>
__global__ void grad_element(EmbedGradArgs a, std::int64_t n, FaultSink faults) {
  const std::int64_t t = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (t >= n) return;
  embed_grad_one<T, Accum<T>>(a, t / a.dtable.shape[1], t % a.dtable.shape[1]);
  for (std::int64_t i = t; i < a.ids.shape[0]; i += n) {
    const std::int64_t id = a.ids.as<const std::int64_t>()[i * a.ids.stride[0]];
    if (!index_inside(id, a.dtable.shape[0])) report_fault(faults, i, id, a.dtable.shape[0]);
  }
}

}  // namespace

void embed_thread_element(Queue& q, const EmbedArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n) visit(a.out.dtype, [&]<class T>() { launch(q, lookup<T>, blocks_for(n, 256, 0x7fffffff), 256, 0, a, n, q.fault(FaultKind::id)); });
}
void embed_grad_thread_element(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t n = a.dtable.numel();
  if (n)
    visit_float(a.dtable.dtype,
                [&]<class T>() { launch(q, grad_element<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n, q.fault(FaultKind::id)); });
}

}  // namespace graft::GRAFT_SIMT
