#include "kernels/simt/vendor.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace graft::cuda {
namespace {

// A library and the first function that it lacks.
struct Library {
  void* open = nullptr;
  std::string missing;
  explicit Library(const std::string& name) {
    if (missing = why_no_cuda(0); !missing.empty()) return;
    open = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!open) missing = name + " was not found; install it or set LD_LIBRARY_PATH";
    file = name;
  }
  template <class F>
  void find(F& f, const char* call) {
    if (!open) return;
    f = reinterpret_cast<F>(dlsym(open, call));
    if (!f && missing.empty()) missing = file + " has no " + call;
  }
  std::string file;
};

#ifdef GRAFT_HAVE_CUBLASLT
struct LoadedCublasLt : CublasLt {
  Library library{"libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR)};
  LoadedCublasLt() {
#define GRAFT_FIND(f) library.find(this->f, #f);
    GRAFT_CUBLASLT_CALLS(GRAFT_FIND)
#undef GRAFT_FIND
  }
};
const LoadedCublasLt& loaded_cublaslt() {
  static auto* one = new LoadedCublasLt;  // never unloaded: handles and streams may outlive main
  return *one;
}
#endif
#ifdef GRAFT_HAVE_CUDNN
struct LoadedCudnn : Cudnn {
  Library library{"libcudnn.so." + std::to_string(CUDNN_MAJOR)};
  LoadedCudnn() {
#define GRAFT_FIND(f) library.find(this->f, #f);
    GRAFT_CUDNN_CALLS(GRAFT_FIND)
#undef GRAFT_FIND
  }
};
const LoadedCudnn& loaded_cudnn() {
  static auto* one = new LoadedCudnn;
  return *one;
}
#endif

}  // namespace

#ifdef GRAFT_HAVE_CUBLASLT
std::string cublaslt_missing() { return loaded_cublaslt().library.missing; }
const CublasLt& cublaslt() { return loaded_cublaslt(); }
cublasLtHandle_t CublasLt::handle(int device) const {
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> all;
  std::lock_guard lock(mutex);
  auto& h = all[device];
  if (!h) check(cublasLtCreate(&h), "cublasLtCreate");
  return h;
}
#else
std::string cublaslt_missing() { return "this build had no cublasLt.h"; }
#endif

#ifdef GRAFT_HAVE_CUDNN
std::string cudnn_missing() { return loaded_cudnn().library.missing; }
const Cudnn& cudnn() { return loaded_cudnn(); }
cudnnHandle_t Cudnn::handle(const Queue& q) const {
  thread_local std::map<int, cudnnHandle_t> all;  // a cuDNN handle carries a stream: not to be shared
  auto& h = all[index_of(q)];
  if (!h) check(cudnnCreate(&h), "cudnnCreate");
  check(cudnnSetStream(h, stream_of(q)), "cudnnSetStream");
  return h;
}
void check(cudnnStatus_t e, const char* call) {
  if (e != CUDNN_STATUS_SUCCESS) throw Error(Code::device, std::string(call) + ": " + cudnn().cudnnGetErrorString(e));
}
#else
std::string cudnn_missing() { return "this build had no cudnn.h"; }
#endif

}  // namespace graft::cuda
