// The optimisers' updates on dense tensors, four elements per thread and visit in loads and stores of up to 16 bytes, over a grid that is
// no larger than the device holds. One kernel per kind and mixture of dtypes, the arithmetic is update.h's. Bound by memory: AdamW in f32
// reads four streams and writes three, 28 bytes an element; with bf16 weights and gradients beside an f32 master copy 28 too.
#include "kernels/optim/rows.h"
#include "kernels/optim/streams.h"

namespace graft::GRAFT_SIMT {
namespace {

template <OptimKind kind, class P, class G, class A>
__global__ void update_pieces(Streams<P, G, A> x, OptimStep<A> s, std::int64_t n) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x * kPiece;
  for (std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPiece; i < n; i += step) {
    update_piece<kind, kPiece>(x, s, i, n);
  }
}

template <class P, class G, class A>
void update(Queue& q, const OptimArgs& a) {
  const auto x = streams_of<P, G, A>(a);
  const std::int64_t n = a.param.shape[0];
  visit_optim(a.kind, [&]<OptimKind kind>() {
    launch(q, update_pieces<kind, P, G, A>, blocks_for(n, 256 * kPiece, 2048), 256, 0, x, OptimStep<A>(a), n);
  });
}
}  // namespace

void optim_pieces(Queue& q, const OptimArgs& a) {
  if (a.param.shape[0] == 0) return;
  visit_streams(a, [&]<class P, class G, class A>() { update<P, G, A>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
