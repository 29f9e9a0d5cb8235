// The tile product under the implicit GEMM rungs: 64 items of the image operand x against 64 items of the plain operand w, summed over
// steps. An element of x lies at item.offset + step.x and counts only where item.h + step.h and item.w + step.w lie inside the image, so
// padding is never stored. In the forward pass items of x are pixels and steps are (c, r, s); in the weight gradient items are (c, r, s)
// and steps are pixels: the same loads with the roles exchanged. Padding multiplies as zero: an infinite weight over padding gives NaN,
// where loops.h skips the tap.
#pragma once
#include "kernels/simt/simt.h"

#ifdef __CUDACC__
#define GRAFT_UNROLL _Pragma("unroll")  // an array indexed by a loop that is not unrolled lies in local memory
#else
#define GRAFT_UNROLL
#endif

namespace graft::GRAFT_SIMT::conv_tile {

inline constexpr int kSide = 64, kDeep = 16, kThreads = 256;
inline constexpr int kRow = kSide + 4;       // keeps 16-byte alignment; the writers along depth meet two to a bank instead of four
inline constexpr int kOutside = -(1 << 30);  // a row that no other summand brings back into the image

// visit_float without f64: these rungs sum in f32.
template <class F>
void visit_short_float(DType t, F&& f) {
  switch (t) {
    case DType::bf16: return f.template operator()<bf16>();
    case DType::f16: return f.template operator()<f16>();
    default: return f.template operator()<float>();
  }
}

struct Place {
  std::int64_t offset;
  int h, w;
};
struct Step {
  std::int64_t x, w;
  int row, col;
};
struct Tiles {
  float x[2][kDeep][kRow], w[2][kDeep][kRow];
  Step steps[2][kDeep];
};

// Which element of a tile this thread loads: lanes along items (neighbouring items are neighbours in memory) or along steps.
struct Share {
  int item, first, by;  // steps first + {0, 1, 2, 3} * by
  __device__ __forceinline__ explicit Share(bool deep) {
    const int t = static_cast<int>(threadIdx.x);
    item = deep ? t / 4 : t % kSide;
    first = deep ? t % 4 * 4 : t / kSide;
    by = deep ? 1 : 4;
  }
};

template <class T>
struct Operands {
  const T* x;
  const T* w;
  int height, width;    // of the image
  bool x_deep, w_deep;  // lanes along steps
  bool lanes_x;         // results: neighbouring threads take neighbouring items of x, else of w
};

// acc[i][j] += sum over steps [begin, end) of x item 4 xi + i times w item 4 wi + j. item_x(i) -> Place, item_w(j) -> offset or -1, step(d)
// -> Step with row = kOutside past the end. When kSums, thread t < 64 also leaves the sum of w item t in `sum`. Two buffers: while one is
// multiplied the next is on its way.
template <bool kSums, class T, class ItemX, class ItemW, class StepAt>
__device__ __forceinline__ void product(const Operands<T>& o, Tiles& s, int begin, int end, int xi, int wi, ItemX item_x, ItemW item_w,
                                        StepAt step, float (&acc)[4][4], float& sum) {
  const int t = static_cast<int>(threadIdx.x);
  const Share fx(o.x_deep), fw(o.w_deep);
  const Place px = item_x(fx.item);
  const std::int64_t pw = item_w(fw.item);
  const T* x = o.x + px.offset;
  const T* w = o.w + pw;
  const auto plan = [&](int slot, int d) { s.steps[slot][t] = d + t < end ? step(d + t) : Step{0, 0, kOutside, 0}; };
  float vx[4], vw[4];
  const auto fetch = [&](int slot) {
    GRAFT_UNROLL for (int j = 0; j < 4; ++j) {
      const Step& a = s.steps[slot][fx.first + j * fx.by];
      const unsigned row = px.h + a.row, col = px.w + a.col;
      const bool in = row < static_cast<unsigned>(o.height) && col < static_cast<unsigned>(o.width);
      vx[j] = in ? static_cast<float>(x[a.x]) : 0.0f;
      const Step& b = s.steps[slot][fw.first + j * fw.by];
      vw[j] = pw >= 0 && b.row != kOutside ? static_cast<float>(w[b.w]) : 0.0f;
    }
  };
  const auto put = [&](int slot) {
    GRAFT_UNROLL for (int j = 0; j < 4; ++j) {
      s.x[slot][fx.first + j * fx.by][fx.item] = vx[j];
      s.w[slot][fw.first + j * fw.by][fw.item] = vw[j];
    }
  };
  if (t < kDeep) plan(0, begin);
  __syncthreads();
  fetch(0);
  put(0);
  if (t < kDeep) plan(1, begin + kDeep);
  __syncthreads();
  int slot = 0;
  for (int d = begin; d < end; d += kDeep, slot ^= 1) {
    const bool more = d + kDeep < end;
    if (more) fetch(slot ^ 1);
    if (t < kDeep) plan(slot, d + 2 * kDeep);
    GRAFT_UNROLL for (int k = 0; k < kDeep; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&s.x[slot][k][4 * xi]), b = *reinterpret_cast<const float4*>(&s.w[slot][k][4 * wi]);
      const float ax[4] = {a.x, a.y, a.z, a.w}, bw[4] = {b.x, b.y, b.z, b.w};
      GRAFT_UNROLL for (int i = 0; i < 4; ++i) GRAFT_UNROLL for (int j = 0; j < 4; ++j) acc[i][j] += ax[i] * bw[j];
    }
    if (kSums && t < kSide)
      for (int k = 0; k < kDeep; ++k) sum += s.w[slot][k][t];
    if (more) put(slot ^ 1);
    __syncthreads();
  }
}

}  // namespace graft::GRAFT_SIMT::conv_tile
