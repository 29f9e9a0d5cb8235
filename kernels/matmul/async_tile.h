// A tile of a product whose panels stream through shared memory by cp.async: the body of 4_async and of 6_split_k for f32 and f64.
#pragma once
#include "kernels/matmul/tile.h"
#include "kernels/simt/prims.h"

namespace graft::GRAFT_SIMT {

// R: rows and columns per thread; AK, BK: the operand is dense along k (else along m, n). Panels stay as they lie in memory, [line, k] or [k, line], because
// cp.async cannot turn them; a thread then reads four k of a line at once, or four lines of a k.
template <class T, int R, bool AK, bool BK>
struct AsyncTile {
  static constexpr int kThreads = 256, kSide = 16 * R, kDepth = 16, kStages = 3, V = kPiece<T>;
  // Lines of k are one piece longer than k: the pitch of 20 words spreads the lines of a quarter warp over all banks.
  static constexpr int kPitchK = kDepth + V;
  static constexpr int kPanelA = AK ? kSide * kPitchK : kDepth * kSide, kPanelB = BK ? kSide * kPitchK : kDepth * kSide;
  static constexpr std::size_t kBytes = std::size_t{kStages} * (kPanelA + kPanelB) * sizeof(T);
  // Lines of a thread: 16 apart where it reads along k, groups of four 64 apart where it reads along lines.
  static constexpr int kColumns = BK ? 1 : 4;  // neighbours among a thread's columns
  static __device__ __forceinline__ int row_of(int ty, int i) { return AK ? ty + 16 * i : ty * 4 + i / 4 * 64 + i % 4; }
  static __device__ __forceinline__ int column_of(int tx, int j) { return BK ? tx + 16 * j : tx * 4 + j / 4 * 64 + j % 4; }

  // p: the panel's first line; step: stride of the axis that is not dense; lines, left: how many lines and how much of k there are from here
  template <bool AlongK>
  static __device__ __forceinline__ void issue(T* s, const T* p, std::int64_t step, std::int64_t k0, std::int64_t lines, std::int64_t left, int id) {
    constexpr int pieces = kDepth * kSide / V, across = AlongK ? kDepth / V : kSide / V;
    GRAFT_UNROLL for (int e = id; e < pieces; e += kThreads) {
      const int slow = e / across, fast = e % across * V;
      const int valid = AlongK ? (slow < lines ? clamp_to<V>(left - fast) : 0) : (slow < left ? clamp_to<V>(lines - fast) : 0);
      const T* from = AlongK ? p + slow * step + k0 + fast : p + (k0 + slow) * step + fast;
      cp_async_16(s + (AlongK ? slow * kPitchK + fast : slow * kSide + fast), valid ? from : p, valid * static_cast<int>(sizeof(T)));
    }
  }
  template <bool AlongK, bool Rows>
  static __device__ __forceinline__ void load_lines(T (&v)[R], const T* s, int l, int at) {  // the R values of one k
    GRAFT_UNROLL for (int i = 0; i < R; i += AlongK ? 1 : 4) {
      if constexpr (AlongK) {
        v[i] = s[(Rows ? row_of(at, i) : column_of(at, i)) * kPitchK + l];
      } else {
        const auto g = group_at<T, 4>(s + l * kSide + (Rows ? row_of(at, i) : column_of(at, i)));
        for (int e = 0; e < 4; ++e) v[i + e] = g.v[e];
      }
    }
  }

  // sum += A[i0 .., k_begin .. k_end) B[.., j0 ..]; shared: kBytes
  static __device__ __forceinline__ void product(const MatmulArgs& a, const Tile& t, std::int64_t k_begin, std::int64_t k_end, T* shared, T (&sum)[R][R]) {
    const int id = static_cast<int>(threadIdx.x), tx = id % 16, ty = id / 16;
    const std::int64_t a_step = AK ? a.a.stride[1] : a.a.stride[2], b_step = BK ? a.b.stride[2] : a.b.stride[1];
    const T* pa = a.a.as<const T>() + t.batch * a.a.stride[0] + t.i0 * a.a.stride[1];
    const T* pb = a.b.as<const T>() + t.batch * a.b.stride[0] + t.j0 * a.b.stride[2];
    const std::int64_t rows = a.c.shape[1] - t.i0, cols = a.c.shape[2] - t.j0;
    const int steps = static_cast<int>((k_end - k_begin + kDepth - 1) / kDepth);
    const auto fetch = [&](int step) {
      if (step < steps) {
        T* s = shared + step % kStages * (kPanelA + kPanelB);
        const std::int64_t k0 = k_begin + std::int64_t{step} * kDepth;
        issue<AK>(s, pa, a_step, k0, rows, k_end - k0, id);
        issue<BK>(s + kPanelA, pb, b_step, k0, cols, k_end - k0, id);
      }
      cp_async_commit();  // an empty group too: the wait below counts groups
    };
    for (int s = 0; s < kStages - 1; ++s) fetch(s);
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // everybody's copies of this stage are there, and everybody is done with the stage that the next fetch overwrites
      fetch(step + kStages - 1);
      const T* sa = shared + step % kStages * (kPanelA + kPanelB);
      const T* sb = sa + kPanelA;
      GRAFT_UNROLL for (int l0 = 0; l0 < kDepth; l0 += V) {
        if constexpr (AK) {
          Piece<T> x[R];
          GRAFT_UNROLL for (int i = 0; i < R; ++i) x[i] = group_at<T, V>(sa + row_of(ty, i) * kPitchK + l0);
          if constexpr (BK) {
            GRAFT_UNROLL for (int j = 0; j < R; ++j) {
              const auto y = group_at<T, V>(sb + column_of(tx, j) * kPitchK + l0);
              GRAFT_UNROLL for (int l = 0; l < V; ++l)
                GRAFT_UNROLL for (int i = 0; i < R; ++i) sum[i][j] += x[i].v[l] * y.v[l];
            }
          } else {
            GRAFT_UNROLL for (int l = 0; l < V; ++l) {
              T y[R];
              load_lines<BK, false>(y, sb, l0 + l, tx);
              GRAFT_UNROLL for (int i = 0; i < R; ++i)
                GRAFT_UNROLL for (int j = 0; j < R; ++j) sum[i][j] += x[i].v[l] * y[j];
            }
          }
        } else {
          GRAFT_UNROLL for (int l = 0; l < V; ++l) {
            T x[R], y[R];
            load_lines<AK, true>(x, sa, l0 + l, ty);
            load_lines<BK, false>(y, sb, l0 + l, tx);
            GRAFT_UNROLL for (int i = 0; i < R; ++i)
              GRAFT_UNROLL for (int j = 0; j < R; ++j) sum[i][j] += x[i] * y[j];
          }
        }
      }
    }
  }
  // put.operator()<N>(row, column, sums): of the tile, N neighbours of a row
  template <class Put>
  static __device__ __forceinline__ void each(const T (&sum)[R][R], Put put) {
    const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
    GRAFT_UNROLL for (int i = 0; i < R; ++i)
      GRAFT_UNROLL for (int j = 0; j < R; j += kColumns) put.template operator()<kColumns>(row_of(ty, i), column_of(tx, j), &sum[i][j]);
  }
};

}  // namespace graft::GRAFT_SIMT
