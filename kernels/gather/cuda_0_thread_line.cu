// gather and scatter, one thread per line along the middle axis: a line of a scatter is one thread's own, so repeated indices need no
// atomics and add in the order of i. Neighbouring threads take neighbouring inner positions. Any dtype and stride. An index outside reads
// and writes nothing and is reported.
#include "kernels/gather/faults.h"
#include "kernels/gather/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void gather_line(GatherArgs a, std::int64_t n, FaultSink faults) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) gather_walk<T>(a, i, i + 1, Reported{faults, a.in.shape[1]});
}
template <class T>
__global__ void scatter_line(ScatterArgs a, std::int64_t n, FaultSink faults) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) scatter_walk<T>(a, i, i + 1, Reported{faults, a.out.shape[1]});
}

}  // namespace

void gather_thread_line(Queue& q, const GatherArgs& a) {
  const std::int64_t n = a.out.shape[0] * a.out.shape[2];
  if (a.out.numel())
    visit(a.out.dtype, [&]<class T>() { launch(q, gather_line<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n, q.fault(a.outside)); });
}
void scatter_thread_line(Queue& q, const ScatterArgs& a) {
  const std::int64_t n = a.src.shape[0] * a.src.shape[2];
  if (a.src.numel())
    visit(a.out.dtype, [&]<class T>() { launch(q, scatter_line<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n, q.fault(a.outside)); });
}

}  // namespace graft::GRAFT_SIMT
