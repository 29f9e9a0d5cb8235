// bias_act and its gradient in packs of four elements (one Philox counter), of bf16 eight (two), loaded and stored up to 16 bytes at once;
// threads stride over the grid. A pack's biases are a pack too where they lie along the last axis in whole packs, one value where an inner
// axis is whole packs long, else looked up one by one. Bytes: x and the residual (dy and x) read once, y (dx) written once. Limits: float
// dtypes, tensors on 16-byte boundaries, fewer than 2^31 elements (one 32-bit division per pack).
#include "kernels/bias_act/plain.h"
#include "kernels/bias_act/rows.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

// f16 is converted in software: eight at once would spill.
template <class T>
inline constexpr int kPack = std::is_same_v<T, bf16> ? 8 : 4;
template <class T>
using Pack = Piece<T, kPack<T>>;

enum class BiasAt { nowhere, pack, one, element };

// What all elements share; pointers to [n] elements, nullptr where absent.
template <class T>
struct Shared {
  const T *x, *bias, *other;  // other: the residual, or dy
  T* out;
  unsigned n, channels, inner;
  BiasAt at;
  Counters counters;
  Dropping<Accum<T>> drop;
};

template <class T, class A>
__device__ __forceinline__ void load(const T* p, unsigned i, A (&to)[kPack<T>]) {
  const auto pack = *reinterpret_cast<const Pack<T>*>(p + i);
  for (int e = 0; e < kPack<T>; ++e) to[e] = static_cast<A>(pack.v[e]);
}
template <class T, class A>
__device__ __forceinline__ void add_bias(const Shared<T>& s, unsigned i, A (&v)[kPack<T>]) {
  if (s.at == BiasAt::pack) {
    A b[kPack<T>];
    load(s.bias, i % s.channels, b);
    for (int e = 0; e < kPack<T>; ++e) v[e] += b[e];
  } else if (s.at == BiasAt::one) {
    const A b = static_cast<A>(s.bias[i / s.inner % s.channels]);
    for (int e = 0; e < kPack<T>; ++e) v[e] += b;
  } else if (s.at == BiasAt::element) {
    for (int e = 0; e < kPack<T>; ++e) v[e] += static_cast<A>(s.bias[(i + e) / s.inner % s.channels]);
  }
}
template <class T, class A>
__device__ __forceinline__ void dropped(const Shared<T>& s, const Counters& counters, unsigned i, A (&v)[kPack<T>]) {
  if (!s.drop.any) return;
  for (int c = 0; c < kPack<T> / 4; ++c) {
    const PhiloxWords w = counters[i / 4 + c];
    for (int e = 0; e < 4; ++e) v[4 * c + e] = s.drop(v[4 * c + e], w[e]);
  }
}

template <bool backward, ActKind act, class T>
__global__ void __launch_bounds__(256) packs(Shared<T> s) {
  using A = Accum<T>;
  const Counters counters = s.counters.here();
  const unsigned first = blockIdx.x * blockDim.x + threadIdx.x, count = s.n / kPack<T>;
  for (unsigned p = first; p < count; p += gridDim.x * blockDim.x) {
    const unsigned i = p * kPack<T>;
    A v[kPack<T>] = {}, other[kPack<T>] = {};
    if (s.x) load(s.x, i, v);
    if (s.other) load(s.other, i, other);
    if (s.x) add_bias(s, i, v);
    if constexpr (backward) {
      dropped(s, counters, i, other);
      for (int e = 0; e < kPack<T>; ++e) v[e] = act_grad_of<act>(other[e], v[e]);
    } else {
      for (int e = 0; e < kPack<T>; ++e) v[e] = act_of<act>(v[e]);
      dropped(s, counters, i, v);
      for (int e = 0; e < kPack<T>; ++e) v[e] = s.other ? v[e] + other[e] : v[e];  // -0 + 0 would lose its sign
    }
    Pack<T> to;
    for (int e = 0; e < kPack<T>; ++e) to.v[e] = static_cast<T>(v[e]);
    *reinterpret_cast<Pack<T>*>(s.out + i) = to;
  }
  if (first < s.n % kPack<T>) {  // the last elements, one thread each
    const unsigned i = count * kPack<T> + first;
    A v = s.x ? static_cast<A>(s.x[i]) : A(0);
    A other = s.other ? static_cast<A>(s.other[i]) : A(0);
    if (s.x && s.bias) v += static_cast<A>(s.bias[i / s.inner % s.channels]);
    const auto drop = [&](A e) { return s.drop.any ? s.drop(e, counters[i / 4][i % 4]) : e; };
    if constexpr (backward) {
      v = act_grad_of<act>(drop(other), v);
    } else {
      v = drop(act_of<act>(v));
      if (s.other) v += other;
    }
    s.out[i] = static_cast<T>(v);
  }
}

template <class T, class Args>
Shared<T> shared_of(const Args& a, const View& like, const View& other, const View& out) {
  Shared<T> s{a.x.template as<const T>(),
              a.bias.template as<const T>(),
              other.as<const T>(),
              out.as<T>(),
              static_cast<unsigned>(like.numel()),
              static_cast<unsigned>(like.shape[1]),
              static_cast<unsigned>(like.shape[2]),
              BiasAt::nowhere,
              Counters(a),
              Dropping<Accum<T>>(a)};
  if (!s.bias) return s;
  const bool on_boundary = reinterpret_cast<std::uintptr_t>(s.bias) % alignof(Pack<T>) == 0;
  if (s.inner == 1 && s.channels % kPack<T> == 0 && on_boundary) s.at = BiasAt::pack;
  else if (s.inner % kPack<T> == 0) s.at = BiasAt::one;
  else s.at = BiasAt::element;
  return s;
}
template <bool backward, class Args>
void run(Queue& q, const Args& a, const View& like, const View& other, const View& out) {
  if (like.numel() == 0) return;
  visit_float(like.dtype, [&]<class T>() {
    visit_act(a.act, [&]<ActKind act>() {
      launch(q, packs<backward, act, T>, blocks_for(like.numel(), 256 * kPack<T>, 132 * 16), 256, 0, shared_of<T>(a, like, other, out));
    });
  });
}

}  // namespace

void bias_act_vectors(Queue& q, const BiasActArgs& a) { run<false>(q, a, a.x, a.residual, a.y); }
void bias_act_grad_vectors(Queue& q, const BiasActGradArgs& a) { run<true>(q, a, a.dy, a.dy, a.dx); }

}  // namespace graft::GRAFT_SIMT
