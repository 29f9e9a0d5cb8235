#include "kernels/core/queue.h"

#include <new>

#include "kernels/core/device.h"
#include "kernels/core/error.h"
#include "kernels/core/graph.h"
#include "kernels/core/scope.h"

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
  if (fault_) memory.release_pinned(fault_);
  memory.end_stream(stream_);
}

std::byte* Queue::scratch(std::size_t bytes) {
  if (bytes > capacity_) {
    release_scratch();
    DeviceMemory& memory = device_memory(device_);
    void* p = memory.allocate(bytes);
    if (!p) throw Error(Code::memory, "kernel scratch of " + std::to_string(bytes) + " bytes does not fit in memory; use a smaller batch");
    scratch_ = {static_cast<std::byte*>(p), [&memory](std::byte* b) { memory.release(b); }};
    capacity_ = bytes;
  }
  if (capturing_ && scratch_) capturing_->keep(scratch_);
  return scratch_.get();
}

void Queue::release_scratch() {
  if (scratch_ && !capturing_) device_memory(device_).synchronize(stream_);  // a kernel may still be using it; a graph keeps it
  scratch_ = nullptr;
  capacity_ = 0;
}

FaultSink Queue::fault(FaultKind kind) {
  if (!fault_) {
    void* p = device_memory(device_).allocate_pinned(sizeof(FaultWord));
    if (!p) throw Error(Code::memory, name_of(device_) + ": no memory that host and device share is left");
    fault_ = new (p) FaultWord;
  }
  const std::string_view op = running_name();
  std::size_t site = 0;
  while (site < sites_.size() && (sites_[site].kind != kind || sites_[site].op != op)) ++site;
  if (site == sites_.size()) sites_.push_back({kind, std::string(op)});
  constexpr std::uint32_t kMost = (1u << (64 - kFaultPositionBits)) - 2;  // so that no key is kNoFault
  if (launches_ < kMost) ++launches_;
  return {fault_, launches_, static_cast<std::uint32_t>(site)};
}
void Queue::look() {
  launches_ = 0;
  if (!fault_ || fault_->first == kNoFault) return;
  const FaultWord found = *fault_;
  *fault_ = FaultWord{};
  const Site& s = sites_[found.site];
  throw Error(Code::usage, fault_sentence(s.kind, s.op, static_cast<std::int64_t>(found.first & ((1ull << kFaultPositionBits) - 1)),
                                          found.index, found.limit));
}
void Queue::synchronize() {
  device_memory(device_).synchronize(stream_);
  look();
}

}  // namespace graft
