// Dense tensors of an update as a thread sees them: N elements of each at once, in loads and stores of up to 16 bytes.
#pragma once
#include "kernels/optim/update.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {

inline constexpr int kPiece = 4;

// Elements i.. of p: [n]; zeros where there is no p. The tail is read one by one.
template <int N, class T, class A>
__device__ __forceinline__ void read(const T* p, std::int64_t i, std::int64_t n, A (&to)[N]) {
  if (p && i + N <= n) {
    const auto piece = *reinterpret_cast<const Piece<T, N>*>(p + i);
    for (int e = 0; e < N; ++e) to[e] = static_cast<A>(piece.v[e]);
  } else {
    for (int e = 0; e < N; ++e) to[e] = p && i + e < n ? static_cast<A>(p[i + e]) : A(0);
  }
}
template <int N, class T, class A>
__device__ __forceinline__ void write(T* p, std::int64_t i, std::int64_t n, const A (&from)[N]) {
  if (!p) return;
  if (i + N <= n) {
    Piece<T, N> piece;
    for (int e = 0; e < N; ++e) piece.v[e] = static_cast<T>(from[e]);
    *reinterpret_cast<Piece<T, N>*>(p + i) = piece;
  } else {
    for (int e = 0; e < N; ++e)
      if (i + e < n) p[i + e] = static_cast<T>(from[e]);
  }
}

template <class P, class G, class A>
struct Streams {  // [n] each; nullptr where absent
  P* param;
  const G* grad;
  A *master, *m, *v, *v2;
};
template <class P, class G, class A>
Streams<P, G, A> streams_of(const OptimTensors& t) {
  return {t.param.as<P>(), t.grad.as<const G>(), t.master.as<A>(), t.m.as<A>(), t.v.as<A>(), t.v2.as<A>()};
}

// Elements [i, i + N) of [n]; whole pieces of N lie on their boundaries.
template <OptimKind kind, int N, class P, class G, class A>
__device__ __forceinline__ void update_piece(const Streams<P, G, A>& x, const OptimStep<A>& s, std::int64_t i, std::int64_t n) {
  A p[N], g[N], m[N], v[N], v2[N];
  if (x.master) read(x.master, i, n, p);
  else read(x.param, i, n, p);
  read(x.grad, i, n, g);
  read(x.m, i, n, m);
  read(x.v, i, n, v);
  read(x.v2, i, n, v2);
  for (int e = 0; e < N; ++e) optim_update<kind, A>(s, p[e], g[e], m[e], v[e], v2[e]);
  write(x.master, i, n, p);
  write(x.param, i, n, p);
  write(x.m, i, n, m);
  write(x.v, i, n, v);
  write(x.v2, i, n, v2);
}

// f.operator()<P, G, A>() for the mixtures that the limit lets through: f64 throughout, or f32 states beside any parameter.
template <class F>
void visit_streams(const OptimTensors& t, F&& f) {
  const auto half = [&]<class P>() {
    if (t.grad.dtype == DType::f32) f.template operator()<P, float, float>();
    else f.template operator()<P, P, float>();
  };
  switch (t.param.dtype) {
    case DType::f64: f.template operator()<double, double, double>(); break;
    case DType::bf16: half.template operator()<bf16>(); break;
    case DType::f16: half.template operator()<f16>(); break;
    default: f.template operator()<float, float, float>();
  }
}

}  // namespace graft::GRAFT_SIMT
