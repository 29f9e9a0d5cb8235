// cross-entropy and its gradient at once for large vocabularies: a block of 512 per row, 16 bytes per access; a row of any length and
// beginning, the elements before its first boundary and after its last go one by one. Rung 3 reads the row again from the cache; rung 4
// keeps it in shared memory, where every thread finds its own lines, so that the device's memory sees one read and one write per element
// (with smoothing a second read). Limits: dense rows, dlogits as far from a boundary as the logits, at least 1024 classes; rung 4: a row of
// at most 98 KB, 50 thousand 16-bit logits (compute capability 8.0 and up).
#include "kernels/loss/lines.h"
#include "kernels/loss/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace cross;

// Columns of a row: [0, head) before the first 16-byte boundary, then `lines` whole ones, then the rest.
template <class T>
struct Cut {
  static constexpr int V = 16 / sizeof(T);
  std::int64_t head, lines;
  __device__ explicit Cut(const Row<const T>& x) {
    const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(x.data) % 16 / sizeof(T));
    head = std::min<std::int64_t>(x.n, past ? V - past : 0);
    lines = (x.n - head) / V;
  }
  __device__ std::int64_t tail() const { return head + lines * V; }
};

template <class T, bool held>
__global__ void __launch_bounds__(512) fused_lines(CrossEntropyFusedArgs a, FaultSink faults) {
  using A = Accum<T>;
  constexpr int V = 16 / sizeof(T);
  GRAFT_SHARED(Running<A>, warps, [32]);
  GRAFT_SHARED(A, sums, [32]);
  Line<T>* kept = nullptr;
  if constexpr (held) {
    GRAFT_DYNAMIC_SHARED(Line<T>, row_lines);
    kept = row_lines;
  }
  A* s = sums;
  const std::int64_t r = blockIdx.x;
  const Row<const T> x = row<const T>(a.logits, r);
  const Row<T> dx = row<T>(a.dlogits, r);
  const Cut<T> cut(x);
  const A hit = hit_of(a, r, x);
  const auto* from = reinterpret_cast<const Line<T>*>(x.data + cut.head);
  auto* to = reinterpret_cast<Line<T>*>(dx.data + cut.head);
  // the single elements: the head's, then the tail's, one thread each
  const std::int64_t singles = x.n - cut.lines * V;
  const std::int64_t single = threadIdx.x < cut.head ? std::int64_t{threadIdx.x} : cut.tail() + threadIdx.x - cut.head;
  const A alone = threadIdx.x < singles ? static_cast<A>(x[single]) : A(0);
  Running<A> v{-INFINITY, 0};
  if (threadIdx.x < singles) v = {alone, 1};
  for (std::int64_t i = threadIdx.x; i < cut.lines; i += blockDim.x) {
    const Line<T> p = from[i];
    if constexpr (held) kept[i] = p;
    v = join_piece<T>(v, p);
  }
  const auto t = finish_fused<T>(a, faults, r, x, hit, join_block(v, warps), threadIdx.x, blockDim.x, [s](A e) { return block_sum(e, s); });
  if (threadIdx.x < singles) dx[single] = static_cast<T>(gradient<T>(t, a.class_weight, single, alone));
  for (std::int64_t i = threadIdx.x; i < cut.lines; i += blockDim.x) {
    Line<T> p = held ? kept[i] : from[i];
    for (int k = 0; k < V; ++k) p.v[k] = static_cast<T>(gradient<T>(t, a.class_weight, cut.head + i * V + k, static_cast<A>(p.v[k])));
    to[i] = p;
  }
}

}  // namespace

void cross_entropy_fused_pieces(Queue& q, const CrossEntropyFusedArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, fused_lines<T, false>, static_cast<unsigned>(a.logits.shape[0]), 512, 0, a, q.fault(FaultKind::target));
  });
}
void cross_entropy_fused_held(Queue& q, const CrossEntropyFusedArgs& a) {
  if (a.logits.shape[0] == 0) return;
  visit_float(a.logits.dtype, [&]<class T>() {
    launch(q, fused_lines<T, true>, static_cast<unsigned>(a.logits.shape[0]), 512,
           static_cast<std::size_t>(a.logits.shape[1]) * sizeof(T) / 16 * 16, a, q.fault(FaultKind::target));
  });
}

}  // namespace graft::GRAFT_SIMT
