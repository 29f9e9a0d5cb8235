// pool: max and average pooling over [n, c, h, w]; 1-d is h = 1. Max pooling saves the flat input position h*w of each winner (the first of
// equals; a NaN wins) so that the gradient is a scatter. Average pooling divides by the window (count_padding) or by its part inside.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct PoolGeometry {
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;  // max pooling only
};

struct MaxPoolArgs {
  View x, y;
  View where;  // [n, c, p, q] i32: index into h*w of x, or absent (data == nullptr)
  PoolGeometry geometry;
};
const Family<MaxPoolArgs>& max_pool_family();

struct MaxPoolGradArgs {
  View dy, where;
  View dx;  // overwritten; windows that overlap add in the order of p, q
  PoolGeometry geometry;
};
const Family<MaxPoolGradArgs>& max_pool_grad_family();

struct AvgPoolArgs {
  View x, y;
  PoolGeometry geometry;
  bool count_padding = true;
};
const Family<AvgPoolArgs>& avg_pool_family();

struct AvgPoolGradArgs {
  View dy, dx;
  PoolGeometry geometry;
  bool count_padding = true;
};
const Family<AvgPoolGradArgs>& avg_pool_grad_family();

}  // namespace graft
