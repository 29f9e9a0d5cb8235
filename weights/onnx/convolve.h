// Convolutions over any number of spatial axes, made of the engine's over two: each further axis is a sum over the taps of its kernel.
#pragma once
#include "weights/onnx/windows.h"

namespace graft::onnx {

// x [n, c, ...], weight [k, c/groups, ...], bias [k] or undefined.
Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias, const Windows& w, std::int64_t groups);
// All that the taps reach, without padding: size (in - 1) * stride + reach on each axis. weight [c, k/groups, ...].
Tensor convolve_transposed(const Tensor& x, const Tensor& weight, const std::vector<std::int64_t>& stride,
                           const std::vector<std::int64_t>& dilation, std::int64_t groups);
// Zeros before and after the axes behind the second, or fewer elements where an amount is negative.
Tensor framed(Tensor x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after, double value = 0);

}  // namespace graft::onnx
