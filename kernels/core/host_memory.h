// The host's memory as a device's. What kernels/core/device.cpp gives for the CPU and for `emu`.
#pragma once
#include "kernels/core/device.h"

namespace graft {

DeviceMemory& host_memory(bool emu);  // with the streams of emu, or without any
// "embedding of f32[100,8], i64[4]: ", so that what a capture refuses names the operation; for every DeviceMemory.
[[noreturn]] void refuse_in_capture(const char* what);

}  // namespace graft
