// copy in packs: a thread moves 16 bytes of the narrower side at once (f32 to bf16: 8 elements, two loads and one store of 128 bits) and
// strides over the grid. The runs may be one (any length: the last elements go one by one) or many of whole packs (rows of a wider matrix,
// channels split off). Bytes: one read and one write per element, 128 bits at a time. Limits: one dtype, or two floats; both sides dense
// along the run; 16-byte addresses; fewer than 2^31 packs.
#include "kernels/copy/convert.h"
#include "kernels/copy/raw.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace {

// in, out: as r says, elements; per_run: packs in a run; count: of all runs; tail: elements after the last pack, where there is one run
template <class From, class To>
__global__ void __launch_bounds__(256) packs(const From* in, To* out, Runs<2> r, unsigned per_run, unsigned count, unsigned tail) {
  constexpr int N = pack_of(sizeof(From), sizeof(To));
  const unsigned first = blockIdx.x * blockDim.x + threadIdx.x;
  for (std::int64_t p = first; p < count; p += std::int64_t{gridDim.x} * blockDim.x) {
    unsigned rest = static_cast<unsigned>(p);
    const unsigned c = r.rank ? rest % per_run : rest;
    if (r.rank) rest /= per_run;
    std::int64_t to = std::int64_t{c} * N, from = to;
    for (int d = r.rank - 1; d >= 0; --d) {
      const unsigned size = static_cast<unsigned>(r.shape[d]), i = d ? rest % size : rest;
      if (d) rest /= size;
      to += i * r.stride[d][0];
      from += i * r.stride[d][1];
    }
    const Piece<From, N> x = *reinterpret_cast<const Piece<From, N>*>(in + from);
    Piece<To, N> y;
    for (int e = 0; e < N; ++e) y.v[e] = convert<To>(x.v[e]);
    *reinterpret_cast<Piece<To, N>*>(out + to) = y;
  }
  if (first < tail) out[std::int64_t{count} * N + first] = convert<To>(in[std::int64_t{count} * N + first]);
}

}  // namespace

void copy_vectors(Queue& q, const CopyArgs& a) {
  if (a.out.numel() == 0) return;
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  const std::int64_t size = pack_of(size_of(a.in.dtype), size_of(a.out.dtype)), per_run = r.inner / size, count = r.outer * per_run;
  visit_raw_or_floats(a.in.dtype, a.out.dtype, [&]<class From, class To>() {
    launch(q, packs<From, To>, blocks_for(count, 256, 132 * 16), 256, 0, a.in.as<const From>(), a.out.as<To>(), r,
           static_cast<unsigned>(per_run), static_cast<unsigned>(count), static_cast<unsigned>(r.inner % size));
  });
}

}  // namespace graft::GRAFT_SIMT
