// random and dropout, a thread and a Philox counter per four elements, which are loaded and stored at once (16 bytes in f32) where tensors
// begin on such a boundary. The values are plain.h's, bit for bit those of the host. dropout: one read and one write per element; random:
// one write, bound by Philox (20 products of 32 x 32 bits a counter) and, for normals, by double arithmetic. Any dtype; neighbouring
// threads take neighbouring fours.
#include "kernels/random/plain.h"
#include "kernels/random/rows.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
using Four = Piece<T, 4>;

// out: [n]
template <class T, bool aligned>
__global__ void draw_counter(RandomArgs a, std::int64_t n) {
  const std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (4 * c >= n) return;
  double drawn[4];
  random_four(a, Counters(a).here()[c], drawn);
  T* out = a.out.as<T>() + 4 * c;
  if (aligned && 4 * c + 4 <= n) {
    Four<T> four;
    for (int e = 0; e < 4; ++e) four.v[e] = random_store<T>(drawn[e]);
    *reinterpret_cast<Four<T>*>(out) = four;
  } else {
    for (int e = 0; e < 4; ++e)
      if (4 * c + e < n) out[e] = random_store<T>(drawn[e]);
  }
}

// x, y: [n], may be the same; keep_from: a word below it drops, scale: what is kept is multiplied by it
template <class T, bool aligned>
__global__ void drop_counter(DropoutArgs a, std::int64_t n, std::uint32_t keep_from, Accum<T> scale) {
  const std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (4 * c >= n) return;
  const auto w = Counters(a).here()[c];
  const auto one = [&](T x, std::uint32_t word) {
    return a.p < 1 && word >= keep_from ? static_cast<T>(static_cast<Accum<T>>(x) * scale) : T(0);
  };
  const T* x = a.x.as<const T>() + 4 * c;
  T* y = a.y.as<T>() + 4 * c;
  if (aligned && 4 * c + 4 <= n) {
    Four<T> four = *reinterpret_cast<const Four<T>*>(x);
    for (int e = 0; e < 4; ++e) four.v[e] = one(four.v[e], w[static_cast<std::size_t>(e)]);
    *reinterpret_cast<Four<T>*>(y) = four;
  } else {
    for (int e = 0; e < 4; ++e)
      if (4 * c + e < n) y[e] = one(x[e], w[static_cast<std::size_t>(e)]);
  }
}

template <class T>
bool on_boundary(const View& v) {
  return reinterpret_cast<std::uintptr_t>(v.data) % alignof(Four<T>) == 0;
}

}  // namespace

void random_counters(Queue& q, const RandomArgs& a) {
  const std::int64_t n = a.out.numel();
  if (n == 0) return;
  visit(a.out.dtype, [&]<class T>() {
    launch(q, on_boundary<T>(a.out) ? draw_counter<T, true> : draw_counter<T, false>, blocks_for(n, 4 * 128, 0x7fffffff), 128, 0, a, n);
  });
}
void dropout_counters(Queue& q, const DropoutArgs& a) {
  const std::int64_t n = a.x.numel();
  if (n == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    launch(q, on_boundary<T>(a.x) && on_boundary<T>(a.y) ? drop_counter<T, true> : drop_counter<T, false>,
           blocks_for(n, 4 * 256, 0x7fffffff), 256, 0, a, n, dropout_threshold(a.p), static_cast<Accum<T>>(1 / (1 - a.p)));
  });
}

}  // namespace graft::GRAFT_SIMT
