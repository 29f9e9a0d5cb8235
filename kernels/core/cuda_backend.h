// What kernels/simt/cuda_device.cpp gives to device.cpp in builds with CUDA.
#pragma once
#include <string>

#include "kernels/core/device.h"

namespace graft {

DeviceMemory& cuda_memory(int index);
bool sync_each_launch();               // GRAFT_SYNC=1: every launch is waited for, so that an error names it
std::string why_no_cuda(int index);    // empty when the GPU can be used
std::string describe_cuda(int index);  // name, compute capability, memory; the GPU can be used

}  // namespace graft
