// cuDNN's graph API in a few words: tensors and operations become a plan once per key, later calls only bind pointers. For
// kernels/<family>/vendor_cudnn*.cpp. Source: cuDNN backend API, "Operation graph", "Execution plan". Descriptors are cuDNN's; what is
// built is never freed (plans live as long as the process).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/view.h"
#include "kernels/simt/vendor.h"

#ifdef GRAFT_HAVE_CUDNN
namespace graft::cuda {

class CudnnGraph {
 public:
  using Descriptor = cudnnBackendDescriptor_t;
  explicit CudnnGraph(cudnnHandle_t handle) : handle_(handle) {}

  // A tensor of the given dims and strides (elements); ids count from 1 in the order of calls, which is the order of pointers in run().
  Descriptor tensor(DType dtype, const std::vector<std::int64_t>& dims, const std::vector<std::int64_t>& strides, const void* at);
  Descriptor scalar(DType dtype);  // one value, read from host memory at run()
  // attribute, type and values of one descriptor
  struct Set {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    std::int64_t count;
    const void* values;
  };
  Descriptor make(cudnnBackendDescriptorType_t type, const std::vector<Set>& sets);
  void operation(cudnnBackendDescriptorType_t type, const std::vector<Set>& sets) { operations_.push_back(make(type, sets)); }

  struct Plan {
    Descriptor plan = nullptr;
    std::vector<std::int64_t> ids;
    std::string refused;  // no engine takes the graph: why
  };
  // The first engine of the heuristics (mode A, then the fallback) that takes the graph within kVendorWorkspace; where every tensor is f32,
  // one that keeps f32 products and sums.
  Plan finish();

 private:
  cudnnHandle_t handle_;
  std::vector<Descriptor> operations_;
  std::vector<std::int64_t> ids_;
  bool full_f32_ = true;
  bool cuts(Descriptor config) const;
};

// The plan of this thread for `key` (device, shapes, strides, alignments, options), made by `build` when it is new.
const CudnnGraph::Plan& cudnn_plan(const Queue& q, const std::vector<std::int64_t>& key, const std::function<void(CudnnGraph&)>& build);
// pointers: of every tensor and scalar in the order in which they were made. Throws Error(device) when no engine takes the graph, naming
// `op`.
void run_cudnn(Queue& q, const CudnnGraph::Plan& plan, const char* op, std::vector<void*> pointers);

cudnnDataType_t cudnn_type(DType t);
int cudnn_alignment(const void* p);  // the largest power of two up to 16 that divides the address
// dtype, shape, strides and alignment of a view, for keys
void append_key(std::vector<std::int64_t>& key, const View& v);

}  // namespace graft::cuda
#endif
