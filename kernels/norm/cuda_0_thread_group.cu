// The norms and their gradients: one thread per group (row, group of channels, channel over the batch), one thread per channel for dweight
// and dbias; the loops of loops.h. The yardstick of the other rungs; any dtype, stride and option. Neighbouring threads read a group apart,
// so nothing is coalesced: forward 3 reads and 1 write per element, dx 4 reads and 1 write, the parameters 2 reads.
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

__device__ __forceinline__ std::int64_t thread_index() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }

template <class T, class Kind>
__global__ void forward_thread(Forward<Kind> f) {
  if (const std::int64_t t = thread_index(); t < f.kind.groups) forward_group<T>(f, t, {0, f.count(), 1}, [](Accum<T> v) { return v; });
}
template <class T, class Kind>
__global__ void backward_thread(Backward<Kind> b) {
  if (const std::int64_t t = thread_index(); t < b.kind.groups) backward_group<T>(b, t, {0, b.count(), 1}, [](Accum<T> v) { return v; });
}
// Partial sums of an image, of 64 rows where an image is a row: a single running sum over the batch would lose digits.
template <class T>
__global__ void parameters_thread(Parameters p) {
  using A = Accum<T>;
  const std::int64_t c = thread_index(), images = p.s == 1 ? 64 : 1;
  if (c >= p.c) return;
  A dw = 0, db = 0;
  for (std::int64_t n0 = 0; n0 < p.n; n0 += images) {
    A w = 0, b = 0;
    for (std::int64_t n = n0; n < p.n && n < n0 + images; ++n) {
      const A mean = mean_of<A>(p, n, c), rstd = rstd_of<A>(p, n, c);
      for (std::int64_t s = 0; s < p.s; ++s) add_parameters<T>(p, n, c, s, mean, rstd, w, b);
    }
    dw += w;
    db += b;
  }
  set_parameters<T>(p, c, dw, db);
}

template <class Args>
void run_forward(Queue& q, const Args& a) {
  const auto f = forward_of(a);
  using Kind = decltype(f.kind);
  if (f.kind.groups == 0) return;
  visit_float(a.x.dtype, [&]<class T>() { launch(q, forward_thread<T, Kind>, blocks_for(f.kind.groups, 64, 1 << 30), 64, 0, f); });
}
template <class Args>
void run_backward(Queue& q, const Args& a) {
  const auto b = backward_of(a);
  const Parameters p = parameters_of(a);
  using Kind = decltype(b.kind);
  visit_float(a.x.dtype, [&]<class T>() {
    if (wanted(p)) launch(q, parameters_thread<T>, blocks_for(p.c, 64, 1 << 30), 64, 0, p);
    if (a.dx.data && a.x.numel() > 0) launch(q, backward_thread<T, Kind>, blocks_for(b.kind.groups, 64, 1 << 30), 64, 0, b);
  });
}

}  // namespace

void row_norm_thread_row(Queue& q, const RowNormArgs& a) { run_forward(q, a); }
void group_norm_thread_group(Queue& q, const GroupNormArgs& a) { run_forward(q, a); }
void batch_norm_thread_channel(Queue& q, const BatchNormArgs& a) { run_forward(q, a); }
void row_norm_grad_thread_row(Queue& q, const RowNormGradArgs& a) { run_backward(q, a); }
void group_norm_grad_thread_group(Queue& q, const GroupNormGradArgs& a) { run_backward(q, a); }
void batch_norm_grad_thread_channel(Queue& q, const BatchNormGradArgs& a) { run_backward(q, a); }

}  // namespace graft::GRAFT_SIMT
