// copy over merged runs: axes that follow one another on both sides become one on the host, and the output is walked as it lies in memory.
// One thread per element; the position is divided once per axis that is left, in 32 bits. Writes are coalesced wherever the output has a
// dense axis, reads where the input's is the same one. Bytes: one read and one write per element. Limits: one dtype, or two floats; fewer
// than 2^31 elements.
#include "kernels/copy/convert.h"
#include "kernels/copy/raw.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// in, out: as r says, elements
template <class From, class To>
__global__ void runs(const From* in, To* out, Runs<2> r, unsigned count) {
  unsigned rest = blockIdx.x * blockDim.x + threadIdx.x;
  if (rest >= count) return;
  const unsigned inner = static_cast<unsigned>(r.inner), c = r.rank ? rest % inner : rest;
  if (r.rank) rest /= inner;
  std::int64_t to = c * r.inner_stride[0], from = c * r.inner_stride[1];
  for (int d = r.rank - 1; d >= 0; --d) {
    const unsigned size = static_cast<unsigned>(r.shape[d]), i = d ? rest % size : rest;
    if (d) rest /= size;
    to += i * r.stride[d][0];
    from += i * r.stride[d][1];
  }
  out[to] = convert<To>(in[from]);
}

}  // namespace

void copy_thread_runs(Queue& q, const CopyArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n == 0) return;
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  visit_raw_or_floats(a.in.dtype, a.out.dtype, [&]<class From, class To>() {
    launch(q, runs<From, To>, blocks_for(n, 256, 0x7fffffff), 256, 0, a.in.as<const From>(), a.out.as<To>(), r, static_cast<unsigned>(n));
  });
}

}  // namespace graft::GRAFT_SIMT
