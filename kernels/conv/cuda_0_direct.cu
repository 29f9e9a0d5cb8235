// The three convolution passes, one thread per output element, the loops of loops.h: every load comes from L1 or L2, 2 loads per
// multiply-add. The input gradient gathers, the weight gradient walks all pixels: no atomics. Any dtype, stride, dilation, groups.
#include "kernels/conv/loops.h"
#include "kernels/conv/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// i -> (a, b, c, d) of shape [.., s1, s2, s3]
struct At {
  std::int64_t a, b, c, d;
};
__device__ __forceinline__ At split(std::int64_t i, const View& v) {
  return {i / (v.shape[1] * v.shape[2] * v.shape[3]), i / (v.shape[2] * v.shape[3]) % v.shape[1], i / v.shape[3] % v.shape[2],
          i % v.shape[3]};
}
template <class T>
__global__ void direct(ConvArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const At t = split(i, a.y);
  conv_loops::forward_one<T, Accum<T>>(a, t.a, t.b, t.c, t.d);
}
template <class T>
__global__ void direct_input_grad(ConvInputGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const At t = split(i, a.dx);
  conv_loops::input_grad_one<T, Accum<T>>(a, t.a, t.b, t.c, t.d);
}
template <class T>
__global__ void direct_weight_grad(ConvWeightGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const At t = split(i, a.dweight);
  conv_loops::weight_grad_one<T, Accum<T>>(a, t.a, t.b, t.c, t.d);
}
template <class T>
__global__ void direct_bias_grad(ConvWeightGradArgs a, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) conv_loops::bias_grad<T, Accum<T>>(a, i, i + 1);
}

}  // namespace

void conv_direct(Queue& q, const ConvArgs& a) {
  const std::int64_t n = a.y.numel();
  if (n) visit_float(a.y.dtype, [&]<class T>() { launch(q, direct<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void conv_direct_input_grad(Queue& q, const ConvInputGradArgs& a) {
  const std::int64_t n = a.dx.numel();
  if (n) visit_float(a.dx.dtype, [&]<class T>() { launch(q, direct_input_grad<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n); });
}
void conv_direct_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const std::int64_t n = a.dweight.numel(), k = a.dbias.data ? a.dbias.shape[0] : 0;
  visit_float(a.dweight.dtype, [&]<class T>() {
    if (n) launch(q, direct_weight_grad<T>, blocks_for(n, 128, 0x7fffffff), 128, 0, a, n);
    if (k) launch(q, direct_bias_grad<T>, blocks_for(k, 32), 32, 0, a, k);
  });
}

}  // namespace graft::GRAFT_SIMT
