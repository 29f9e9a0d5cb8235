// A tile of a product on the tensor cores, its panels streaming through swizzled shared memory: the body of 5_mma and of 6_split_k for bf16
// and f16.
#pragma once
#include "kernels/matmul/stream.h"

namespace graft::GRAFT_SIMT {

// A block does S x S of C by warps of WM x WN. AK, BK: the operand is dense along k (else along m, n). Panels keep the order they have in
// memory; where k is not the dense axis ldmatrix.trans turns them on the way to the registers.
template <class T, int S, int WM, int WN, bool AK, bool BK>
struct MmaTile {
  static constexpr int kSide = S, kDepth = 32, kStages = 4, kThreads = S / WM * (S / WN) * 32, kPanel = S * kDepth;
  static constexpr int MI = WM / 16, NI = WN / 8;
  static constexpr std::size_t kBytes = std::size_t{kStages} * 2 * kPanel * sizeof(T);
  using Sums = float[MI][NI][4];

  // Where 16-byte piece `p` of line `line` lies; low: the line's last three bits, handed over apart because they do not change over a
  // thread's lines. Eight lines that ldmatrix reads at one p fall into eight different 16-byte columns of the banks: lines of 64 bytes
  // (four pieces, two lines to a bank row) take bits 1 and 2 of the line, longer lines bits 0 to 2.
  template <bool AlongK>
  static __device__ __forceinline__ int at(int line, int p, int low) {
    return (line * (AlongK ? kDepth / 8 : S / 8) + (p ^ (AlongK ? low >> 1 : low))) * 8;
  }
  template <bool AlongK>
  struct Copy {  // `down`: a multiple of 8
    __device__ __forceinline__ T* operator()(T* panel, int slow, int fast, int down) const {
      return panel + at<AlongK>(slow + down, fast / 8, slow & 7);
    }
  };

  // sum += A[i0 .., k_begin .. k_end) B[.., j0 ..]; k_begin a multiple of 8; shared: kBytes
  static __device__ __forceinline__ void product(const MatmulArgs& a, const Tile& t, std::int64_t k_begin, std::int64_t k_end, T* shared,
                                                 Sums& sum) {
    const int id = static_cast<int>(threadIdx.x), q = id % 32 / 8, r = id % 8, wm = id / 32 / (S / WN) * WM, wn = id / 32 % (S / WN) * WN;
    const auto use = [&](const T* sa, const T* sb) {
      GRAFT_UNROLL for (int ks = 0; ks < kDepth; ks += 16) {
        unsigned x[MI][4], y[NI][2];
        // the four 8 x 8 matrices of A's fragment: (rows, k), (rows + 8, k), (rows, k + 8), (rows + 8, k + 8)
        GRAFT_UNROLL for (int i = 0; i < MI; ++i) {
          const int row = wm + i * 16;
          if constexpr (AK) ldmatrix_x4(x[i], sa + at<true>(row + q % 2 * 8 + r, ks / 8 + q / 2, r));
          else ldmatrix_x4_trans(x[i], sa + at<false>(ks + q / 2 * 8 + r, row / 8 + q % 2, r));
        }
        // of B's, two fragments at once: (k, columns), (k + 8, columns), (k, columns + 8), (k + 8, columns + 8)
        GRAFT_UNROLL for (int j = 0; j < NI; j += 2) {
          const int col = wn + j * 8;
          unsigned z[4];
          if constexpr (BK) ldmatrix_x4(z, sb + at<true>(col + q / 2 * 8 + r, ks / 8 + q % 2, r));
          else ldmatrix_x4_trans(z, sb + at<false>(ks + q % 2 * 8 + r, col / 8 + q / 2, r));
          y[j][0] = z[0], y[j][1] = z[1], y[j + 1][0] = z[2], y[j + 1][1] = z[3];
        }
        GRAFT_UNROLL for (int i = 0; i < MI; ++i) GRAFT_UNROLL for (int j = 0; j < NI; ++j)
            mma_m16n8k16<T>(sum[i][j], x[i], y[j], sum[i][j]);
      }
    };
    stream_tile<T, AK, BK, S, kDepth, kThreads, kStages, kPanel, kPanel>(a, t, k_begin, k_end, shared, Copy<AK>{}, Copy<BK>{}, use);
  }
  // put(row, column, sums): of the tile, two neighbours of a row
  template <class Put>
  static __device__ __forceinline__ void each(const Sums& sum, Put put) {
    const int id = static_cast<int>(threadIdx.x), lane = id % 32, wm = id / 32 / (S / WN) * WM, wn = id / 32 % (S / WN) * WN;
    GRAFT_UNROLL for (int i = 0; i < MI; ++i) GRAFT_UNROLL for (int j = 0; j < NI; ++j) GRAFT_UNROLL for (int h = 0; h < 2; ++h)
        put(wm + i * 16 + lane / 4 + 8 * h, wn + j * 8 + lane % 4 * 2, &sum[i][j][2 * h]);
  }
};
template <class T, bool AK, bool BK>
using LargeMmaTile = MmaTile<T, 128, 64, 32, AK, BK>;  // 8 warps
template <class T, bool AK, bool BK>
using SmallMmaTile = MmaTile<T, 64, 32, 32, AK, BK>;  // 4 warps

}  // namespace graft::GRAFT_SIMT
