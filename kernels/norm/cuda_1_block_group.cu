// group_norm, batch_norm and their gradients: one block per group (or channel over the batch), threads side by side along a plane; sums
// meet in shared memory. dweight and dbias: one block per channel. Forward 3 reads and 1 write per element, dx 4 reads and 1 write, the
// parameters 2 reads; what does not fit in L2 is read again. Any dtype, stride and option; few groups leave most of the device idle (rung
// 2).
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

template <class T, class Kind>
__global__ void forward_block(Forward<Kind> f) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  Accum<T>* l = lines;
  forward_group<T>(f, blockIdx.x, {threadIdx.x, f.count(), blockDim.x}, [l](Accum<T> v) { return block_sum(v, l); });
}
template <class T, class Kind>
__global__ void backward_block(Backward<Kind> b) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  Accum<T>* l = lines;
  backward_group<T>(b, blockIdx.x, {threadIdx.x, b.count(), blockDim.x}, [l](Accum<T> v) { return block_sum(v, l); });
}
template <class T>
__global__ void parameters_block(Parameters p) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  A* l = lines;
  const std::int64_t c = blockIdx.x, count = p.n * p.s;
  A dw = 0, db = 0;
  if (threadIdx.x < count) {
    PlaneCursor k(threadIdx.x, blockDim.x, p.s);
    for (std::int64_t e = threadIdx.x; e < count; e += blockDim.x, k.next())
      add_parameters<T>(p, k.o, c, k.i, mean_of<A>(p, k.o, c), rstd_of<A>(p, k.o, c), dw, db);
  }
  dw = block_sum(dw, l);
  db = block_sum(db, l);
  if (threadIdx.x == 0) set_parameters<T>(p, c, dw, db);
}

unsigned threads_for(std::int64_t count) { return count >= 2048 ? 512 : count >= 256 ? 256 : 64; }

template <class Args>
void run_forward(Queue& q, const Args& a) {
  const auto f = forward_of(a);
  using Kind = decltype(f.kind);
  if (f.kind.groups == 0) return;
  visit_float(a.x.dtype,
              [&]<class T>() { launch(q, forward_block<T, Kind>, static_cast<unsigned>(f.kind.groups), threads_for(f.count()), 0, f); });
}
template <class Args>
void run_backward(Queue& q, const Args& a) {
  const auto b = backward_of(a);
  const Parameters p = parameters_of(a);
  using Kind = decltype(b.kind);
  visit_float(a.x.dtype, [&]<class T>() {
    if (wanted(p)) launch(q, parameters_block<T>, static_cast<unsigned>(p.c), threads_for(p.n * p.s), 0, p);
    if (a.dx.data && a.x.numel() > 0)
      launch(q, backward_block<T, Kind>, static_cast<unsigned>(b.kind.groups), threads_for(b.count()), 0, b);
  });
}

}  // namespace

void group_norm_block_group(Queue& q, const GroupNormArgs& a) { run_forward(q, a); }
void group_norm_grad_block_group(Queue& q, const GroupNormGradArgs& a) { run_backward(q, a); }
void batch_norm_block_channel(Queue& q, const BatchNormArgs& a) { run_forward(q, a); }
void batch_norm_grad_block_channel(Queue& q, const BatchNormGradArgs& a) { run_backward(q, a); }

}  // namespace graft::GRAFT_SIMT
