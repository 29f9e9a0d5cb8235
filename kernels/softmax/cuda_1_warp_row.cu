// softmax and log-softmax, a group of threads per row: a warp (rung 1) or a block (rung 2, for rows that keep 256 threads busy). Lanes take
// neighbouring columns, so loads are coalesced. Maximum and sum come from one visit: each thread keeps a running maximum m and the sum of
// exp(x - m), rescaled when m grows, and pairs (m, sum) are folded over the group (online softmax, Milakov and Gimelshein 2018). Bytes: 2
// reads (the second from L2) and 1 write per element.
#include "kernels/simt/online.h"
#include "kernels/softmax/rows.h"

namespace graft::GRAFT_SIMT {
namespace {

// first, step: this thread's columns
template <class T, class A>
__device__ __forceinline__ Running<A> visit_row(const T* x, std::int64_t stride, std::int64_t n, std::int64_t first, std::int64_t step) {
  Running<A> v{-INFINITY, 0};
  for (std::int64_t i = first; i < n; i += step) v = join(v, Running<A>{static_cast<A>(x[i * stride]), 1});
  return v;
}
template <class T, class A>
__device__ __forceinline__ void finish_row(const T* x, T* y, const SoftmaxArgs& a, Running<A> v, std::int64_t first, std::int64_t step) {
  const A sum = sum_of(v), tail = a.log ? std::log(sum) : 1 / sum;
  for (std::int64_t i = first; i < a.x.shape[1]; i += step) {
    const A d = static_cast<A>(x[i * a.x.stride[1]]) - v.top;
    y[i * a.y.stride[1]] = static_cast<T>(a.log ? d - tail : std::exp(d) * tail);
  }
}

template <class T>
__global__ void warp_row(SoftmaxArgs a) {
  using A = Accum<T>;
  const std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const unsigned lane = threadIdx.x % 32;
  if (r >= a.x.shape[0]) return;  // whole warps leave
  const T* x = a.x.as<const T>() + r * a.x.stride[0];
  const Running<A> v = join_warp(visit_row<T, A>(x, a.x.stride[1], a.x.shape[1], lane, 32));
  finish_row<T, A>(x, a.y.as<T>() + r * a.y.stride[0], a, v, lane, 32);
}

template <class T>
__global__ void block_row(SoftmaxArgs a) {
  using A = Accum<T>;
  GRAFT_SHARED(Running<A>, warps, [32]);
  const std::int64_t r = blockIdx.x;
  const T* x = a.x.as<const T>() + r * a.x.stride[0];
  const Running<A> v = join_block(visit_row<T, A>(x, a.x.stride[1], a.x.shape[1], threadIdx.x, blockDim.x), warps);
  finish_row<T, A>(x, a.y.as<T>() + r * a.y.stride[0], a, v, threadIdx.x, blockDim.x);
}

template <class T, class A>
__device__ __forceinline__ A grad_sum(const SoftmaxGradArgs& a, std::int64_t r, std::int64_t first, std::int64_t step) {
  const T* y = a.y.as<const T>() + r * a.y.stride[0];
  const T* dy = a.dy.as<const T>() + r * a.dy.stride[0];
  A sum = 0;
  for (std::int64_t i = first; i < a.y.shape[1]; i += step) {
    const A g = static_cast<A>(dy[i * a.dy.stride[1]]);
    sum += a.log ? g : g * static_cast<A>(y[i * a.y.stride[1]]);
  }
  return sum;
}
template <class T, class A>
__device__ __forceinline__ void grad_row(const SoftmaxGradArgs& a, std::int64_t r, A sum, std::int64_t first, std::int64_t step) {
  const T* y = a.y.as<const T>() + r * a.y.stride[0];
  const T* dy = a.dy.as<const T>() + r * a.dy.stride[0];
  T* dx = a.dx.as<T>() + r * a.dx.stride[0];
  for (std::int64_t i = first; i < a.y.shape[1]; i += step) {
    const A g = static_cast<A>(dy[i * a.dy.stride[1]]), p = static_cast<A>(y[i * a.y.stride[1]]);
    dx[i * a.dx.stride[1]] = static_cast<T>(a.log ? g - std::exp(p) * sum : p * (g - sum));
  }
}
template <class T>
__global__ void grad_warp_row(SoftmaxGradArgs a) {
  using A = Accum<T>;
  const std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const unsigned lane = threadIdx.x % 32;
  if (r >= a.y.shape[0]) return;
  grad_row<T, A>(a, r, warp_sum(grad_sum<T, A>(a, r, lane, 32)), lane, 32);
}
template <class T>
__global__ void grad_block_row(SoftmaxGradArgs a) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  const std::int64_t r = blockIdx.x;
  const A sum = block_sum(grad_sum<T, A>(a, r, threadIdx.x, blockDim.x), lines);
  grad_row<T, A>(a, r, sum, threadIdx.x, blockDim.x);
}

}  // namespace

void softmax_warp_row(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, warp_row<T>, blocks_for(a.x.shape[0], 4), 128, 0, a); });
}
void softmax_block_row(Queue& q, const SoftmaxArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, block_row<T>, static_cast<unsigned>(a.x.shape[0]), 256, 0, a); });
}
void softmax_grad_warp_row(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  visit_float(a.y.dtype, [&]<class T>() { launch(q, grad_warp_row<T>, blocks_for(a.y.shape[0], 4), 128, 0, a); });
}
void softmax_grad_block_row(Queue& q, const SoftmaxGradArgs& a) {
  if (a.y.numel() == 0) return;
  visit_float(a.y.dtype, [&]<class T>() { launch(q, grad_block_row<T>, static_cast<unsigned>(a.y.shape[0]), 256, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
