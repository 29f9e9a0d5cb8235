// What kernels/simt/cuda_device.cpp gives to device.cpp in builds with CUDA.
#pragma once
#include <string>

#include "kernels/core/device.h"

namespace graft {

DeviceMemory& cuda_memory(int index);
std::string why_no_cuda(int index);    // empty when the GPU can be used
std::string describe_cuda(int index);  // name, compute capability, memory; the GPU can be used
int cuda_capability();                 // of this thread's current GPU, 90 for 9.0; 0 without one

}  // namespace graft
