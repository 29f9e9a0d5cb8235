#include "kernels/core/queue.h"

#include <new>

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

Queue::Queue(int threads, Device device) : device_(device), pool_(threads) {}

Queue::~Queue() { ::operator delete(scratch_, std::align_val_t(64)); }

std::byte* Queue::scratch(std::size_t bytes) {
  if (bytes > capacity_) {
    ::operator delete(scratch_, std::align_val_t(64));
    scratch_ = nullptr;
    capacity_ = 0;
    scratch_ = static_cast<std::byte*>(::operator new(bytes, std::align_val_t(64), std::nothrow));
    if (!scratch_) throw Error(Code::memory, "kernel scratch of " + std::to_string(bytes) + " bytes does not fit in memory; use a smaller batch");
    capacity_ = bytes;
  }
  return scratch_;
}

}  // namespace graft
