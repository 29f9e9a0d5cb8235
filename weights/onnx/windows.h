// The windows of convolutions and pools: what kernel_shape, strides, dilations, pads, auto_pad and ceil_mode make of an input's size.
#pragma once
#include <cstdint>
#include <vector>

#include "weights/onnx/op.h"

namespace graft::onnx {

struct Windows {
  std::vector<std::int64_t> kernel, stride, dilation, before, after, in, out;  // by spatial axis
  std::size_t axes() const { return kernel.size(); }
  std::int64_t reach(std::size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
  // What must follow the input so that the last window is whole: `after`, or more under ceil_mode.
  std::int64_t tail(std::size_t i) const {
    return std::max<std::int64_t>(after[i], (out[i] - 1) * stride[i] + reach(i) - in[i] - before[i]);
  }
};

// `x` is [n, channels, spatial...], `kernel` by axis. Error(input) when the attributes do not fit it.
Windows windows_of(const Call& c, const Shape& x, std::vector<std::int64_t> kernel, bool ceil = false);
// A list of `n` positive numbers, or ones.
std::vector<std::int64_t> positive_list(const Call& c, const char* name, std::size_t n);

}  // namespace graft::onnx
