// Pooling and its gradients, one thread per output element, the loops of loops.h. Gradients gather, so there are no atomics. Any dtype and
// stride. Neighbouring threads stand side by side along w.
#include "kernels/pool/loops.h"
#include "kernels/pool/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
__global__ void max_output(MaxPoolArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const auto& s = a.y.shape;
  pool_loops::max_forward_one<T>(a, i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2], i % s[3]);
}
template <class T>
__global__ void max_grad_element(MaxPoolGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const auto& s = a.dx.shape;
  pool_loops::max_grad_one<T, Accum<T>>(a, i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2], i % s[3]);
}
template <class T>
__global__ void average_output(AvgPoolArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const auto& s = a.y.shape;
  pool_loops::avg_forward_one<T, Accum<T>>(a, i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2], i % s[3]);
}
template <class T>
__global__ void average_grad_element(AvgPoolGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const auto& s = a.dx.shape;
  pool_loops::avg_grad_one<T, Accum<T>>(a, i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2], i % s[3]);
}

}  // namespace

void max_pool_thread_output(Queue& q, const MaxPoolArgs& a) {
  const std::int64_t n = a.y.numel();
  if (n) visit_float(a.y.dtype, [&]<class T>() { launch(q, max_output<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void max_pool_grad_thread_element(Queue& q, const MaxPoolGradArgs& a) {
  const std::int64_t n = a.dx.numel();
  if (n) visit_float(a.dx.dtype, [&]<class T>() { launch(q, max_grad_element<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void avg_pool_thread_output(Queue& q, const AvgPoolArgs& a) {
  const std::int64_t n = a.y.numel();
  if (n) visit_float(a.y.dtype, [&]<class T>() { launch(q, average_output<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void avg_pool_grad_thread_element(Queue& q, const AvgPoolGradArgs& a) {
  const std::int64_t n = a.dx.numel();
  if (n) visit_float(a.dx.dtype, [&]<class T>() { launch(q, average_grad_element<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}

}  // namespace graft::GRAFT_SIMT
