// How the device rows of gather and scatter report an index outside. Only for .cu files.
#pragma once
#include "kernels/gather/plain.h"
#include "kernels/simt/fault.h"

namespace graft::GRAFT_SIMT {

struct Reported {
  FaultSink to;
  std::int64_t limit;
  __device__ void operator()(std::int64_t position, std::int64_t index) const { report_fault(to, position, index, limit); }
};

}  // namespace graft::GRAFT_SIMT
