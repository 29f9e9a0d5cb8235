// softmax, log-softmax and their gradients: one thread per row, the plain loops of plain.h. The yardstick of the other rungs; any dtype and stride.
// Neighbouring threads read addresses a row apart, so every load is a transaction of its own: 3 reads and 1 write per element, uncoalesced.
#include "kernels/simt/simt.h"
#include "kernels/softmax/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

// x, y: [rows, cols], any strides
template <class T>
__global__ void thread_row(SoftmaxArgs a) {
  using A = Accum<T>;
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, n = a.x.shape[1], sx = a.x.stride[1], sy = a.y.stride[1];
  if (r >= a.x.shape[0]) return;
  const T* x = a.x.as<const T>() + r * a.x.stride[0];
  T* y = a.y.as<T>() + r * a.y.stride[0];
  A top = -INFINITY, sum = 0;
  for (std::int64_t i = 0; i < n; ++i) top = max_or_nan(top, static_cast<A>(x[i * sx]));
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<A>(x[i * sx]) - top);
  const A tail = a.log ? std::log(sum) : 1 / sum;
  for (std::int64_t i = 0; i < n; ++i) {
    const A v = static_cast<A>(x[i * sx]) - top;
    y[i * sy] = static_cast<T>(a.log ? v - tail : std::exp(v) * tail);
  }
}

template <class T>
__global__ void grad_thread_row(SoftmaxGradArgs a) {
  using A = Accum<T>;
  const std::int64_t r = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, n = a.y.shape[1];
  if (r >= a.y.shape[0]) return;
  const T* y = a.y.as<const T>() + r * a.y.stride[0];
  const T* dy = a.dy.as<const T>() + r * a.dy.stride[0];
  T* dx = a.dx.as<T>() + r * a.dx.stride[0];
  A sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const A g = static_cast<A>(dy[i * a.dy.stride[1]]);
    sum += a.log ? g : g * static_cast<A>(y[i * a.y.stride[1]]);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const A g = static_cast<A>(dy[i * a.dy.stride[1]]), p = static_cast<A>(y[i * a.y.stride[1]]);
    dx[i * a.dx.stride[1]] = static_cast<T>(a.log ? g - std::exp(p) * sum : p * (g - sum));
  }
}

}  // namespace

void softmax_thread_row(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, thread_row<T>, blocks_for(a.x.shape[0], 128), 128, 0, a); });
}
void softmax_grad_thread_row(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  visit_float(a.y.dtype, [&]<class T>() { launch(q, grad_thread_row<T>, blocks_for(a.y.shape[0], 128), 128, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
