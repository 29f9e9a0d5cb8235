#include "kernels/core/device.h"

#include <cstring>
#include <new>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"

namespace graft {

namespace {

struct HostMemory : DeviceMemory {
  void* allocate(std::size_t bytes) override { return ::operator new(bytes, std::align_val_t(64), std::nothrow); }
  void release(void* p) override { ::operator delete(p, std::align_val_t(64)); }
  void upload(void* to, const void* from, std::size_t bytes, void*) override { move(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes, void*) override { move(to, from, bytes); }
  void clear(void* p, std::size_t bytes, void*) override {
    if (bytes) std::memset(p, 0, bytes);
  }
  static void move(void* to, const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }
};

}  // namespace

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
  static HostMemory* host = new HostMemory;  // never destroyed: tensors held by static objects may outlive main
  return *host;
}

std::string describe(Device d) {
  if (const std::string why = why_not(d); !why.empty()) return why;
#ifdef GRAFT_HAVE_CUDA
  if (d.kind == DeviceKind::cuda) return describe_cuda(d.index);
#endif
  return d.kind == DeviceKind::emu ? "the CUDA kernels run on the host, one fiber per thread" : "host memory";
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
  } else if (text.starts_with("cuda:") && text.size() > 5 && text.size() < 8 && text.find_first_not_of("0123456789", 5) == std::string::npos) {
    d = {DeviceKind::cuda, std::stoi(text.substr(5))};
  } else {
    throw Error(Code::usage, "--device " + text + ": there is cpu, emu, cuda, cuda:N and auto");
  }
  if (const std::string why = why_not(d); !why.empty()) throw Error(Code::device, "--device " + text + ": " + why);
  return d;
}

}  // namespace graft
