// How a kernel reports a bad index (kernels/core/fault.h). Only for .cu files.
#pragma once
#include "kernels/core/fault.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {

// At most one thread has a given key, and only one below all before it comes to the lock, so that a batch of bad indices does not queue up
// there. The values belong together only under the lock: a 64-bit key has no room for them.
__device__ __forceinline__ void report_fault(const FaultSink& to, std::int64_t position, std::int64_t index, std::int64_t limit) {
  const unsigned long long key =
      static_cast<unsigned long long>(to.launch) << kFaultPositionBits | static_cast<unsigned long long>(position);
  if (atomicMin(&to.word->first, key) <= key) return;
  while (atomicCAS(&to.word->lock, 0u, 1u) != 0u) {}
  __threadfence();
  if (atomicMin(&to.word->held, key) > key) {
    to.word->site = to.site;
    to.word->index = index;
    to.word->limit = limit;
  }
  __threadfence();
  atomicExch(&to.word->lock, 0u);
}

}  // namespace graft::GRAFT_SIMT
