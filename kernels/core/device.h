// Memory of a device, seen from the host: what lies behind an allocator, and the copies in and out. `emu` has the host's memory; everything above treats
// it as if it had its own, so that a host access that would fault on a GPU is an error there too.
#pragma once
#include <cstddef>
#include <string>

#include "kernels/core/queue.h"

namespace graft {

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* allocate(std::size_t bytes) = 0;  // aligned to at least 64; nullptr when it does not fit
  virtual void release(void* p) = 0;
  // In order with the work of `stream`; both return when the bytes have arrived.
  virtual void upload(void* device, const void* host, std::size_t bytes, void* stream) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes, void* stream) = 0;
  virtual void clear(void* device, std::size_t bytes, void* stream) = 0;  // zero bytes
  virtual void* make_stream() { return nullptr; }
  virtual void end_stream(void*) {}
  virtual void synchronize(void*) {}  // throws Error(device) when work on the stream has failed
};

// Throws Error(device), one line with the reason, when the device cannot be used: not built, no driver, no such index.
DeviceMemory& device_memory(Device d);
// Empty when `d` can be used, else why not.
std::string why_not(Device d);
// "cuda:0: NVIDIA H100 80GB, compute capability 9.0, 79 GiB", or what was looked for and not found. For `graft doctor`.
std::string describe(Device d);
// Compute capability of the GPU that this thread uses, 90 for 9.0; 0 without one.
int gpu_capability();
// "cpu", "emu", "cuda", "cuda:1", "auto" (a GPU if there is one, else the CPU). Throws Error(usage) for another spelling, Error(device) as device_memory.
Device parse_device(const std::string& text);

}  // namespace graft
