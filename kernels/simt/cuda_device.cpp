// A CUDA device's memory and streams through the runtime library. Blocks come from cudaMalloc and go back only when the engine's caching
// allocator trims, so a training step allocates nothing. Linked only into CUDA builds; without a driver or GPU every call says so in one
// line.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"
#include "kernels/core/host_memory.h"
#include "kernels/core/scope.h"

namespace graft {
namespace {

void check(cudaError_t e, const char* what, int index) {
  if (e == cudaSuccess) return;
  const std::string op = running();
  throw Error(e == cudaErrorMemoryAllocation ? Code::memory : Code::device,
              "cuda:" + std::to_string(index) + ": " + what + (op.empty() ? "" : ", seen in " + op) + ": " + cudaGetErrorString(e));
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
  void* allocate_pinned(std::size_t bytes) override {
    void* p = nullptr;
    const cudaError_t e = cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocPortable | cudaHostAllocMapped);
    if (e == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return nullptr;
    }
    check(e, "pinned allocation", index_);
    return p;
  }
  void release_pinned(void* p) override { (void)cudaFreeHost(p); }
  void upload(void* to, const void* from, std::size_t bytes, void* stream) override {
    refuse_capture(stream, "the host writes device memory");
    move(to, from, bytes, cudaMemcpyHostToDevice, stream);
    if (bytes) synchronize(stream);
  }
  void download(void* to, const void* from, std::size_t bytes, void* stream) override {
    refuse_capture(stream, "the host reads device memory");
    move(to, from, bytes, cudaMemcpyDeviceToHost, stream);
    synchronize(stream);
  }
  void fill(void* p, int byte, std::size_t bytes, void* stream) override {
    if (bytes) check(cudaMemsetAsync(p, byte, bytes, static_cast<cudaStream_t>(stream)), "fill", index_);
  }
  void copy(void* to, const void* from, std::size_t bytes, void* stream) override {
    move(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
  }
  void upload_async(void* to, const void* pinned, std::size_t bytes, void* stream) override {
    move(to, pinned, bytes, cudaMemcpyHostToDevice, stream);
  }
  void* make_stream() override {
    cudaStream_t s = nullptr;
    check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "stream", index_);
    return s;
  }
  void end_stream(void* s) override { (void)cudaStreamDestroy(static_cast<cudaStream_t>(s)); }
  void synchronize(void* s) override {
    refuse_capture(s, "the host waits for the device");
    check(cudaStreamSynchronize(static_cast<cudaStream_t>(s)), "a kernel failed (GRAFT_SYNC=1 names it)", index_);
  }
  void* make_event() override {
    cudaEvent_t e = nullptr;
    check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "event", index_);
    return e;
  }
  void end_event(void* e) override { (void)cudaEventDestroy(static_cast<cudaEvent_t>(e)); }
  void record_event(void* e, void* s) override {
    check(cudaEventRecord(static_cast<cudaEvent_t>(e), static_cast<cudaStream_t>(s)), "event", index_);
  }
  void wait_event(void* s, void* e) override {
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(s), static_cast<cudaEvent_t>(e), 0), "event", index_);
  }
  void finish_event(void* e) override {
    check(cudaEventSynchronize(static_cast<cudaEvent_t>(e)), "a kernel or copy failed (GRAFT_SYNC=1 names it)", index_);
  }

  // Relaxed: the allocator may ask for memory while a graph is captured. What it returns is the graph's until it dies.
  void begin_capture(void* s) override {
    check(cudaStreamBeginCapture(static_cast<cudaStream_t>(s), cudaStreamCaptureModeRelaxed), "capture", index_);
  }
  void abort_capture(void* s) noexcept override {
    cudaGraph_t graph = nullptr;
    (void)cudaStreamEndCapture(static_cast<cudaStream_t>(s), &graph);
    if (graph) (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
  }
  void* end_capture(void* s) override {
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(static_cast<cudaStream_t>(s), &graph), "the capture of a graph", index_);
    cudaGraphExec_t exec = nullptr;
    const cudaError_t e = cudaGraphInstantiate(&exec, graph, 0);
    (void)cudaGraphDestroy(graph);
    check(e, "the instantiation of a graph", index_);
    return exec;
  }
  void replay(void* graph, void* s) override {
    check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(s)), "the launch of a graph", index_);
    if (sync_each_launch()) synchronize(s);
  }
  void end_graph(void* graph) noexcept override { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

  void* make_mark() override {
    cudaEvent_t e = nullptr;
    check(cudaEventCreate(&e), "event", index_);
    return e;
  }
  void end_mark(void* mark) override { (void)cudaEventDestroy(static_cast<cudaEvent_t>(mark)); }
  void set_mark(void* mark, void* stream) override {
    check(cudaEventRecord(static_cast<cudaEvent_t>(mark), static_cast<cudaStream_t>(stream)), "event", index_);
  }
  void head_start(void* stream) override {
    check(cudaLaunchHostFunc(
              static_cast<cudaStream_t>(stream),
              [](void*) {
                const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
                while (std::chrono::steady_clock::now() < until) {}
              },
              nullptr),
          "host function", index_);
  }
  double seconds_between(void* first, void* second) override {
    check(cudaEventSynchronize(static_cast<cudaEvent_t>(second)), "a kernel failed (GRAFT_SYNC=1 names it)", index_);
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(first), static_cast<cudaEvent_t>(second)), "event", index_);
    return 1e-3 * static_cast<double>(milliseconds);
  }
  DeviceFacts facts() override {
    const auto attribute = [&](cudaDeviceAttr a) {
      int v = 0;
      check(cudaDeviceGetAttribute(&v, a, index_), "attribute", index_);
      return v;
    };
    // clocks come in kHz; memory moves data on both edges over a bus of so many bits
    return {attribute(cudaDevAttrMultiProcessorCount), 1e3 * attribute(cudaDevAttrClockRate),
            2e3 * attribute(cudaDevAttrMemoryClockRate) * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8,
            static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize))};
  }

 private:
  void move(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, void* stream) {
    if (bytes) check(cudaMemcpyAsync(to, from, bytes, kind, static_cast<cudaStream_t>(stream)), "copy", index_);
  }
  void refuse_capture(void* s, const char* what) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (s && cudaStreamIsCapturing(static_cast<cudaStream_t>(s), &status) == cudaSuccess && status != cudaStreamCaptureStatusNone)
      refuse_in_capture(what);
  }
  int index_;
};

}  // namespace

