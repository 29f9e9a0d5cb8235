// A tile of 7_wgmma: how its panels lie in shared memory, how they get there, and how its sums leave. Private to the family.
#pragma once
#include "kernels/matmul/tile.h"
#include "kernels/simt/hopper.h"

namespace graft::GRAFT_SIMT {

// A block does 128 x N of C, each of two warp groups 64 x N. AK, BK: the operand is dense along k (else along m, n). Every row of shared
// memory is one span of the 128-byte swizzle, 64 k's of a line or 64 lines at one k: TMA writes and wgmma reads the order that memory has.
template <class T, int N, bool AK, bool BK>
struct WgmmaTile {
  static constexpr int kRows = 128, kCols = N, kDepth = 64, kStages = N == 256 ? 4 : 6;
  static constexpr int kThreads = 384;  // a warp group that loads, two that multiply
  static constexpr int kSpan = 64, kBytesA = kRows * kDepth * 2, kStage = kBytesA + N * kDepth * 2;
  static constexpr std::size_t kBytes = std::size_t{kStages} * kStage;
  static constexpr unsigned kBox = kSpan * kDepth * 2, kEight = 8 * 128;  // bytes of 64 lines, of eight rows
  using Sums = float[N / 2];

  // As TMA sees an operand: axis 0 the dense one, then the other, then the batch, which is one where it is broadcast. `lines`: of a box
  // along k.
  static TensorTile operand(const char* name, const View& v, bool along_k, int k_axis, int lines) {
    const int dense = along_k ? k_axis : 3 - k_axis, other = 3 - dense;
    const bool batches = v.shape[0] > 1 && v.stride[0] != 0;
    return {.name = name,
            .data = v.data,
            .dtype = v.dtype,
            .rank = 3,
            .size = {v.shape[dense], v.shape[other], batches ? v.shape[0] : 1},
            .stride = {1, v.stride[other], batches ? v.stride[0] : 8},
            .box = {kSpan, along_k ? lines : kDepth, 1},
            .swizzle = Swizzle::b128};
  }
  static TensorMap map_a(const MatmulArgs& a) { return tensor_map(operand("A", a.a, AK, 2, kRows)); }
  static TensorMap map_b(const MatmulArgs& a) { return tensor_map(operand("B", a.b, BK, 1, N)); }

  // One thread: all lines of a panel, from this line and k on.
  template <bool AlongK, int Lines>
  static __device__ __forceinline__ void load(const TensorMap& map, unsigned char* to, Mbarrier* full, int line, int k, int batch) {
    if constexpr (AlongK) tma_load(map, to, full, k, line, batch);
    else
      for (int i = 0; i < Lines / kSpan; ++i) tma_load(map, to + i * kBox, full, line + i * kSpan, k, batch);
  }
  static __device__ __forceinline__ void load_a(const TensorMap& map, unsigned char* to, Mbarrier* full, int i, int k, int batch) {
    load<AK, kRows>(map, to, full, i, k, batch);
  }
  static __device__ __forceinline__ void load_b(const TensorMap& map, unsigned char* to, Mbarrier* full, int j, int k, int batch) {
    load<BK, N>(map, to, full, j, k, batch);
  }

  // sum (+)= A B for rows 64 `half` .. of a stage; 64 rows of A are a box either way
  static __device__ __forceinline__ void multiply(Sums& sum, const unsigned char* stage, int half, bool first) {
    const std::uint64_t a = wgmma_descriptor(stage + half * static_cast<int>(kBox), Swizzle::b128, AK ? 0 : kBox, kEight);
    const std::uint64_t b = wgmma_descriptor(stage + kBytesA, Swizzle::b128, BK ? 0 : kBox, kEight);
    GRAFT_UNROLL for (unsigned k = 0; k < kDepth; k += 16)
        wgmma_m64k16<T, N, !AK, !BK>(sum, wgmma_advanced(a, k * (AK ? 2 : 128)), wgmma_advanced(b, k * (BK ? 2 : 128)), !first || k > 0);
  }

  // Lane t of four gets the four lanes' v[t], in their order.
  static __device__ __forceinline__ void transpose_quad(unsigned (&v)[4]) {
    const bool high = threadIdx.x & 2, odd = threadIdx.x & 1;
    const unsigned x = __shfl_xor_sync(0xffffffffu, high ? v[0] : v[2], 2), y = __shfl_xor_sync(0xffffffffu, high ? v[1] : v[3], 2);
    v[0] = high ? x : v[0], v[1] = high ? y : v[1], v[2] = high ? v[2] : x, v[3] = high ? v[3] : y;
    const unsigned z = __shfl_xor_sync(0xffffffffu, odd ? v[0] : v[1], 1), w = __shfl_xor_sync(0xffffffffu, odd ? v[2] : v[3], 1);
    v[0] = odd ? z : v[0], v[1] = odd ? v[1] : z, v[2] = odd ? w : v[2], v[3] = odd ? v[3] : w;
  }
  // Ends the elements of C at rows i and i + 8. A lane has two neighbours of every eight columns; four lanes exchange them so that each
  // stores 16 bytes.
  static __device__ __forceinline__ void store(const MatmulArgs& a, const Tile& t, std::int64_t i, const Sums& sum, bool pieces) {
    const std::int64_t m = a.c.shape[1], n = a.c.shape[2], step = a.c.stride[2];
    const int lane = static_cast<int>(threadIdx.x) % 4;
    T* const first = a.c.as<T>() + t.batch * a.c.stride[0] + i * a.c.stride[1];
    // Columns outside, rows inside: what both rows need of a column (its bias, its bounds) is not kept over the whole tile.
    GRAFT_UNROLL for (int c = 0; c < N; c += 32) GRAFT_UNROLL for (int h = 0; h < 2; ++h) {
      const bool inside = i + 8 * h < m;
      T* row = first + 8 * h * a.c.stride[1];
      unsigned v[4];
      GRAFT_UNROLL for (int q = 0; q < 4; ++q) {
        const std::int64_t j = t.j0 + c + 8 * q + 2 * lane;
        Group<T, 2> out{};
        GRAFT_UNROLL for (int e = 0; e < 2; ++e) if (inside && j + e < n) {
          out.v[e] = finished(a, row + (j + e) * step, j + e, sum[c / 2 + 4 * q + 2 * h + e]);
          if (!pieces) row[(j + e) * step] = out.v[e];
        }
        v[q] = out.v[0].bits | static_cast<unsigned>(out.v[1].bits) << 16;
      }
      if (!pieces) continue;
      transpose_quad(v);
      const std::int64_t j = t.j0 + c + 8 * lane;
      if (inside && j + 8 <= n) *reinterpret_cast<uint4*>(row + j) = make_uint4(v[0], v[1], v[2], v[3]);
      else if (inside)
        GRAFT_UNROLL for (int e = 0; e < 8; ++e) if (j + e < n) row[j + e].bits = static_cast<std::uint16_t>(v[e / 2] >> 16 * (e % 2));
    }
  }
};

}  // namespace graft::GRAFT_SIMT
