// The gradient of embed with float atomics: the table is zeroed, then a thread per element of dout adds it to its row. Repeated ids add in
// the order in which threads arrive, so results differ by rounding from run to run: chosen only by name. f32 and f64. Bytes: dout once,
// dtable once, an atomic per element.
#include <bit>

#include "kernels/embed/rows.h"
#include "kernels/simt/fault.h"

namespace graft::GRAFT_SIMT {
namespace {

// dtable: [vocab, dim]
template <class T>
__global__ void clear_rows(View dtable) {
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= dtable.shape[0]) return;
  for (std::int64_t j = threadIdx.x; j < dtable.shape[1]; j += blockDim.x)
    dtable.as<T>()[row * dtable.stride[0] + j * dtable.stride[1]] = 0;
}
// dout: [n, dim]
template <class T>
__global__ void add_rows(EmbedGradArgs a, FaultSink faults) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (i >= a.ids.shape[0]) return;
  const std::int64_t id = a.ids.as<const std::int64_t>()[i * a.ids.stride[0]];
  if (!index_inside(id, a.dtable.shape[0])) {
    if (threadIdx.x == 0) report_fault(faults, i, id, a.dtable.shape[0]);
    return;
  }
  if (id == a.padding_index) return;
  for (std::int64_t j = threadIdx.x; j < a.dtable.shape[1]; j += blockDim.x)
    atomicAdd(a.dtable.as<T>() + id * a.dtable.stride[0] + j * a.dtable.stride[1],
              a.dout.as<const T>()[i * a.dout.stride[0] + j * a.dout.stride[1]]);
}

template <class T>
void add_atomic(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t dim = a.dtable.shape[1];
  const unsigned x = dim >= 256 ? 256 : std::bit_ceil(static_cast<unsigned>(dim));
  launch(q, clear_rows<T>, blocks_for(a.dtable.shape[0], 256 / x, 0x7fffffff), dim3(x, 256 / x), 0, a.dtable);
  if (a.ids.shape[0])
    launch(q, add_rows<T>, blocks_for(a.ids.shape[0], 256 / x, 0x7fffffff), dim3(x, 256 / x), 0, a, q.fault(FaultKind::id));
}

}  // namespace

void embed_grad_atomic(Queue& q, const EmbedGradArgs& a) {
  if (a.dtable.numel() == 0) return;
  if (a.dtable.dtype == DType::f64) add_atomic<double>(q, a);
  else add_atomic<float>(q, a);
}

}  // namespace graft::GRAFT_SIMT
