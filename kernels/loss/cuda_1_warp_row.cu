// cross-entropy, its gradient and both at once, a group of threads per row: a warp (rung 1) or a block (rung 2, from 1024 classes on).
// Lanes take neighbouring classes, so loads are coalesced. Maximum and sum come from one visit: each thread keeps a running maximum and the
// sum of exp(x - maximum), pairs are folded over the group (online softmax, Milakov and Gimelshein 2018). Forward: 1 read per element (2
// with smoothing); gradient: 1 read and 1 write; fused: 2 reads, the second from the cache, and 1 write. Any dtype, stride and option.
#include "kernels/loss/device.h"
#include "kernels/loss/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace cross;

template <class T>
__global__ void warp_row(CrossEntropyArgs a, FaultSink faults) {
  using A = Accum<T>;
  const std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const unsigned lane = threadIdx.x % 32;
  if (r >= a.logits.shape[0]) return;  // whole warps leave
  const Row<const T> x = row<const T>(a.logits, r);
  const A hit = hit_of(a, r, x);
  const Running<A> v = join_warp(visit_row<T>(x, lane, 32));
  finish<T>(a, faults, r, x, hit, v.top, v.sum, lane, 32, [](A s) { return warp_sum(s); });
}
template <class T>
__global__ void block_row(CrossEntropyArgs a, FaultSink faults) {
  using A = Accum<T>;
  GRAFT_SHARED(Running<A>, warps, [32]);
  GRAFT_SHARED(A, lines, [32]);
  A* l = lines;
  const std::int64_t r = blockIdx.x;
  const Row<const T> x = row<const T>(a.logits, r);
  const A hit = hit_of(a, r, x);
  const Running<A> v = join_block(visit_row<T>(x, threadIdx.x, blockDim.x), warps);
  finish<T>(a, faults, r, x, hit, v.top, v.sum, threadIdx.x, blockDim.x, [l](A s) { return block_sum(s, l); });
}
template <class T>
__global__ void grad_warp_row(CrossEntropyGradArgs a) {
  const std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (r < a.logits.shape[0]) grad_row<T>(a, r, threadIdx.x % 32, 32, [](Accum<T> v) { return warp_sum(v); });
}
template <class T>
__global__ void grad_block_row(CrossEntropyGradArgs a) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  Accum<T>* l = lines;
  grad_row<T>(a, blockIdx.x, threadIdx.x, blockDim.x, [l](Accum<T> v) { return block_sum(v, l); });
}
template <class T>
__global__ void fused_warp_row(CrossEntropyFusedArgs a, FaultSink faults) {
  using A = Accum<T>;
  const std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const unsigned lane = threadIdx.x % 32;
  if (r >= a.logits.shape[0]) return;  // whole warps leave
  const Row<const T> x = row<const T>(a.logits, r);
  const A hit = hit_of(a, r, x);
  const Running<A> v = join_warp(visit_row<T>(x, lane, 32));
  const auto t = finish_fused<T>(a, faults, r, x, hit, v, lane, 32, [](A s) { return warp_sum(s); });
  __syncwarp();  // dlogits may be the logits: every lane has read its target's
  write_row<T>(a, r, x, t, lane, 32);
}
template <class T>
__global__ void fused_block_row(CrossEntropyFusedArgs a, FaultSink faults) {
  using A = Accum<T>;
  GRAFT_SHARED(Running<A>, warps, [32]);
  GRAFT_SHARED(A, lines, [32]);
  A* l = lines;
  const std::int64_t r = blockIdx.x;
  const Row<const T> x = row<const T>(a.logits, r);
  const A hit = hit_of(a, r, x);
  const Running<A> v = join_block(visit_row<T>(x, threadIdx.x, blockDim.x), warps);
  write_row<T>(a, r, x, finish_fused<T>(a, faults, r, x, hit, v, threadIdx.x, blockDim.x, [l](A s) { return block_sum(s, l); }),
               threadIdx.x, blockDim.x);
}

}  // namespace

void cross_entropy_warp_row(Queue& q, const CrossEntropyArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype,
              [&]<class T>() { launch(q, warp_row<T>, blocks_for(a.logits.shape[0], 4, 1 << 30), 128, 0, a, q.fault(FaultKind::target)); });
}
void cross_entropy_block_row(Queue& q, const CrossEntropyArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype,
              [&]<class T>() { launch(q, block_row<T>, static_cast<unsigned>(a.logits.shape[0]), 256, 0, a, q.fault(FaultKind::target)); });
}
void cross_entropy_grad_warp_row(Queue& q, const CrossEntropyGradArgs& a) {
  if (a.logits.numel() == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, grad_warp_row<T>, blocks_for(a.logits.shape[0], 4, 1 << 30), 128, 0, a); });
}
void cross_entropy_grad_block_row(Queue& q, const CrossEntropyGradArgs& a) {
  if (a.logits.numel() == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, grad_block_row<T>, static_cast<unsigned>(a.logits.shape[0]), 256, 0, a); });
}
void cross_entropy_fused_warp_row(Queue& q, const CrossEntropyFusedArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, fused_warp_row<T>, blocks_for(a.logits.shape[0], 4, 1 << 30), 128, 0, a, q.fault(FaultKind::target));
  });
}
void cross_entropy_fused_block_row(Queue& q, const CrossEntropyFusedArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, fused_block_row<T>, static_cast<unsigned>(a.logits.shape[0]), 256, 0, a, q.fault(FaultKind::target));
  });
}

}  // namespace graft::GRAFT_SIMT
