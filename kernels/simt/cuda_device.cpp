// A CUDA device's memory and streams through the runtime library. Blocks come from cudaMalloc and go back only when the engine's caching allocator
// trims, so a training step allocates nothing. Linked only into CUDA builds; without a driver or GPU every call says so in one line.
#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <mutex>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

void check(cudaError_t e, const char* what, int index) {
  if (e == cudaSuccess) return;
  throw Error(e == cudaErrorMemoryAllocation ? Code::memory : Code::device, "cuda:" + std::to_string(index) + ": " + what + ": " + cudaGetErrorString(e));
}

class CudaMemory : public DeviceMemory {
 public:
  explicit CudaMemory(int index) : index_(index) { check(cudaSetDevice(index), "cannot use the device", index); }
  void* allocate(std::size_t bytes) override {
    void* p = nullptr;
    const cudaError_t e = cudaMalloc(&p, bytes ? bytes : 1);
    if (e == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // it is sticky otherwise
      return nullptr;
    }
    check(e, "allocation", index_);
    return p;
  }
  void release(void* p) override { (void)cudaFree(p); }
  void upload(void* to, const void* from, std::size_t bytes, void* stream) override { copy(to, from, bytes, cudaMemcpyHostToDevice, stream); }
  void download(void* to, const void* from, std::size_t bytes, void* stream) override { copy(to, from, bytes, cudaMemcpyDeviceToHost, stream); }
  void clear(void* p, std::size_t bytes, void* stream) override {
    if (bytes) check(cudaMemsetAsync(p, 0, bytes, static_cast<cudaStream_t>(stream)), "fill", index_);
  }
  void* make_stream() override {
    cudaStream_t s = nullptr;
    check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "stream", index_);
    return s;
  }
  void end_stream(void* s) override { (void)cudaStreamDestroy(static_cast<cudaStream_t>(s)); }
  void synchronize(void* s) override { check(cudaStreamSynchronize(static_cast<cudaStream_t>(s)), "a kernel failed (GRAFT_SYNC=1 names it)", index_); }

 private:
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, void* stream) {
    if (!bytes) return;
    check(cudaMemcpyAsync(to, from, bytes, kind, static_cast<cudaStream_t>(stream)), "copy", index_);
    synchronize(stream);
  }
  int index_;
};

}  // namespace

std::string why_no_cuda(int index) {
  int driver = 0, runtime = 0, count = 0;
  (void)cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver (libcuda.so.1 was looked for); use --device cpu or emu";
  const cudaError_t e = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (e == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is too old: it serves CUDA " + version(driver) + ", this build wants " + version(runtime) + "; update the driver";
  if (e != cudaSuccess) return std::string("no usable GPU: ") + cudaGetErrorString(e) + "; use --device cpu or emu";
  if (index >= count) return "there is no GPU " + std::to_string(index) + " (" + std::to_string(count) + " found); use --device cpu or emu";
  return {};
}

std::string describe_cuda(int index) {
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, index), "properties", index);
  return std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor) + ", " + std::to_string(p.totalGlobalMem >> 20) + " MiB, " +
         std::to_string(p.multiProcessorCount) + " multiprocessors";
}

int cuda_capability() {
  int index = 0, major = 0, minor = 0;
  const bool known = cudaGetDevice(&index) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) == cudaSuccess &&
                     cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) == cudaSuccess;
  if (!known) (void)cudaGetLastError();  // it is sticky otherwise
  return known ? 10 * major + minor : 0;
}

DeviceMemory& cuda_memory(int index) {
  static std::mutex mutex;
  static auto* all = new std::map<int, std::unique_ptr<CudaMemory>>;  // never destroyed: the driver may be gone by then
  std::lock_guard lock(mutex);
  auto& m = (*all)[index];
  if (!m) m = std::make_unique<CudaMemory>(index);
  return *m;
}

}  // namespace graft
