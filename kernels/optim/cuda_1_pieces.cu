// The optimisers' updates on dense tensors, four elements per thread and visit in loads and stores of up to 16 bytes, over a grid that is no larger than the
// device holds. One kernel per kind and mixture of dtypes, the arithmetic is update.h's. Bound by memory: AdamW in f32 reads four streams and writes
// three, 28 bytes an element; with bf16 weights and gradients beside an f32 master copy 28 too.
#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

inline constexpr int kPiece = 4;

// Elements i.. of p: [n]; zeros where there is no p. The tail is read one by one.
template <class T, class A>
__device__ __forceinline__ void read(const T* p, std::int64_t i, std::int64_t n, A (&to)[kPiece]) {
  if (p && i + kPiece <= n) {
    const auto piece = *reinterpret_cast<const Piece<T, kPiece>*>(p + i);
    for (int e = 0; e < kPiece; ++e) to[e] = static_cast<A>(piece.v[e]);
  } else {
    for (int e = 0; e < kPiece; ++e) to[e] = p && i + e < n ? static_cast<A>(p[i + e]) : A(0);
  }
}
template <class T, class A>
__device__ __forceinline__ void write(T* p, std::int64_t i, std::int64_t n, const A (&from)[kPiece]) {
  if (!p) return;
  if (i + kPiece <= n) {
    Piece<T, kPiece> piece;
    for (int e = 0; e < kPiece; ++e) piece.v[e] = static_cast<T>(from[e]);
    *reinterpret_cast<Piece<T, kPiece>*>(p + i) = piece;
  } else {
    for (int e = 0; e < kPiece; ++e)
      if (i + e < n) p[i + e] = static_cast<T>(from[e]);
  }
}

template <class P, class G, class A>
struct Streams {  // [n] each; nullptr where absent
  P* param;
  const G* grad;
  A *master, *m, *v, *v2;
};

template <OptimKind kind, class P, class G, class A>
__global__ void update_pieces(Streams<P, G, A> x, OptimStep<A> s, std::int64_t n) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x * kPiece;
  for (std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPiece; i < n; i += step) {
    A p[kPiece], g[kPiece], m[kPiece], v[kPiece], v2[kPiece];
    if (x.master) read(x.master, i, n, p);
    else read(x.param, i, n, p);
    read(x.grad, i, n, g);
    read(x.m, i, n, m);
    read(x.v, i, n, v);
    read(x.v2, i, n, v2);
    for (int e = 0; e < kPiece; ++e) optim_update<kind, A>(s, p[e], g[e], m[e], v[e], v2[e]);
    write(x.master, i, n, p);
    write(x.param, i, n, p);
    write(x.m, i, n, m);
    write(x.v, i, n, v);
    write(x.v2, i, n, v2);
  }
}

template <class P, class G, class A>
void update(Queue& q, const OptimArgs& a) {
  const Streams<P, G, A> x{a.param.as<P>(), a.grad.as<const G>(), a.master.as<A>(), a.m.as<A>(), a.v.as<A>(), a.v2.as<A>()};
  const std::int64_t n = a.param.shape[0];
  visit_optim(a.kind, [&]<OptimKind kind>() {
    launch(q, update_pieces<kind, P, G, A>, blocks_for(n, 256 * kPiece, 2048), 256, 0, x, OptimStep<A>(a), n);
  });
}
template <class P>
void update_half(Queue& q, const OptimArgs& a) {
  if (a.grad.dtype == DType::f32) update<P, float, float>(q, a);
  else update<P, P, float>(q, a);
}

}  // namespace

void optim_pieces(Queue& q, const OptimArgs& a) {
  if (a.param.shape[0] == 0) return;
  switch (a.param.dtype) {
    case DType::f64: update<double, double, double>(q, a); break;
    case DType::bf16: update_half<bf16>(q, a); break;
    case DType::f16: update_half<f16>(q, a); break;
    default: update<float, float, float>(q, a);
  }
}

}  // namespace graft::GRAFT_SIMT
