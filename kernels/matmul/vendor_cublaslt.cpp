// cuBLASLt as a row of matmul: the baseline that the ladder is measured against. It counts columns first, so row-major C = A B is asked for
// as C^T = B^T A^T. The algorithm is the heuristic's first choice for the shape, kept for the next call. Sums in the accumulation type, f32
// without tf32.
#include <array>
#include <map>
#include <mutex>

#include "kernels/matmul/rows.h"
#include "kernels/simt/vendor.h"

#ifdef GRAFT_HAVE_CUBLASLT
namespace graft::cuda {
namespace {

cudaDataType_t type_of(DType t) {
  return t == DType::f64 ? CUDA_R_64F : t == DType::bf16 ? CUDA_R_16BF : t == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

// As cuBLASLt sees one operand: rows are the axis that lies dense in memory.
struct Side {
  std::int64_t rows, cols, ld, batch_stride;
  bool transposed;
};
// v: [batch, outer, dense or not]; `want` is the axis that cuBLASLt wants dense where it is not told "transposed"
Side side_of(const View& v, int want) {
  const int other = 3 - want;
  const bool straight = v.shape[want] <= 1 || v.stride[want] == 1;
  const int dense = straight ? want : other, far = 3 - dense;
  const std::int64_t ld = v.shape[far] <= 1 ? v.shape[dense] : v.stride[far];
  return {v.shape[dense], v.shape[far], ld, v.shape[0] <= 1 ? 0 : v.stride[0], !straight};
}
int alignment_of(const void* p) {
  const auto u = reinterpret_cast<std::uintptr_t>(p) | 256;
  return static_cast<int>(u & (~u + 1));
}

struct Plan {
  cublasLtMatmulDesc_t op = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};
using Key = std::array<std::int64_t, 24>;

cublasLtMatrixLayout_t layout(const Side& s, cudaDataType_t type, std::int64_t batch) {
  const auto& lt = cublaslt();
  cublasLtMatrixLayout_t l = nullptr;
  check(lt.cublasLtMatrixLayoutCreate(&l, type, static_cast<std::uint64_t>(s.rows), static_cast<std::uint64_t>(s.cols), s.ld),
        "cublasLtMatrixLayoutCreate");
  const auto count = static_cast<std::int32_t>(batch);
  check(lt.cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "cublasLtMatrixLayoutSetAttribute");
  check(lt.cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &s.batch_stride, sizeof s.batch_stride),
        "cublasLtMatrixLayoutSetAttribute");
  return l;
}

Plan make_plan(const Queue& q, const MatmulArgs& a, const Side& x, const Side& y, const Side& z) {
  const auto& lt = cublaslt();
  const cudaDataType_t type = type_of(a.c.dtype);
  const bool wide = a.c.dtype == DType::f64;
  Plan p;
  check(lt.cublasLtMatmulDescCreate(&p.op, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, wide ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
    check(lt.cublasLtMatmulDescSetAttribute(p.op, what, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, y.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, x.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  const bool relu = a.epilogue == Epilogue::relu;
  if (a.bias.data || relu) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, a.bias.data ? relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_RELU);
    if (a.bias.data) {
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, a.bias.data);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(type));
    }
  }
  const std::int64_t batch = a.c.shape[0];
  p.a = layout(y, type, batch);
  p.b = layout(x, type, batch);
  p.c = layout(z, type, batch);
  cublasLtMatmulPreference_t wish = nullptr;
  check(lt.cublasLtMatmulPreferenceCreate(&wish), "cublasLtMatmulPreferenceCreate");
  const auto want = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    check(lt.cublasLtMatmulPreferenceSetAttribute(wish, what, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  want(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kVendorWorkspace));
  // parts of a split k are added in f32, never in bf16
  want(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
       static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(alignment_of(a.b.data)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(alignment_of(a.a.data)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(alignment_of(a.c.data)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(alignment_of(a.c.data)));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t e = lt.cublasLtMatmulAlgoGetHeuristic(lt.handle(index_of(q)), p.op, p.a, p.b, p.c, p.c, wish, 1, &found, &count);
  check(lt.cublasLtMatmulPreferenceDestroy(wish), "cublasLtMatmulPreferenceDestroy");
  if (e != CUBLAS_STATUS_SUCCESS || count == 0)
    throw Error(Code::device, "matmul: cuBLASLt has no algorithm for A " + describe(a.a) + ", B " + describe(a.b) + " (status " +
                                  std::to_string(e) + ")");
  p.algorithm = found.algo;
  p.workspace = found.workspaceSize;
  return p;
}

}  // namespace

void matmul_cublaslt(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  const auto& lt = cublaslt();
  const Side x = side_of(a.a, 2), y = side_of(a.b, 2), z = side_of(a.c, 2);
  const Key key{index_of(q),
                static_cast<int>(a.c.dtype),
                a.c.shape[0],
                x.rows,
                x.cols,
                x.ld,
                x.batch_stride,
                x.transposed,
                y.rows,
                y.cols,
                y.ld,
                y.batch_stride,
                y.transposed,
                z.ld,
                z.batch_stride,
                alignment_of(a.a.data),
                alignment_of(a.b.data),
                alignment_of(a.c.data),
                a.bias.data != nullptr,
                a.bias.data ? alignment_of(a.bias.data) : 0,
                static_cast<int>(a.epilogue),
                a.accumulate};
  static std::mutex mutex;
  static std::map<Key, Plan> plans;
  std::lock_guard lock(mutex);  // over the call too: the bias pointer is part of the descriptor
  auto it = plans.find(key);
  if (it == plans.end()) it = plans.emplace(key, make_plan(q, a, x, y, z)).first;
  const Plan& p = it->second;
  if (a.bias.data)
    check(lt.cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a.bias.data, sizeof a.bias.data),
          "cublasLtMatmulDescSetAttribute");
  const double alpha = a.alpha, beta = a.accumulate ? 1 : 0;
  const auto alpha32 = static_cast<float>(alpha), beta32 = static_cast<float>(beta);
  const bool wide = a.c.dtype == DType::f64;
  const void *scale = wide ? static_cast<const void*>(&alpha) : &alpha32, *keep = wide ? static_cast<const void*>(&beta) : &beta32;
  check(lt.cublasLtMatmul(lt.handle(index_of(q)), p.op, scale, a.b.data, p.a, a.a.data, p.b, keep, a.c.data, p.c, a.c.data, p.c,
                          &p.algorithm, q.scratch(kVendorWorkspace), p.workspace, stream_of(q)),
        "cublasLtMatmul");
}

}  // namespace graft::cuda
#else
namespace graft::cuda {
void matmul_cublaslt(Queue&, const MatmulArgs&) { throw Error(Code::bug, "matmul: this build has no cuBLASLt"); }
}  // namespace graft::cuda
#endif