bool sync_each_launch() {
  static const bool yes = std::getenv("GRAFT_SYNC") && *std::getenv("GRAFT_SYNC") == '1';
  return yes;
}

std::string why_no_cuda(int index) {
  int driver = 0, runtime = 0, count = 0;
  (void)cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver (libcuda.so.1 was looked for); use --device cpu or emu";
  const cudaError_t e = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (e == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is too old: it serves CUDA " + version(driver) + ", this build wants " + version(runtime) +
           "; update the driver";
  if (e != cudaSuccess) return std::string("no usable GPU: ") + cudaGetErrorString(e) + "; use --device cpu or emu";
  if (index >= count) return "there is no GPU " + std::to_string(index) + " (" + std::to_string(count) + " found); use --device cpu or emu";
  return {};
}

std::string describe_cuda(int index) {
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, index), "properties", index);
  return std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor) + ", " +
         std::to_string(p.totalGlobalMem >> 20) + " MiB, " + std::to_string(p.multiProcessorCount) + " multiprocessors";
}

int cuda_capability() {
  int index = 0, major = 0, minor = 0;
  const bool known = cudaGetDevice(&index) == cudaSuccess &&
                     cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) == cudaSuccess &&
                     cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) == cudaSuccess;
  if (!known) (void)cudaGetLastError();  // it is sticky otherwise
  return known ? 10 * major + minor : 0;
}

std::string cuda_bus_id(int index) {
  char text[32] = {};
  if (cudaDeviceGetPCIBusId(text, sizeof text, index) == cudaSuccess) return text;
  (void)cudaGetLastError();
  return {};
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
