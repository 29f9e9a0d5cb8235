// The gradient of embed without atomics: positions are sorted by id (sort.h), then a row of the table belongs to some threads of one block,
// which add its positions in the order of i, neighbouring threads neighbouring columns. Rung 1 takes an element per thread, any strides;
// rung 2 16 bytes. Bytes: dout once, dtable once, and for every 8 bits of the vocabulary some 24 bytes per id. One id's rows are added one
// after the other: that is what the order asks for.
#include <bit>

#include "kernels/embed/rows.h"
#include "kernels/embed/sort.h"

namespace graft::GRAFT_SIMT {
namespace {

template <class T, int N>
struct alignas(N == 1 ? sizeof(T) : 16) Piece {
  T v[N];
};

// dout: [n, dim], dtable: [vocab, dim]; start: [vocab + 1], order: [n]
template <class T, int N>
__global__ void sum_rows(EmbedGradArgs a, const std::int32_t* start, const std::int32_t* order) {
  using A = Accum<T>;
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= a.dtable.shape[0]) return;
  const std::int32_t first = start[row], last = start[row + 1];
  for (std::int64_t j = std::int64_t{threadIdx.x} * N; j < a.dtable.shape[1]; j += std::int64_t{blockDim.x} * N) {
    const T* from = a.dout.as<const T>() + j * a.dout.stride[1];
    A sum[N] = {};
    for (std::int32_t k = first; k < last; ++k) {
      const auto g = *reinterpret_cast<const Piece<T, N>*>(from + order[k] * a.dout.stride[0]);
      for (int e = 0; e < N; ++e) sum[e] += static_cast<A>(g.v[e]);
    }
    Piece<T, N> out;
    for (int e = 0; e < N; ++e) out.v[e] = static_cast<T>(sum[e]);
    *reinterpret_cast<Piece<T, N>*>(a.dtable.as<T>() + row * a.dtable.stride[0] + j * a.dtable.stride[1]) = out;
  }
}

template <class T, int N>
void sum_sorted(Queue& q, const EmbedGradArgs& a) {
  const auto [start, order] = positions::sort(q, a);
  const std::int64_t pieces = (a.dtable.shape[1] + N - 1) / N;
  const unsigned x = pieces >= 128 ? 128 : std::bit_ceil(static_cast<unsigned>(pieces));
  launch(q, sum_rows<T, N>, blocks_for(a.dtable.shape[0], 128 / x, 0x7fffffff), dim3(x, 128 / x), 0, a, start, order);
}

}  // namespace

void embed_grad_sorted_positions(Queue& q, const EmbedGradArgs& a) {
  if (a.dtable.numel()) visit_float(a.dtable.dtype, [&]<class T>() { sum_sorted<T, 1>(q, a); });
}
void embed_grad_sorted_pieces(Queue& q, const EmbedGradArgs& a) {
  if (a.dtable.numel()) visit_float(a.dtable.dtype, [&]<class T>() { sum_sorted<T, 16 / static_cast<int>(sizeof(T))>(q, a); });
}

}  // namespace graft::GRAFT_SIMT
