// elementwise in packs of 16 bytes: a thread loads 4 f32 (8 bf16, f16) of each operand at once, and strides over the grid. The runs may be
// one (dense operands, any length: the last elements go one by one) or many of whole packs (a broadcast row, a wider matrix); along a run
// an operand is dense or one value. One division per pack where there is more than one run. Bytes: each operand once, all loads and stores
// 128 bits wide. Limits: f32, bf16, f16; the operations of vectors.h; 16-byte addresses; fewer than 2^31 packs.
#include "kernels/elementwise/rows.h"
#include "kernels/elementwise/vectors.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

// In f32 already: with the conversions of f16 inside of every operation the switch is too large to be inlined, and x and y go through
// memory.
template <int N>
__device__ __forceinline__ void apply(E op, const float (&x)[3][N], float (&y)[N], float s0, float s1) {
  visit_op(op, [&]<E o>() {
    if constexpr (is_streamed(o))
      for (int e = 0; e < N; ++e) y[e] = float_op<o, float>(x[0][e], x[1][e], x[2][e], s0, s1);
  });
}

// per_run: packs in a run; packs: of all runs; tail: elements after the last pack, where there is one run
template <class T>
__global__ void __launch_bounds__(256) packs(ElementwiseArgs a, Runs<4> r, unsigned per_run, unsigned count, unsigned tail) {
  constexpr int N = Pack<T>::size;
  const int n = arity(a.op);
  const float s0 = static_cast<float>(a.s0), s1 = static_cast<float>(a.s1);
  const unsigned first = blockIdx.x * blockDim.x + threadIdx.x;
  for (std::int64_t p = first; p < count; p += std::int64_t{gridDim.x} * blockDim.x) {
    std::int64_t o[4];
    unsigned rest = static_cast<unsigned>(p);
    const unsigned c = r.rank ? rest % per_run : rest;
    if (r.rank) rest /= per_run;
    for (int k = 0; k < 4; ++k) o[k] = std::int64_t{c} * N * r.inner_stride[k];
    for (int d = r.rank - 1; d >= 0; --d) {
      const unsigned size = static_cast<unsigned>(r.shape[d]), i = d ? rest % size : rest;
      if (d) rest /= size;
      for (int k = 0; k < 4; ++k) o[k] += i * r.stride[d][k];
    }
    float x[3][N] = {}, y[N] = {};
    for (int k = 0; k < 3; ++k) {
      if (k >= n) break;
      const T* from = a.in[k].as<const T>() + o[k + 1];
      if (r.inner_stride[k + 1] == 0) {
        const float one = static_cast<float>(*from);
        for (int e = 0; e < N; ++e) x[k][e] = one;
      } else {
        const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(from);
        for (int e = 0; e < N; ++e) x[k][e] = static_cast<float>(pack.v[e]);
      }
    }
    apply(a.op, x, y, s0, s1);
    Pack<T> to;
    for (int e = 0; e < N; ++e) to.v[e] = static_cast<T>(y[e]);
    *reinterpret_cast<Pack<T>*>(a.out.as<T>() + o[0]) = to;
  }
  if (first < tail) {
    const std::int64_t i = std::int64_t{count} * N + first;
    float x[3][1] = {}, y[1] = {};
    for (int k = 0; k < 3; ++k)
      if (k < n) x[k][0] = static_cast<float>(a.in[k].as<const T>()[i * r.inner_stride[k + 1]]);
    apply(a.op, x, y, s0, s1);
    a.out.as<T>()[i] = static_cast<T>(y[0]);
  }
}

}  // namespace

void elementwise_vectors(Queue& q, const ElementwiseArgs& a) {
  if (a.out.numel() == 0) return;
  const Runs<4> r = operand_runs(a);
  const auto go = [&]<class T>() {
    const std::int64_t per_run = r.inner / Pack<T>::size, count = r.outer * per_run;
    const auto tail = static_cast<unsigned>(r.inner % Pack<T>::size);
    launch(q, packs<T>, blocks_for(count, 256, 132 * 16), 256, 0, a, r, static_cast<unsigned>(per_run), static_cast<unsigned>(count), tail);
  };
  if (a.out.dtype == DType::f32) go.template operator()<float>();
  else if (a.out.dtype == DType::bf16) go.template operator()<bf16>();
  else go.template operator()<f16>();
}

}  // namespace graft::GRAFT_SIMT
