// Quantised numbers: integers with a scale and a zero point. Products of integers are exact (exact.h).
#include <algorithm>
#include <cmath>

#include "weights/onnx/convolve.h"
#include "weights/onnx/exact.h"

namespace graft::onnx {
namespace {

struct WholeRange {
  double low, high;
};
WholeRange range_of(const Call& c, int type) {
  switch (type) {
    case kUint8: return {0, 255};
    case kInt8: return {-128, 127};
    case kUint16: return {0, 65535};
    case kInt16: return {-32768, 32767};
    default: c.refuse("quantises to " + type_name(type));
  }
}
// A scale or zero point of x: one number, one per element of `axis`, or one per block of it.
Tensor fitted(const Call& c, const Tensor& t, const Shape& x, std::int64_t axis, std::int64_t block) {
  if (t.numel() == 1 && block == 0) return reshape(t, Shape{});
  const int a = c.axis(axis, x.rank());
  if (block > 0) {
    std::vector<std::int64_t> from;
    if (t.rank() != x.rank() || t.size(a) * block < x[a]) c.wrong("has blocks " + t.str() + " for " + x.str());
    for (std::int64_t i = 0; i < x[a]; ++i) from.push_back(i / block);
    return index_select(t, a, here(from_ints(from, {x[a]}, kInt64).tensor));
  }
  if (t.rank() != 1 || t.size(0) != x[a]) c.wrong("has " + t.str() + " for axis " + std::to_string(a) + " of " + x.str());
  Shape s;
  for (int i = 0; i < x.rank(); ++i) s.push_back(i == a ? x[a] : 1);
  return reshape(t, s);
}
// round(x / scale) + zero, held in the type's range; half goes to even.
OnnxValue quantised(const Call& c, const Tensor& x, const Tensor& scale, const Tensor& zero, int type) {
  const WholeRange r = range_of(c, type);
  Tensor y = round(div(x, cast(scale, x.dtype())));
  if (zero.defined()) y = add(y, cast(zero, y.dtype()));
  return cast_value(valued(clamp(y, r.low, r.high)), type, c);
}

void quantise(Call& c) {
  Tensor x = c.x(0);
  if (x.dtype() != DType::f64) x = cast(x, DType::f32);
  const std::int64_t axis = c.attr("axis", 1), block = c.attr("block_size", 0);
  const std::int64_t asked = c.attr("output_dtype", 0);
  if (const std::int64_t precise = c.attr("precision", 0); precise != 0 && precise != kFloat)
    c.refuse("divides in another precision than FLOAT");
  const int type = c.has(std::size_t{2}) ? c.type(2) : asked ? static_cast<int>(asked) : static_cast<int>(kUint8);
  const Tensor zero = c.has(std::size_t{2}) ? fitted(c, c.x(2), x.shape(), axis, block) : Tensor{};
  c.out(quantised(c, x, fitted(c, c.x(1), x.shape(), axis, block), zero, type));
}
void dequantise(Call& c) {
  const Tensor x = exact_doubles(c, c.in(0)), scale = c.x(1);
  const std::int64_t axis = c.attr("axis", 1), block = c.attr("block_size", 0);
  const Tensor moved = c.has(std::size_t{2}) ? sub(x, fitted(c, exact_doubles(c, c.in(2)), x.shape(), axis, block)) : x;
  const OnnxValue y{mul(cast(moved, scale.dtype()), fitted(c, scale, x.shape(), axis, block)), c.type(1)};
  const std::int64_t asked = c.attr("output_dtype", 0);
  c.out(asked ? cast_value(y, static_cast<int>(std::clamp<std::int64_t>(asked, 0, 1000)), c) : y);
}
void dynamic(Call& c) {
  const Tensor x = c.x(0);
  const double low = std::min(0.0, amin(x).item()), high = std::max(0.0, amax(x).item());
  const auto scale = static_cast<float>((static_cast<float>(high) - static_cast<float>(low)) / 255.0f);
  const double zero = scale == 0 ? 0 : std::nearbyint(std::clamp(static_cast<double>(static_cast<float>(-low) / scale), 0.0, 255.0));
  const Tensor s = Tensor::scalar(static_cast<double>(scale)), z = Tensor::scalar(zero);
  c.out(scale == 0 ? cast_value(valued(mul(x, 0.0)), kUint8, c) : quantised(c, x, s, z, kUint8));
  c.out(s, kFloat);
  c.out(cast_value(valued(z), kUint8, c));
}

// Input i without its zero point, which input `zero` gives: one number, or one for each of `axis`.
Tensor without_zero(const Call& c, std::size_t i, std::size_t zero, int axis) {
  const Tensor x = exact_doubles(c, c.in(i));
  if (!c.has(zero)) return x;
  const Tensor z = exact_doubles(c, c.in(zero));
  // Of a matrix of rows, [rows] or [rows, 1]; further forms broadcast by themselves.
  return sub(x, z.rank() == 1 && z.numel() > 1 ? fitted(c, z, x.shape(), axis, 0) : z.rank() == 1 ? reshape(z, Shape{}) : z);
}
Tensor whole_conv(const Call& c, const Tensor& x, const Tensor& w) {
  if (x.rank() != w.rank() || x.rank() < 3) c.wrong("convolves " + x.str() + " with " + w.str());
  const std::vector<std::int64_t> kernel(w.shape().begin() + 2, w.shape().end());
  std::int64_t taps = w.size(1);
  for (const std::int64_t k : kernel) taps *= k;
  check_exact(c, x, w, taps);
  return convolve(x, w, {}, windows_of(c, x.shape(), kernel), c.attr("group", 1));
}
void conv_integer(Call& c) { c.out(cast_value(valued(whole_conv(c, without_zero(c, 0, 2, 1), without_zero(c, 1, 3, 0))), kInt32, c)); }
void matmul_integer(Call& c) {
  c.out(cast_value(valued(exact_matmul(c, without_zero(c, 0, 2, -2), without_zero(c, 1, 3, -1))), kInt32, c));
}

// x, its scale and zero point, w, its scale and zero point, those of y, bias
void qlinear_conv(Call& c) {
  Tensor y = whole_conv(c, without_zero(c, 0, 2, 1), without_zero(c, 3, 5, 0));
  const Shape per_channel = [&] {
    Shape s{1, y.size(1)};
    for (int i = 2; i < y.rank(); ++i) s.push_back(1);
    return s;
  }();
  if (c.has(std::size_t{8})) y = add(y, reshape(exact_doubles(c, c.in(8)), per_channel));
  const Tensor ws = cast(c.x(4), DType::f64),
               factor = mul(cast(reshape(c.x(1), Shape{}), DType::f64), ws.numel() == 1 ? reshape(ws, Shape{}) : reshape(ws, per_channel));
  c.out(quantised(c, mul(y, factor), reshape(c.x(6), Shape{}), reshape(c.x(7), Shape{}), c.type(7)));
}
void qlinear_matmul(Call& c) {
  const Tensor y = exact_matmul(c, without_zero(c, 0, 2, -2), without_zero(c, 3, 5, -1));
  const auto scale = [&](std::size_t i, bool rows) {
    const Tensor s = cast(c.x(i), DType::f64);
    return s.numel() == 1 ? reshape(s, Shape{}) : s.rank() == 1 && rows ? unsqueeze(s, 1) : s;
  };
  c.out(quantised(c, mul(y, mul(scale(1, true), scale(4, false))), scale(6, true), c.x(7).numel() == 1 ? reshape(c.x(7), Shape{}) : c.x(7),
                  c.type(7)));
}

constexpr Operator kTable[] = {
    {"QuantizeLinear", quantise},      {"DequantizeLinear", dequantise}, {"DynamicQuantizeLinear", dynamic}, {"ConvInteger", conv_integer},
    {"MatMulInteger", matmul_integer}, {"QLinearConv", qlinear_conv},    {"QLinearMatMul", qlinear_matmul},
};

}  // namespace

std::span<const Operator> quantise_operators() { return kTable; }

}  // namespace graft::onnx
