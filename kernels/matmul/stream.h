// How a panel of an operand streams into shared memory by cp.async, 16 bytes a copy. Private to the family.
#pragma once
#include "kernels/matmul/tile.h"
#include "kernels/simt/prims.h"

namespace graft::GRAFT_SIMT {

// Panels of S lines (rows of A, columns of B) and Depth of k, one after the other along k. AlongK: memory is [line, k] with k dense; else
// [k, line] with lines dense. A thread keeps one column of pieces, so that an address, a bound and a place in shared memory serve all its
// copies.
template <class T, bool AlongK, int S, int Depth, int Threads>
struct Stream {
  static constexpr int V = kPiece<T>, kAcross = (AlongK ? Depth : S) / V, kDown = Threads / kAcross, kCopies = S * Depth / V / Threads;
  static_assert(Threads % kAcross == 0 && kCopies * Threads * V == S * Depth);
  const T* from;
  std::int64_t step;  // elements, of the axis that is not dense
  int slow, fast;     // this thread's first piece: along the axis that is not dense, along the dense one
  int room;           // lines that exist from the panel's first (AlongK), elements that exist of this thread's pieces (else)

  // p: first element of the first panel; lines: how many there are from there
  __device__ __forceinline__ Stream(const T* p, std::int64_t step_, std::int64_t lines, int id)
      : step(step_), slow(id / kAcross), fast(id % kAcross * V), room(AlongK ? clamp_to<S>(lines) : clamp_to<V>(lines - fast)) {
    from = p + slow * step + fast;
  }
  // The next panel; left: of k, at most Depth. place(slow, piece): where that piece goes. Pieces outside become zeros: their address is not
  // looked at.
  template <class Place>
  __device__ __forceinline__ void next(int left, Place place) {
    GRAFT_UNROLL for (int c = 0; c < kCopies; ++c) {
      const int at = slow + c * kDown;
      const int valid = AlongK ? (at < room ? clamp_to<V>(left - fast) : 0) : (at < left ? room : 0);
      cp_async_16(place(c * kDown), from + c * kDown * step, valid * static_cast<int>(sizeof(T)));
    }
    from += AlongK ? Depth : Depth * step;
  }
};

// Both operands of a tile, `Stages` panels ahead. use(sa, sb) is called for each panel of k in turn, when its A and B are there for all
// threads. copy_a, copy_b: (stage's panel, rows further down) -> where a thread's piece goes.
template <class T, bool AK, bool BK, int S, int Depth, int Threads, int Stages, int PanelA, int PanelB, class CopyA, class CopyB, class Use>
__device__ __forceinline__ void stream_tile(const MatmulArgs& a, const Tile& t, std::int64_t k_begin, std::int64_t k_end, T* shared,
                                            CopyA copy_a, CopyB copy_b, Use use) {
  const int id = static_cast<int>(threadIdx.x);
  const std::int64_t sa = a.a.stride[2], sb = a.b.stride[1];
  const T* pa = a.a.as<const T>() + t.batch * a.a.stride[0] + t.i0 * a.a.stride[1] + k_begin * sa;
  const T* pb = a.b.as<const T>() + t.batch * a.b.stride[0] + t.j0 * a.b.stride[2] + k_begin * sb;
  Stream<T, AK, S, Depth, Threads> from_a(pa, AK ? a.a.stride[1] : sa, a.c.shape[1] - t.i0, id);
  Stream<T, BK, S, Depth, Threads> from_b(pb, BK ? a.b.stride[2] : sb, a.c.shape[2] - t.j0, id);
  const int steps = static_cast<int>((k_end - k_begin + Depth - 1) / Depth),
            tail = static_cast<int>(k_end - k_begin - std::int64_t{steps - 1} * Depth);
  const auto fetch = [&](int step) {
    if (step < steps) {
      T* to = shared + step % Stages * (PanelA + PanelB);
      const int left = step == steps - 1 ? tail : Depth;
      from_a.next(left, [&](int down) { return copy_a(to, from_a.slow, from_a.fast, down); });
      from_b.next(left, [&](int down) { return copy_b(to + PanelA, from_b.slow, from_b.fast, down); });
    }
    cp_async_commit();  // an empty group too: the wait below counts groups
  };
  for (int s = 0; s < Stages - 1; ++s) fetch(s);
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<Stages - 2>();
    __syncthreads();  // everybody's copies of this stage are there, and everybody is done with the stage that the next fetch overwrites
    fetch(step + Stages - 1);
    const T* panel = shared + step % Stages * (PanelA + PanelB);
    use(panel, panel + PanelA);
  }
}

}  // namespace graft::GRAFT_SIMT
