// cuBLASLt and cuDNN for kernels/<family>/vendor_*.cpp: loaded at run time, one handle per device or thread, errors that name the call.
#pragma once
#include <cuda_runtime.h>

#include <string>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/error.h"
#include "kernels/core/queue.h"

#ifdef GRAFT_HAVE_CUBLASLT
#include <cublasLt.h>
#endif
#ifdef GRAFT_HAVE_CUDNN
#include <cudnn.h>
#endif

namespace graft::cuda {

inline int index_of(const Queue& q) { return q.device().index; }
inline cudaStream_t stream_of(const Queue& q) { return static_cast<cudaStream_t>(q.stream()); }

#ifdef GRAFT_HAVE_CUBLASLT
// clang-format off
#define GRAFT_CUBLASLT_CALLS(X)                                                                                                                      \
  X(cublasLtCreate) X(cublasLtMatmul) X(cublasLtMatmulAlgoGetHeuristic) X(cublasLtMatmulDescCreate) X(cublasLtMatmulDescDestroy)                      \
  X(cublasLtMatmulDescSetAttribute) X(cublasLtMatrixLayoutCreate) X(cublasLtMatrixLayoutDestroy) X(cublasLtMatrixLayoutSetAttribute)                  \
  X(cublasLtMatmulPreferenceCreate) X(cublasLtMatmulPreferenceDestroy) X(cublasLtMatmulPreferenceSetAttribute) X(cublasLtGetVersion)
// clang-format on
struct CublasLt {
#define GRAFT_MEMBER(f) decltype(&::f) f = nullptr;
  GRAFT_CUBLASLT_CALLS(GRAFT_MEMBER)
#undef GRAFT_MEMBER
  cublasLtHandle_t handle(int device) const;  // made on first use; the library says it may be shared by threads
};
const CublasLt& cublaslt();  // the library is there (cublaslt_missing)
inline void check(cublasStatus_t e, const char* call) {
  if (e != CUBLAS_STATUS_SUCCESS)
    throw Error(e == CUBLAS_STATUS_ALLOC_FAILED ? Code::memory : Code::device, std::string(call) + ": status " + std::to_string(e));
}
#endif

#ifdef GRAFT_HAVE_CUDNN
// clang-format off
#define GRAFT_CUDNN_CALLS(X)                                                                                                              \
  X(cudnnCreate) X(cudnnSetStream) X(cudnnGetErrorString) X(cudnnGetVersion) X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor) \
  X(cudnnBackendSetAttribute) X(cudnnBackendGetAttribute) X(cudnnBackendFinalize) X(cudnnBackendExecute) X(cudnnCreateTensorDescriptor)       \
  X(cudnnDestroyTensorDescriptor) X(cudnnSetTensorNdDescriptor) X(cudnnSoftmaxForward) X(cudnnSoftmaxBackward)
// clang-format on
struct Cudnn {
#define GRAFT_MEMBER(f) decltype(&::f) f = nullptr;
  GRAFT_CUDNN_CALLS(GRAFT_MEMBER)
#undef GRAFT_MEMBER
  cudnnHandle_t handle(const Queue& q) const;  // this thread's, on the queue's device and stream
};
const Cudnn& cudnn();
void check(cudnnStatus_t e, const char* call);
#endif

}  // namespace graft::cuda
