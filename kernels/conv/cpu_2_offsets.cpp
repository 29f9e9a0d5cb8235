// Direct convolution by offset tables, f32: a register tile is kRows pixels x 2 vectors of channels. A step of the sum is one filter tap
// (c, r, s): its inputs lie at `pixel pointer + offset[tap]`, so nothing is unfolded (no im2col) and NCHW, NHWC, strides, dilation and
// groups are only different tables. The input gradient is the same walk over dy with flipped taps, one pass per stride phase; the weight
// gradient exchanges the roles: rows are taps, steps are pixels. Padding is a zero border in a per-thread copy of one image. Bound: 2 n k p
// q c r s FLOPs at the FMA rate; per step 2 vector loads, kRows broadcasts and one table entry feed 2 kRows multiply-adds.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/cpu_2_offsets.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv/offsets.h"
#include "kernels/conv/rows.h"
#include "kernels/simd/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

using F32T = hn::ScalableTag<float>;
using F32V = hn::Vec<F32T>;
constexpr int kRows = 6;             // 6 pointers stay in general registers, 12 sums in vector registers
constexpr std::int64_t kBlock = 24;  // pixels whose inputs stay in L1 while the channel tiles pass

HWY_INLINE std::int64_t tile_width() { return static_cast<std::int64_t>(2 * hn::Lanes(F32T())); }

// sum over l < steps of rows[r][offset[l]] * b[l * b_step + column]
HWY_INLINE void offset_tile(std::int64_t steps, const float* const* rows, const std::int32_t* HWY_RESTRICT offset,
                            const float* HWY_RESTRICT b, std::int64_t b_step, F32V (&out)[kRows][2]) {
  const F32T d;
  const auto lanes = hn::Lanes(d);
  F32V c[kRows][2];
  const float* p[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    c[r][0] = c[r][1] = hn::Zero(d);
    p[r] = rows[r];
  }
  for (std::int64_t l = 0; l < steps; ++l) {
    const std::int64_t o = offset[l];
    const F32V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F32V x = hn::Set(d, p[r][o]);
      c[r][0] = hn::MulAdd(x, b0, c[r][0]);
      c[r][1] = hn::MulAdd(x, b1, c[r][1]);
    }
    b += b_step;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    out[r][0] = c[r][0];
    out[r][1] = c[r][1];
  }
}

// One walk: for every pixel (i, j) and channel k, out = sum over taps of in[pixel + offset] * panel[tap][k] (+ bias)(relu).
void walk_plane(const ConvWalk& w, std::int64_t begin, std::int64_t end) {
  const F32T d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t width = 2 * lanes;
  const bool rows_out = w.out_channel == 1;                                       // channels side by side
  const bool plane_out = w.out_col == 1 && (w.rows == 1 || w.out_row == w.cols);  // pixels side by side
  alignas(64) float stage[kBlock * 2 * (HWY_MAX_BYTES / 4)];
  for (std::int64_t t0 = begin; t0 < end; t0 += kBlock) {
    const std::int64_t count = std::min(kBlock, end - t0);
    const float* in[kBlock];
    std::int64_t to[kBlock];
    for (std::int64_t t = 0; t < kBlock; ++t) {
      const std::int64_t at = t0 + std::min(t, count - 1), i = at / w.cols, j = at % w.cols;
      in[t] = w.in + i * w.in_row + j * w.in_col;
      to[t] = i * w.out_row + j * w.out_col;
    }
    for (std::int64_t k = 0; k < w.channels; k += width) {
      const std::int64_t valid = std::min(width, w.channels - k);
      const float* panel = w.panel + k * w.taps;
      F32V b0 = hn::Zero(d), b1 = hn::Zero(d);
      if (w.bias) {
        float bias[2 * (HWY_MAX_BYTES / 4)] = {};
        for (std::int64_t c = 0; c < valid; ++c) bias[c] = w.bias[(k + c) * w.bias_step];
        b0 = hn::LoadU(d, bias);
        b1 = hn::LoadU(d, bias + lanes);
      }
      for (std::int64_t t = 0; t < count; t += kRows) {
        F32V sum[kRows][2];
        offset_tile(w.taps, in + t, w.offset, panel, width, sum);
        for (int r = 0; r < kRows; ++r) {
          auto v0 = sum[r][0], v1 = sum[r][1];
          if (w.bias) {
            v0 = hn::Add(v0, b0);
            v1 = hn::Add(v1, b1);
          }
          if (w.relu) {
            v0 = hn::IfThenElse(hn::Lt(v0, hn::Zero(d)), hn::Zero(d), v0);
            v1 = hn::IfThenElse(hn::Lt(v1, hn::Zero(d)), hn::Zero(d), v1);
          }
          if (rows_out && valid == width && t + r < count) {
            float* out = w.out + to[t + r] + k;
            hn::StoreU(v0, d, out);
            hn::StoreU(v1, d, out + lanes);
          } else {
            hn::StoreU(v0, d, stage + (t + r) * width);
            hn::StoreU(v1, d, stage + (t + r) * width + lanes);
          }
        }
      }
      if (rows_out && valid == width) continue;
      if (plane_out) {
        // stage [count][width] -> rows of `count` pixels per channel
        float* out = w.out + to[0] + k * w.out_channel;
        std::int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
        const hn::FixedTag<float, 4> q;
        for (; c + 4 <= valid; c += 4) {
          std::int64_t t = 0;
          for (; t + 4 <= count; t += 4) {
            const float* s = stage + t * width + c;
            const auto r0 = hn::LoadU(q, s), r1 = hn::LoadU(q, s + width), r2 = hn::LoadU(q, s + 2 * width),
                       r3 = hn::LoadU(q, s + 3 * width);
            const auto a = hn::InterleaveLower(q, r0, r2), b = hn::InterleaveLower(q, r1, r3);
            const auto e = hn::InterleaveUpper(q, r0, r2), f = hn::InterleaveUpper(q, r1, r3);
            hn::StoreU(hn::InterleaveLower(q, a, b), q, out + c * w.out_channel + t);
            hn::StoreU(hn::InterleaveUpper(q, a, b), q, out + (c + 1) * w.out_channel + t);
            hn::StoreU(hn::InterleaveLower(q, e, f), q, out + (c + 2) * w.out_channel + t);
            hn::StoreU(hn::InterleaveUpper(q, e, f), q, out + (c + 3) * w.out_channel + t);
          }
          for (; t < count; ++t)
            for (std::int64_t l = 0; l < 4; ++l) out[(c + l) * w.out_channel + t] = stage[t * width + c + l];
        }
#endif
        for (; c < valid; ++c)
          for (std::int64_t t = 0; t < count; ++t) out[c * w.out_channel + t] = stage[t * width + c];
      } else {
        for (std::int64_t t = 0; t < count; ++t)
          for (std::int64_t c = 0; c < valid; ++c) w.out[to[t] + (k + c) * w.out_channel] = stage[t * width + c];
      }
    }
  }
}

