#include "kernels/simt/cudnn_graph.h"

#ifdef GRAFT_HAVE_CUDNN
#include <map>

namespace graft::cuda {

cudnnDataType_t cudnn_type(DType t) {
  return t == DType::f64    ? CUDNN_DATA_DOUBLE
         : t == DType::bf16 ? CUDNN_DATA_BFLOAT16
         : t == DType::f16  ? CUDNN_DATA_HALF
                            : CUDNN_DATA_FLOAT;
}
int cudnn_alignment(const void* p) {
  const auto u = reinterpret_cast<std::uintptr_t>(p) | 16;
  return static_cast<int>(u & (~u + 1));
}
void append_key(std::vector<std::int64_t>& key, const View& v) {
  key.push_back(v.data ? static_cast<std::int64_t>(v.dtype) : -1);
  if (!v.data) return;
  key.push_back(cudnn_alignment(v.data));
  for (int i = 0; i < v.rank; ++i) {
    key.push_back(v.shape[static_cast<std::size_t>(i)]);
    key.push_back(v.stride[static_cast<std::size_t>(i)]);
  }
}

CudnnGraph::Descriptor CudnnGraph::make(cudnnBackendDescriptorType_t type, const std::vector<Set>& sets) {
  Descriptor d = nullptr;
  check(cudnn().cudnnBackendCreateDescriptor(type, &d), "cudnnBackendCreateDescriptor");
  for (const Set& s : sets) check(cudnn().cudnnBackendSetAttribute(d, s.name, s.type, s.count, s.values), "cudnnBackendSetAttribute");
  check(cudnn().cudnnBackendFinalize(d), "cudnnBackendFinalize");
  return d;
}

CudnnGraph::Descriptor CudnnGraph::tensor(DType dtype, const std::vector<std::int64_t>& dims, const std::vector<std::int64_t>& strides,
                                          const void* at) {
  const cudnnDataType_t type = cudnn_type(dtype);
  full_f32_ &= dtype == DType::f32;
  const auto id = static_cast<std::int64_t>(ids_.size()) + 1, rank = static_cast<std::int64_t>(dims.size()),
             alignment = std::int64_t{cudnn_alignment(at)};
  ids_.push_back(id);
  return make(CUDNN_BACKEND_TENSOR_DESCRIPTOR, {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
                                                {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dims.data()},
                                                {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, strides.data()},
                                                {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
                                                {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment}});
}
CudnnGraph::Descriptor CudnnGraph::scalar(DType dtype) {
  const cudnnDataType_t type = cudnn_type(dtype);
  const std::int64_t one[4] = {1, 1, 1, 1}, alignment = static_cast<std::int64_t>(size_of(dtype)),
                     id = static_cast<std::int64_t>(ids_.size()) + 1;
  const bool by_value = true;
  ids_.push_back(id);
  return make(CUDNN_BACKEND_TENSOR_DESCRIPTOR, {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
                                                {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, one},
                                                {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, one},
                                                {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
                                                {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
                                                {CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value}});
}

// Does the engine of `config` cut f32 operands to tf32 or halves, or add in less than f32?
bool CudnnGraph::cuts(Descriptor config) const {
  const auto& nn = cudnn();
  Descriptor engine = nullptr;
  check(nn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine), "cudnnBackendCreateDescriptor");
  std::int64_t count = 0;
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnStatus_t e = nn.cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
  count = 0;
  if (e == CUDNN_STATUS_SUCCESS)
    e = nn.cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                    &count, notes);
  (void)nn.cudnnBackendDestroyDescriptor(engine);
  check(e, "cudnnBackendGetAttribute");
  for (std::int64_t i = 0; i < count; ++i)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
        notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
      return true;
  return false;
}

CudnnGraph::Plan CudnnGraph::finish() {
  const auto& nn = cudnn();
  Plan result;
  result.ids = ids_;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // the handle ties the plan to a device; what replaces it came only with 9.8
  const Descriptor graph = make(
      CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
      {{CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(operations_.size()), operations_.data()},
       {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_}});
  std::string last = "the heuristics name no engine";
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    const Descriptor heuristics =
        make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, {{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
                                                   {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode}});
    std::int64_t count = 0;
    check(nn.cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
          "cudnnBackendGetAttribute");
    std::vector<Descriptor> configs(static_cast<std::size_t>(count));
    for (Descriptor& c : configs)
      check(nn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &c), "cudnnBackendCreateDescriptor");
    check(nn.cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count,
                                      configs.data()),
          "cudnnBackendGetAttribute");
    for (std::int64_t i = 0; i < count; ++i) {
      if (full_f32_ && cuts(configs[static_cast<std::size_t>(i)])) {
        last = "the engines cut f32 to tf32";
        continue;
      }
      Descriptor plan = nullptr;
      check(nn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan), "cudnnBackendCreateDescriptor");
      cudnnStatus_t e = nn.cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_);
      if (e == CUDNN_STATUS_SUCCESS)
        e = nn.cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                        &configs[static_cast<std::size_t>(i)]);
      if (e == CUDNN_STATUS_SUCCESS) e = nn.cudnnBackendFinalize(plan);
      std::int64_t workspace = 0;
      if (e == CUDNN_STATUS_SUCCESS)
        e = nn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, nullptr, &workspace);
      if (e == CUDNN_STATUS_SUCCESS && workspace <= static_cast<std::int64_t>(kVendorWorkspace)) {
        result.plan = plan;
        return result;
      }
      last = e == CUDNN_STATUS_SUCCESS ? "the engines want more than 32 MiB of workspace" : nn.cudnnGetErrorString(e);
      (void)nn.cudnnBackendDestroyDescriptor(plan);
    }
  }
#pragma GCC diagnostic pop
  result.refused = last;
  return result;
}

const CudnnGraph::Plan& cudnn_plan(const Queue& q, const std::vector<std::int64_t>& key, const std::function<void(CudnnGraph&)>& build) {
  thread_local std::map<std::pair<int, std::vector<std::int64_t>>, CudnnGraph::Plan> plans;
  auto& plan = plans[{index_of(q), key}];
  if (!plan.plan && plan.refused.empty()) {
    CudnnGraph graph(cudnn().handle(q));
    build(graph);
    plan = graph.finish();
  }
  return plan;
}

void run_cudnn(Queue& q, const CudnnGraph::Plan& plan, const char* op, std::vector<void*> pointers) {
  if (!plan.plan) throw Error(Code::device, std::string(op) + ": cuDNN takes no such graph: " + plan.refused);
  const auto& nn = cudnn();
  const cudnnHandle_t handle = nn.handle(q);
  void* workspace = q.scratch(kVendorWorkspace);
  cudnnBackendDescriptor_t pack = nullptr;
  check(nn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "cudnnBackendCreateDescriptor");
  const auto n = static_cast<std::int64_t>(pointers.size());
  cudnnStatus_t e = nn.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, plan.ids.data());
  if (e == CUDNN_STATUS_SUCCESS)
    e = nn.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers.data());
  if (e == CUDNN_STATUS_SUCCESS)
    e = nn.cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  if (e == CUDNN_STATUS_SUCCESS) e = nn.cudnnBackendFinalize(pack);
  if (e == CUDNN_STATUS_SUCCESS) e = nn.cudnnBackendExecute(handle, plan.plan, pack);
  (void)nn.cudnnBackendDestroyDescriptor(pack);
  check(e, op);
}

}  // namespace graft::cuda
#endif
