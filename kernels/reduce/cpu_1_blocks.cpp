// reduce in blocks: where inner > 1, a task walks the axis once and keeps a chunk of columns beside one another (memory is read as it
// lies); where inner == 1, eight folds take every eighth element and meet in a fixed tree. A long axis is cut into blocks. Reads each byte
// once.
#include <new>

#include "kernels/reduce/blocks.h"
#include "kernels/reduce/fold.h"
#include "kernels/reduce/rows.h"

namespace graft {
namespace {

constexpr int kLanes = 8;

template <R op, class T>
void reduce_piece(const ReduceArgs& a, const ReducePlan& p, std::int64_t o, std::int64_t k0, std::int64_t k1, std::int64_t j0,
                  std::int64_t j1, Fold<op, T, Accum<T>>* out) {
  using A = Accum<T>;
  const T* x = a.in.as<const T>() + o * a.in.stride[0];
  const std::int64_t sk = a.in.stride[1], sj = a.in.stride[2];
  if (p.inner == 1) {
    Fold<op, T, A> lane[kLanes];
    std::int64_t k = k0;
    for (; k + kLanes <= k1; k += kLanes)
      for (int l = 0; l < kLanes; ++l) lane[l].add(static_cast<A>(x[(k + l) * sk]), k + l);
    for (int l = 0; k < k1; ++k, ++l) lane[l].add(static_cast<A>(x[k * sk]), k);
    for (int step = kLanes / 2; step >= 1; step /= 2)
      for (int l = 0; l < step; ++l) lane[l].merge(lane[l + step]);
    out[0] = lane[0];
    return;
  }
  for (std::int64_t j = j0; j < j1; ++j) out[j - j0] = {};
  for (std::int64_t k = k0; k < k1; ++k) {
    const T* row = x + k * sk + j0 * sj;
    for (std::int64_t j = 0; j < j1 - j0; ++j) out[j].add(static_cast<A>(row[j * sj]), k);
  }
}

}  // namespace

std::size_t reduce_blocks_scratch(const ReduceArgs& a, int) {
  const ReducePlan p = reduce_plan(a.in);
  return p.blocks > 1 ? static_cast<std::size_t>(p.blocks * p.outer * p.inner) * 16 : 0;  // a fold: value and index
}

void reduce_blocks(Queue& q, const ReduceArgs& a) {
  const ReducePlan p = reduce_plan(a.in);
  visit_reduce(a, [&]<R op, class T>() {
    using F = Fold<op, T, Accum<T>>;
    using Out = ReduceOut<op, T>;
    static_assert(sizeof(F) <= 16);
    F* partial = p.blocks > 1 ? reinterpret_cast<F*>(q.scratch(reduce_blocks_scratch(a, 1))) : nullptr;
    const auto store = [&](std::int64_t o, std::int64_t j, const F& f) {
      a.out.as<Out>()[o * a.out.stride[0] + j * a.out.stride[1]] = reduced<Out>(f.result(p.n));
    };
    const std::int64_t cost = p.block * p.chunk;
    parallel_ranges(q.pool(), p.tasks(), std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cost)),
                    [&](std::int64_t b, std::int64_t e) {
                      for (std::int64_t t = b; t < e; ++t) {
                        const std::int64_t c = t % p.chunks, block = t / p.chunks % p.blocks, o = t / p.chunks / p.blocks;
                        const std::int64_t j0 = c * p.chunk, j1 = std::min(p.inner, j0 + p.chunk);
                        const std::int64_t k0 = block * p.block, k1 = std::min(p.n, k0 + p.block);
                        F piece[kColumnChunk];
                        reduce_piece<op, T>(a, p, o, k0, k1, j0, j1, piece);
                        for (std::int64_t j = j0; j < j1; ++j) {
                          if (partial) new (partial + (block * p.outer + o) * p.inner + j) F(piece[j - j0]);
                          else store(o, j, piece[j - j0]);
                        }
                      }
                    });
    if (!partial) return;
    for (std::int64_t o = 0; o < p.outer; ++o)
      for (std::int64_t j = 0; j < p.inner; ++j) {
        F f = partial[o * p.inner + j];
        for (std::int64_t block = 1; block < p.blocks; ++block) f.merge(partial[(block * p.outer + o) * p.inner + j]);
        store(o, j, f);
      }
  });
}

}  // namespace graft
