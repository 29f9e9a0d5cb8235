// Normalisations, all of the form y = (x - mean) * rstd * weight + bias over a group of elements, in two passes (mean, then squared
// deviations).
//
// row_norm:   x [rows, cols]: one group per row; weight and bias [cols]. LayerNorm; RMSNorm when `rms` (mean is not subtracted).
// group_norm: x [n, c, s]: a group is c/groups channels x s positions; weight and bias [c]. InstanceNorm is groups == c.
// batch_norm: x [n, c, s]: a group is one channel over n and s; weight and bias [c].
// mean, rstd: saved for backward, in the accumulation type (f32 for 16-bit floats); rstd = 1/sqrt(var + eps), var biased (divided by the
// count). weight and bias may be absent (data == nullptr). All in x's dtype except mean, rstd, var.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct RowNormArgs {
  View x, weight, bias, y;  // x, y: [rows, cols]; weight, bias: [cols] or absent
  View mean, rstd;          // [rows] (mean absent when rms)
  double eps = 1e-5;
  bool rms = false;
};
const Family<RowNormArgs>& row_norm_family();

struct RowNormGradArgs {
  View dy, x, weight, mean, rstd;
  View dx;              // [rows, cols] or absent
  View dweight, dbias;  // [cols] or absent; summed over rows in a fixed tree
  bool rms = false;
};
const Family<RowNormGradArgs>& row_norm_grad_family();

struct GroupNormArgs {
  View x, weight, bias, y;  // x, y: [n, c, s]
  View mean, rstd;          // [n, groups]
  std::int64_t groups = 1;
  double eps = 1e-5;
};
const Family<GroupNormArgs>& group_norm_family();

struct GroupNormGradArgs {
  View dy, x, weight, mean, rstd, dx, dweight, dbias;
  std::int64_t groups = 1;
};
const Family<GroupNormGradArgs>& group_norm_grad_family();

struct BatchNormArgs {
  View x, weight, bias, y;  // x, y: [n, c, s]
  View mean, rstd;          // [c]: written when training, read when not
  double eps = 1e-5;
  bool training = true;  // false: normalise with the given mean and rstd
};
const Family<BatchNormArgs>& batch_norm_family();

struct BatchNormGradArgs {
  View dy, x, weight, mean, rstd, dx, dweight, dbias;
  bool training = true;  // false: mean and rstd are constants
};
const Family<BatchNormGradArgs>& batch_norm_grad_family();

}  // namespace graft
