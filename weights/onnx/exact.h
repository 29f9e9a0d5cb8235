// Sums of integer products by way of f64, which has them exactly up to 2^53; what may be larger is refused.
#pragma once
#include "weights/onnx/op.h"

namespace graft::onnx {

Tensor exact_doubles(const Call& c, const OnnxValue& v);
void check_exact(const Call& c, const Tensor& a, const Tensor& b, std::int64_t terms);  // OnnxRefusal
Tensor exact_matmul(const Call& c, const Tensor& a, const Tensor& b);

}  // namespace graft::onnx
