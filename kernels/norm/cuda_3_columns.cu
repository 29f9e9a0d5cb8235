// batch_norm and its gradient where channels lie side by side (BatchNorm after a dense layer, channels last): a block takes 32 channels,
// lanes are neighbouring channels and so loads are coalesced, 32 thread rows share the positions, sums meet in a tile of shared memory.
// dweight, dbias and dx in one launch. Forward 3 reads and 1 write per element, gradient 6 reads and 1 write; after the first from L2. Any
// dtype; channels dense.
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

// Lanes beyond the last channel keep company at the barriers with an empty span.
__device__ __forceinline__ Span column_span(std::int64_t t, std::int64_t groups, std::int64_t count) {
  return {t < groups ? std::int64_t{threadIdx.y} : count, count, 32};
}
template <class T>
__global__ void forward_columns(Forward<BatchKind> f) {
  using A = Accum<T>;
  GRAFT_SHARED(A, tile, [32][33]);
  const std::int64_t t = std::int64_t{blockIdx.x} * 32 + threadIdx.x, last = f.kind.groups - 1;
  forward_group<T>(f, t < last ? t : last, column_span(t, f.kind.groups, f.count()), [&](A v) { return column_sum(v, tile); });
}
template <class T>
__global__ void backward_columns(Backward<BatchKind> b, Parameters p) {
  using A = Accum<T>;
  GRAFT_SHARED(A, tile, [32][33]);
  const std::int64_t c = std::int64_t{blockIdx.x} * 32 + threadIdx.x, last = b.kind.groups - 1, t = c < last ? c : last;
  const Span span = column_span(c, b.kind.groups, b.count());
  const auto sum = [&](A v) { return column_sum(v, tile); };
  if (p.dweight.data || p.dbias.data) {
    const A mean = mean_of<A>(p, 0, t), rstd = rstd_of<A>(p, 0, t);
    A dw = 0, db = 0;
    each(b.kind, span, [&](std::int64_t n, std::int64_t s) { add_parameters<T>(p, n, t, s, mean, rstd, dw, db); });
    dw = sum(dw);
    db = sum(db);
    if (span.first == 0) set_parameters<T>(p, t, dw, db);
  }
  if (b.dx.data) backward_group<T>(b, t, span, sum);
}

}  // namespace

void batch_norm_columns(Queue& q, const BatchNormArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype,
              [&]<class T>() { launch(q, forward_columns<T>, blocks_for(a.x.shape[1], 32, 1 << 30), dim3(32, 32), 0, forward_of(a)); });
}
void batch_norm_grad_columns(Queue& q, const BatchNormGradArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    launch(q, backward_columns<T>, blocks_for(a.x.shape[1], 32, 1 << 30), dim3(32, 32), 0, backward_of(a), parameters_of(a));
  });
}

}  // namespace graft::GRAFT_SIMT
