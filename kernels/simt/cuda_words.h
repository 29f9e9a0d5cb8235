// What nvcc needs beside CUDA's own words: launch with checks, and the shared-memory declarations. See simt.h.
#pragma once
#include <cuda_runtime.h>

#include <source_location>
#include <string>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"
#include "kernels/core/queue.h"
#include "kernels/core/scope.h"

// Raw bytes, because __shared__ variables may not have constructors (bf16 has one).
#define GRAFT_SHARED(type, name, dims)                                    \
  typedef type name##_array dims;                                         \
  __shared__ alignas(128) unsigned char name##_raw[sizeof(name##_array)]; \
  name##_array& name = *reinterpret_cast<name##_array*>(name##_raw)
#define GRAFT_DYNAMIC_SHARED(type, name)                           \
  extern __shared__ __align__(1024) unsigned char graft_dynamic[]; \
  type* name = reinterpret_cast<type*>(graft_dynamic)

namespace graft::cuda {

struct LaunchOn {  // the queue, and the line that launches
  Queue& q;
  std::source_location at;
  LaunchOn(Queue& queue, std::source_location where = std::source_location::current()) : q(queue), at(where) {}
};

inline void check_launch(cudaError_t e, const std::source_location& at, dim3 grid, dim3 block, std::size_t bytes) {
  if (e == cudaSuccess) return;
  const auto text = [](dim3 d) { return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z); };
  const std::string what = running();
  throw Error(e == cudaErrorMemoryAllocation ? Code::memory : Code::device,
              std::string("cuda: ") + at.function_name() + " at " + at.file_name() + ":" + std::to_string(at.line()) + ", grid " +
                  text(grid) + ", block " + text(block) + ", " + std::to_string(bytes) + " bytes of shared memory" +
                  (what.empty() ? "" : ", in " + what) + ": " + cudaGetErrorString(e));
}

template <class... P, class... A>
void launch(LaunchOn on, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_bytes, A&&... args) {
  const auto stream = static_cast<cudaStream_t>(on.q.stream());
  if (dynamic_bytes > 48 * 1024)
    check_launch(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(dynamic_bytes)),
                 on.at, grid, block, dynamic_bytes);
  kernel<<<grid, block, dynamic_bytes, stream>>>(static_cast<P>(args)...);
  check_launch(cudaGetLastError(), on.at, grid, block, dynamic_bytes);
  if (sync_each_launch() && !on.q.capturing()) check_launch(cudaStreamSynchronize(stream), on.at, grid, block, dynamic_bytes);
}

}  // namespace graft::cuda
