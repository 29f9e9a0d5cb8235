// What kernels/simt/cuda_device.cpp and vendor.cpp give to the host's code in builds with CUDA.
#pragma once
#include <string>

#include "kernels/core/device.h"

namespace graft {

DeviceMemory& cuda_memory(int index);
bool sync_each_launch();               // GRAFT_SYNC=1: every launch is waited for, so that an error names it
std::string why_no_cuda(int index);    // empty when the GPU can be used
std::string cuda_bus_id(int index);    // "0000:65:00.0"; empty where nobody knows
std::string describe_cuda(int index);  // name, compute capability, memory; the GPU can be used
int cuda_capability();                 // of this thread's current GPU, 90 for 9.0; 0 without one

// Empty when the vendor's library can be used: there is a GPU and the library was found at run time. Linked into no program, so that one
// binary serves machines with and without it.
namespace cuda {
std::string cublaslt_missing();
std::string cudnn_missing();
}  // namespace cuda
// Bytes that the vendors' algorithms may use beside the operands, what cuBLAS recommends for Hopper; as a row's scratch.
inline constexpr std::size_t kVendorWorkspace = std::size_t{32} << 20;
template <class Args>
std::size_t vendor_workspace(const Args&, int) {
  return kVendorWorkspace;
}

}  // namespace graft
