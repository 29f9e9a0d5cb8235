#include "kernels/core/device.h"

#include <chrono>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"
#include "kernels/core/host_memory.h"

namespace graft {

namespace {
using Reading = std::chrono::steady_clock::time_point;
}  // namespace

void* DeviceMemory::make_mark() { return new Reading; }
void DeviceMemory::end_mark(void* mark) { delete static_cast<Reading*>(mark); }
void DeviceMemory::set_mark(void* mark, void*) { *static_cast<Reading*>(mark) = std::chrono::steady_clock::now(); }
double DeviceMemory::seconds_between(void* first, void* second) {
  return std::chrono::duration<double>(*static_cast<Reading*>(second) - *static_cast<Reading*>(first)).count();
}

std::string why_not(Device d) {
  switch (d.kind) {
    case DeviceKind::cpu: return {};
    case DeviceKind::emu:
#ifdef GRAFT_HAVE_EMU
      return {};
#else
      return "this build has no emulator (it needs Boost.Context, Debian's libboost-context-dev); use --device cpu";
#endif
    case DeviceKind::cuda:
#ifdef GRAFT_HAVE_CUDA
      return why_no_cuda(d.index);
#else
      return "this build has no CUDA kernels (configure with -DGRAFT_CUDA=ON where nvcc is); use --device cpu or emu";
#endif
  }
  return "unknown device";
}

DeviceMemory& device_memory(Device d) {
  if (const std::string why = why_not(d); !why.empty()) throw Error(Code::device, "device " + name_of(d) + ": " + why);
#ifdef GRAFT_HAVE_CUDA
  if (d.kind == DeviceKind::cuda) return cuda_memory(d.index);
#endif
  return host_memory(d.kind == DeviceKind::emu);
}

std::string describe(Device d) {
  if (const std::string why = why_not(d); !why.empty()) return why;
#ifdef GRAFT_HAVE_CUDA
  if (d.kind == DeviceKind::cuda) return describe_cuda(d.index);
#endif
  return d.kind == DeviceKind::emu ? "the CUDA kernels run on the host, one fiber per thread" : "host memory";
}

Stream::Stream(Device d) : device_(d), handle_(device_memory(d).make_stream()) {}
Stream::~Stream() { device_memory(device_).end_stream(handle_); }
void Stream::synchronize() { device_memory(device_).synchronize(handle_); }

Event::Event(Device d) : device_(d), handle_(device_memory(d).make_event()) {}
Event::~Event() { device_memory(device_).end_event(handle_); }
void Event::record(void* stream) {
  device_memory(device_).record_event(handle_, stream);
  recorded_ = true;
}
void Event::hold(void* stream) {
  if (recorded_) device_memory(device_).wait_event(stream, handle_);
}
void Event::wait() {
  if (recorded_) device_memory(device_).finish_event(handle_);
}

PinnedBuffer::PinnedBuffer(Device d, std::size_t size)
    : device_(d), size_(size), data_(static_cast<std::byte*>(device_memory(d).allocate_pinned(size))), copied_(d) {
  if (!data_)
    throw Error(Code::memory,
                name_of(d) + ": a pinned buffer of " + std::to_string(size) + " bytes does not fit in memory; use a smaller batch");
}
PinnedBuffer::~PinnedBuffer() {
  try {
    wait();
  } catch (const Error&) {  // said where the work was waited for
  }
  device_memory(device_).release_pinned(data_);
}
std::byte* PinnedBuffer::bytes() {
  if (under_way_)
    throw Error(Code::bug, "a pinned buffer is used while its copy to " + name_of(device_) + " is under way; wait() for it first");
  return data_;
}
void PinnedBuffer::upload(void* device, std::size_t from, std::size_t count, Stream& stream) {
  if (from + count > size_)
    throw Error(Code::bug, "bytes " + std::to_string(from) + " to " + std::to_string(from + count) + " of a pinned buffer of " +
                               std::to_string(size_));
  device_memory(device_).upload_async(device, data_ + from, count, stream.handle());
  copied_.record(stream.handle());
  under_way_ = true;
}
void PinnedBuffer::wait() {
  copied_.wait();
  under_way_ = false;
}

std::string bus_id([[maybe_unused]] Device d) {
#ifdef GRAFT_HAVE_CUDA
  if (d.kind == DeviceKind::cuda) return cuda_bus_id(d.index);
#endif
  return {};
}

int gpu_capability() {
#ifdef GRAFT_HAVE_CUDA
  return cuda_capability();
#else
  return 0;
#endif
}

Device parse_device(const std::string& text) {
  Device d;
  if (text == "auto") {
    if (why_not({DeviceKind::cuda, 0}).empty()) return {DeviceKind::cuda, 0};
    return {};
  }
  if (text == "cpu") return d;
  if (text == "emu") {
    d.kind = DeviceKind::emu;
  } else if (text == "cuda") {
    d.kind = DeviceKind::cuda;
  } else if (text.starts_with("cuda:") && text.size() > 5 && text.size() < 8 &&
             text.find_first_not_of("0123456789", 5) == std::string::npos) {
    d = {DeviceKind::cuda, std::stoi(text.substr(5))};
  } else {
    throw Error(Code::usage, "--device " + text + ": there is cpu, emu, cuda, cuda:N and auto");
  }
  if (const std::string why = why_not(d); !why.empty()) throw Error(Code::device, "--device " + text + ": " + why);
  return d;
}

}  // namespace graft
