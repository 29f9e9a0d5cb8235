// Convolution and its input gradient as one walk: passes over an image with a border of zeros, each the same taps for all of its outputs.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/conv/conv.h"

namespace graft {

struct ConvBorder {
  std::int64_t top, left, bottom, right;
  bool any() const { return top > 0 || left > 0 || bottom > 0 || right > 0; }
};
// Where a tap lies from an output's place in the bordered image, and its element of the first filter.
struct ConvTap {
  std::int64_t y, x, weight;
};
struct ConvPass {
  std::vector<ConvTap> taps;
  std::int64_t rows, cols, step_y, step_x;   // outputs, and how far apart they are in the bordered image
  std::int64_t out_shift, out_row, out_col;  // elements
};
struct ConvPasses {
  View in, out, weight, bias;
  bool relu;
  std::int64_t groups, group_step, out_step, in_step;  // elements of weight from group to group, from channel to channel of one
  ConvBorder border;
  std::vector<ConvPass> passes;
};

inline std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

inline ConvPasses forward_passes(const ConvArgs& a) {
  const ConvGeometry& g = a.geometry;
  const auto& stride = a.weight.stride;
  ConvPasses c{a.x,
               a.y,
               a.weight,
               a.bias,
               a.relu,
               g.groups,
               a.weight.shape[0] / g.groups * stride[0],
               stride[0],
               stride[1],
               {g.pad_top, g.pad_left, g.pad_bottom, g.pad_right},
               {}};
  ConvPass p{{}, a.y.shape[2], a.y.shape[3], g.stride_h, g.stride_w, 0, a.y.stride[2], a.y.stride[3]};
  for (std::int64_t r = 0; r < a.weight.shape[2]; ++r)
    for (std::int64_t s = 0; s < a.weight.shape[3]; ++s)
      p.taps.push_back({r * g.dilation_h, s * g.dilation_w, r * stride[2] + s * stride[3]});
  c.passes.push_back(std::move(p));
  return c;
}

// dx[h] takes dy[p] where p stride + r dilation = h + pad. Positions of one phase h = phase + stride i see the same taps r, at p = p0(r) +
// i.
inline ConvPasses input_grad_passes(const ConvInputGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  const auto& stride = a.weight.stride;
  const std::int64_t h = a.dx.shape[2], w = a.dx.shape[3], r_count = a.weight.shape[2], s_count = a.weight.shape[3];
  const auto before = [](std::int64_t taps, std::int64_t dilation, std::int64_t pad, std::int64_t step) {
    return std::max<std::int64_t>(0, -floor_div(pad - (taps - 1) * dilation, step));
  };
  const ConvBorder border{before(r_count, g.dilation_h, g.pad_top, g.stride_h), before(s_count, g.dilation_w, g.pad_left, g.stride_w),
                          std::max<std::int64_t>(0, (h - 1 + g.pad_top) / g.stride_h - (a.dy.shape[2] - 1)),
                          std::max<std::int64_t>(0, (w - 1 + g.pad_left) / g.stride_w - (a.dy.shape[3] - 1))};
  ConvPasses c{a.dy, a.dx, a.weight, a.bias, false, g.groups, a.weight.shape[0] / g.groups * stride[0], stride[1], stride[0], border, {}};
  for (std::int64_t ph = 0; ph < std::min(g.stride_h, h); ++ph)
    for (std::int64_t pw = 0; pw < std::min(g.stride_w, w); ++pw) {
      ConvPass p{{},
                 (h - ph + g.stride_h - 1) / g.stride_h,
                 (w - pw + g.stride_w - 1) / g.stride_w,
                 1,
                 1,
                 ph * a.dx.stride[2] + pw * a.dx.stride[3],
                 g.stride_h * a.dx.stride[2],
                 g.stride_w * a.dx.stride[3]};
      for (std::int64_t r = 0; r < r_count; ++r)
        for (std::int64_t s = 0; s < s_count; ++s) {
          const std::int64_t y = ph + g.pad_top - r * g.dilation_h, x = pw + g.pad_left - s * g.dilation_w;
          if (floor_div(y, g.stride_h) * g.stride_h != y || floor_div(x, g.stride_w) * g.stride_w != x) continue;
          p.taps.push_back({floor_div(y, g.stride_h) + border.top, floor_div(x, g.stride_w) + border.left, r * stride[2] + s * stride[3]});
        }
      c.passes.push_back(std::move(p));
    }
  return c;
}

}  // namespace graft
