// A tile of a product whose panels stream through shared memory by cp.async: the body of 4_async and of 6_split_k for f32 and f64.
#pragma once
#include "kernels/matmul/stream.h"

namespace graft::GRAFT_SIMT {

// R: rows and columns per thread; AK, BK: the operand is dense along k (else along m, n). Panels stay as they lie in memory, [line, k] or
// [k, line], because cp.async cannot turn them; a thread then reads four k of a line at once, or four lines of a k.
template <class T, int R, bool AK, bool BK>
struct AsyncTile {
  static constexpr int kThreads = 256, kSide = 16 * R, kDepth = 16, kStages = 4, V = kPiece<T>;
  // Lines of k are one piece longer than k: the pitch of 20 words spreads the lines of a quarter warp over all banks.
  static constexpr int kPitchK = kDepth + V;
  static constexpr int kPanelA = AK ? kSide * kPitchK : kDepth * kSide, kPanelB = BK ? kSide * kPitchK : kDepth * kSide;
  static constexpr std::size_t kBytes = std::size_t{kStages} * (kPanelA + kPanelB) * sizeof(T);
  // Lines of a thread: 16 apart where it reads along k, groups of four 64 apart where it reads along lines.
  static constexpr int kColumns = BK ? 1 : 4;  // neighbours among a thread's columns
  static __device__ __forceinline__ int row_of(int ty, int i) { return AK ? ty + 16 * i : ty * 4 + i / 4 * 64 + i % 4; }
  static __device__ __forceinline__ int column_of(int tx, int j) { return BK ? tx + 16 * j : tx * 4 + j / 4 * 64 + j % 4; }

  template <bool AlongK>
  struct Copy {
    __device__ __forceinline__ T* operator()(T* panel, int slow, int fast, int down) const {
      return panel + (slow + down) * (AlongK ? kPitchK : kSide) + fast;
    }
  };
  // Of a thread's R lines, the values of k from l on: four lines at a time where lines are dense ...
  template <bool Rows>
  static __device__ __forceinline__ void across_lines(T (&v)[R], const T* s, int l, int at) {
    GRAFT_UNROLL for (int i = 0; i < R; i += 4) {
      const auto g = group_at<T, 4>(s + l * kSide + (Rows ? row_of(at, i) : column_of(at, i)));
      GRAFT_UNROLL for (int e = 0; e < 4; ++e) v[i + e] = g.v[e];
    }
  }
  // ... and W of k at a time where k is.
  template <bool Rows, int W>
  static __device__ __forceinline__ void along_k(Group<T, W> (&v)[R], const T* s, int l, int at) {
    GRAFT_UNROLL for (int i = 0; i < R; ++i) v[i] = group_at<T, W>(s + (Rows ? row_of(at, i) : column_of(at, i)) * kPitchK + l);
  }

  // sum += A[i0 .., k_begin .. k_end) B[.., j0 ..]; shared: kBytes
  static __device__ __forceinline__ void product(const MatmulArgs& a, const Tile& t, std::int64_t k_begin, std::int64_t k_end, T* shared,
                                                 T (&sum)[R][R]) {
    const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
    constexpr int W = AK && BK ? V : 2;  // four of k beside the other operand's quads would not fit 128 registers
    const auto use = [&](const T* sa, const T* sb) {
      GRAFT_ROLLED for (int l0 = 0; l0 < kDepth; l0 += W) {
        [[maybe_unused]] Group<T, W> x[R], y[R];
        if constexpr (AK) along_k<true>(x, sa, l0, ty);
        if constexpr (BK && !AK) along_k<false>(y, sb, l0, tx);
        if constexpr (AK && BK) {
          GRAFT_UNROLL for (int j = 0; j < R; ++j) {
            const auto z = group_at<T, W>(sb + column_of(tx, j) * kPitchK + l0);
            GRAFT_UNROLL for (int l = 0; l < W; ++l) GRAFT_UNROLL for (int i = 0; i < R; ++i) sum[i][j] += x[i].v[l] * z.v[l];
          }
        } else {
          GRAFT_UNROLL for (int l = 0; l < W; ++l) {
            T u[R], v[R];
            if constexpr (!AK) across_lines<true>(u, sa, l0 + l, ty);
            if constexpr (!BK) across_lines<false>(v, sb, l0 + l, tx);
            GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; ++j) {
              if constexpr (AK) sum[i][j] += x[i].v[l] * v[j];
              else if constexpr (BK) sum[i][j] += u[i] * y[j].v[l];
              else sum[i][j] += u[i] * v[j];
            }
          }
        }
      }
    };
    stream_tile<T, AK, BK, kSide, kDepth, kThreads, kStages, kPanelA, kPanelB>(a, t, k_begin, k_end, shared, Copy<AK>{}, Copy<BK>{}, use);
  }
  // put.operator()<N>(row, column, sums): of the tile, N neighbours of a row
  template <class Put>
  static __device__ __forceinline__ void each(const T (&sum)[R][R], Put put) {
    const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
    GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; j += kColumns)
        put.template operator()<kColumns>(row_of(ty, i), column_of(tx, j), &sum[i][j]);
  }
};

}  // namespace graft::GRAFT_SIMT
