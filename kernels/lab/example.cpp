#include "kernels/lab/load.h"

namespace graft::lab {
namespace {

constexpr const char* kHost = R"(// softmax: exp is computed once per element and kept in y; a last visit scales it. A few rows per task.
// Bytes: one read and two writes per element. f32, any strides; log-softmax is left to others.
#include <algorithm>
#include <cmath>

#include "kernels/lab/try.h"
#include "kernels/softmax/softmax.h"

namespace graft {
namespace {

void kept_exp(Queue& q, const SoftmaxArgs& a) {
  const std::int64_t n = a.x.shape[1], sx = a.x.stride[1], sy = a.y.stride[1];
  // Work is cut by size, never by the number of threads: results are the same for any number of them.
  parallel_ranges(q.pool(), a.x.shape[0], 1 + 4096 / (n + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* x = a.x.as<const float>() + r * a.x.stride[0];
      float* y = a.y.as<float>() + r * a.y.stride[0];
      float top = -INFINITY, sum = 0;
      for (std::int64_t i = 0; i < n; ++i) top = std::max(top, x[i * sx]);
      for (std::int64_t i = 0; i < n; ++i) sum += y[i * sy] = std::exp(x[i * sx] - top);
      for (std::int64_t i = 0; i < n; ++i) y[i * sy] *= 1 / sum;
    }
  });
}
constexpr Limit<SoftmaxArgs> plain_f32{"f32, not log-softmax", [](const SoftmaxArgs& a) {
  if (a.log) return no("log-softmax");
  return a.x.dtype == DType::f32 ? yes() : no("x is not f32");
}};

}  // namespace
}  // namespace graft

GRAFT_TRY(softmax, host("cpu.kept_exp", kept_exp, plain_f32, 50, "exp once per element, kept in y"));
)";

constexpr const char* kDevice =
    R"(// softmax: one block per row, each thread walks every 128th column; maximum and sum meet in shared memory, exp is computed twice.
// Bytes: three reads and one write per element, coalesced. f32, any strides; log-softmax is left to others.
)"
    "#include \"kernels/simt/simt.h\"\n"  // no include line of this file, which is not compiled as CUDA
    R"(
#include "kernels/lab/try.h"
#include "kernels/softmax/softmax.h"

namespace graft::GRAFT_SIMT {
namespace {

__global__ void row_per_block(SoftmaxArgs a) {
  GRAFT_SHARED(float, lines, [32]);
  const std::int64_t n = a.x.shape[1];
  const float* x = a.x.as<const float>() + std::int64_t{blockIdx.x} * a.x.stride[0];
  float* y = a.y.as<float>() + std::int64_t{blockIdx.x} * a.y.stride[0];
  float top = -INFINITY, sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) top = max_or_nan(top, x[i * a.x.stride[1]]);
  top = block_fold(top, -INFINITY, lines, [](float u, float v) { return max_or_nan(u, v); });
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += std::exp(x[i * a.x.stride[1]] - top);
  sum = block_sum(sum, lines);
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) y[i * a.y.stride[1]] = std::exp(x[i * a.x.stride[1]] - top) / sum;
}
void one_block(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() > 0) launch(q, row_per_block, static_cast<unsigned>(a.x.shape[0]), 128, 0, a);
}
constexpr Limit<SoftmaxArgs> plain_f32{"f32, not log-softmax", [](const SoftmaxArgs& a) {
  if (a.log) return no("log-softmax");
  return a.x.dtype == DType::f32 ? yes() : no("x is not f32");
}};

}  // namespace
}  // namespace graft::GRAFT_SIMT

GRAFT_TRY(softmax, simt_row("one_block", one_block, plain_f32, 50, "one block per row"));
)";

}  // namespace

std::string example(bool cu) { return cu ? kDevice : kHost; }

}  // namespace graft::lab