// sums[k tile][tap][width] += over pixels of in[pixel offset + tap offset] * dy[pixel][k]; dy_packed holds one block of pixels.
void walk_weights(const ConvWeightWalk& w) {
  const F32T d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t width = 2 * lanes;
  for (std::int64_t k = 0; k < w.channels; k += width) {
    const std::int64_t valid = std::min(width, w.channels - k);
    for (std::int64_t t0 = 0; t0 < w.pixels; t0 += kWeightBlock) {
      const std::int64_t count = std::min(kWeightBlock, w.pixels - t0);
      // dy of these pixels as [pixel][width]
      const float* b = w.packed;
      std::int64_t step = width;
      if (w.dy_channel == 1 && w.dy_plane && valid == width) {
        b = w.dy + t0 * w.dy_col + k;
        step = w.dy_col;
      } else if (w.dy_col == 1 && w.dy_plane) {
        if (valid < width) std::fill(w.packed, w.packed + count * width, 0.0f);
        pack_transposed(w.dy + k * w.dy_channel + t0, w.dy_channel, valid, count, w.packed, width);
      } else {
        std::fill(w.packed, w.packed + count * width, 0.0f);
        for (std::int64_t t = 0; t < count; ++t)
          for (std::int64_t c = 0; c < valid; ++c)
            w.packed[t * width + c] = w.dy[(k + c) * w.dy_channel + (t0 + t) / w.dy_cols * w.dy_row + (t0 + t) % w.dy_cols * w.dy_col];
      }
      float* sums = w.sums + k * w.tap_stride;
      for (std::int64_t l = w.tap_begin; l < w.tap_end; l += kRows) {
        const float* rows[kRows];
        for (int r = 0; r < kRows; ++r) rows[r] = w.in + w.tap_offset[std::min(l + r, w.tap_end - 1)];
        F32V sum[kRows][2];
        offset_tile(count, rows, w.pixel_offset + t0, b, step, sum);
        for (int r = 0; r < kRows && l + r < w.tap_end; ++r) {
          float* s = sums + (l + r) * width;
          hn::StoreU(hn::Add(hn::LoadU(d, s), sum[r][0]), d, s);
          hn::StoreU(hn::Add(hn::LoadU(d, s + lanes), sum[r][1]), d, s + lanes);
        }
      }
    }
  }
}

std::int64_t conv_tile_width() { return tile_width(); }

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(walk_plane);
HWY_EXPORT(walk_weights);
HWY_EXPORT(conv_tile_width);

namespace conv_offsets {

std::int64_t width() { return HWY_DYNAMIC_DISPATCH(conv_tile_width)(); }
void plane(const ConvWalk& w, std::int64_t begin, std::int64_t end) { HWY_DYNAMIC_DISPATCH(walk_plane)(w, begin, end); }
void weights(const ConvWeightWalk& w) { HWY_DYNAMIC_DISPATCH(walk_weights)(w); }

}  // namespace conv_offsets
}  // namespace graft
#endif
