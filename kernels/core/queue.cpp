#include "kernels/core/queue.h"

#include "kernels/core/device.h"
#include "kernels/core/error.h"

namespace graft {

std::string name_of(Device d) {
  switch (d.kind) {
    case DeviceKind::cpu: return "cpu";
    case DeviceKind::emu: return "emu";
    case DeviceKind::cuda: return "cuda:" + std::to_string(d.index);
  }
  return "?";
}

Queue::Queue(int threads, Device device) : device_(device), pool_(threads), stream_(device_memory(device).make_stream()) {}

Queue::~Queue() {
  DeviceMemory& memory = device_memory(device_);
  if (scratch_) memory.release(scratch_);
  memory.end_stream(stream_);
}

std::byte* Queue::scratch(std::size_t bytes) {
  if (bytes > capacity_) {
    DeviceMemory& memory = device_memory(device_);
    if (scratch_) {
      memory.synchronize(stream_);  // a kernel may still be using it
      memory.release(scratch_);
    }
    scratch_ = nullptr;
    capacity_ = 0;
    scratch_ = static_cast<std::byte*>(memory.allocate(bytes));
    if (!scratch_) throw Error(Code::memory, "kernel scratch of " + std::to_string(bytes) + " bytes does not fit in memory; use a smaller batch");
    capacity_ = bytes;
  }
  return scratch_;
}

}  // namespace graft
