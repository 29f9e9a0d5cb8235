// conv: cross-correlation in two spatial dimensions; 1-d is h = 1. Any strides in memory, so NCHW and NHWC (channels last) are the same
// call. x: [n, c, h, w], weight: [k, c/groups, r, s], y: [n, k, p, q], p = (h + pad_top + pad_bottom - dilation (r-1) - 1) / stride + 1.
// Three passes: forward, input gradient (which is also the transposed convolution's forward), weight gradient.
// Sums are kept in Accum<dtype>. Padding is zeros: rows that multiply them (as cuDNN's do) give NaN where a weight is infinite, rows that
// skip them do not.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct ConvGeometry {
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;
};

struct ConvArgs {
  View x, weight;
  View bias;  // [k] or absent
  View y;
  ConvGeometry geometry;
  bool relu = false;  // y = max(y, 0), after the bias
};
const Family<ConvArgs>& conv_family();

struct ConvInputGradArgs {
  View dy, weight;
  View bias;  // [c] or absent: added to every dx position (transposed convolution's bias)
  View dx;    // overwritten
  ConvGeometry geometry;
};
const Family<ConvInputGradArgs>& conv_input_grad_family();

struct ConvWeightGradArgs {
  View x, dy;
  View dweight;  // overwritten
  View dbias;    // [k] or absent
  ConvGeometry geometry;
};
const Family<ConvWeightGradArgs>& conv_weight_grad_family();

}  // namespace graft
