// cross-entropy and its gradient for large vocabularies: a block of 512 per row, 16 bytes per load. A piece's maximum is taken first and
// the running sum rescaled once per piece, so an element costs one exp instead of two. Forward: 1 read per element (2 with smoothing);
// gradient: 1 read and 1 write. Limits: rows dense, on 16-byte boundaries, a whole number of pieces; at least 1024 classes.
#include "kernels/loss/lines.h"
#include "kernels/loss/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace cross;

template <class T>
__global__ void __launch_bounds__(512) pieces(CrossEntropyArgs a, FaultSink faults) {
  using A = Accum<T>;
  constexpr int V = 16 / sizeof(T);
  GRAFT_SHARED(Running<A>, warps, [32]);
  GRAFT_SHARED(A, lines, [32]);
  A* l = lines;
  const std::int64_t r = blockIdx.x;
  const Row<const T> x = row<const T>(a.logits, r);
  const A hit = hit_of(a, r, x);
  Running<A> v{-INFINITY, 0};
  for (std::int64_t c = std::int64_t{threadIdx.x} * V; c < x.n; c += std::int64_t{blockDim.x} * V) {
    const auto p = *reinterpret_cast<const Line<T>*>(x.data + c);
    v = join_piece<T>(v, p);
  }
  v = join_block(v, warps);
  finish<T>(a, faults, r, x, hit, v.top, v.sum, threadIdx.x, blockDim.x, [l](A s) { return block_sum(s, l); });
}

template <class T>
__global__ void __launch_bounds__(512) grad_pieces(CrossEntropyGradArgs a) {
  using A = Accum<T>;
  constexpr int V = 16 / sizeof(T);
  GRAFT_SHARED(A, lines, [32]);
  A* l = lines;
  const std::int64_t r = blockIdx.x;
  const Row<const T> x = row<const T>(a.logits, r);
  const Row<T> dx = row<T>(a.dlogits, r);
  const auto t = target_of<T>(a, r, threadIdx.x, blockDim.x, [l](A s) { return block_sum(s, l); });
  for (std::int64_t c = std::int64_t{threadIdx.x} * V; c < x.n; c += std::int64_t{blockDim.x} * V) {
    auto p = *reinterpret_cast<const Line<T>*>(x.data + c);
    for (int k = 0; k < V; ++k) p.v[k] = static_cast<T>(gradient<T>(t, a.class_weight, c + k, static_cast<A>(p.v[k])));
    *reinterpret_cast<Line<T>*>(dx.data + c) = p;
  }
}

}  // namespace

void cross_entropy_pieces(Queue& q, const CrossEntropyArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype,
              [&]<class T>() { launch(q, pieces<T>, static_cast<unsigned>(a.logits.shape[0]), 512, 0, a, q.fault(FaultKind::target)); });
}
void cross_entropy_grad_pieces(Queue& q, const CrossEntropyGradArgs& a) {
  if (a.logits.numel() == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() { launch(q, grad_pieces<T>, static_cast<unsigned>(a.logits.shape[0]), 512, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
