// Products of matrices, of floats and of integers.
#include <algorithm>
#include <cmath>

#include "engine/autograd/tape.h"
#include "weights/onnx/exact.h"

namespace graft::onnx {

Tensor exact_doubles(const Call& c, const OnnxValue& v) {
  if (!is_unsigned64(v.type)) return cast(here(v.tensor), DType::f64);
  for (const std::int64_t e : ints_of(v))
    if (e < 0) c.refuse("multiplies integers that do not fit into 53 bits");
  return cast(here(v.tensor), DType::f64);
}
namespace {
double largest(const Tensor& t) {
  double m = 0;
  for (const double d : t.values()) m = std::max(m, std::abs(d));
  return m;
}
}  // namespace
void check_exact(const Call& c, const Tensor& a, const Tensor& b, std::int64_t terms) {
  if (largest(a) * largest(b) * static_cast<double>(std::max<std::int64_t>(1, terms)) > 0x1p53)
    c.refuse("multiplies integers whose sums do not fit into 53 bits");
}
Tensor exact_matmul(const Call& c, const Tensor& a, const Tensor& b) {
  check_exact(c, a, b, a.rank() ? a.size(-1) : 1);
  return matmul(a, b);
}

namespace {

void matrix_product(Call& c) {
  if (c.type(0) != c.type(1)) c.wrong("multiplies " + type_name(c.type(0)) + " and " + type_name(c.type(1)));
  if (c.floats(0)) return c.out(matmul(c.x(0), c.x(1)), c.type(0));
  c.out(cast_value({exact_matmul(c, exact_doubles(c, c.in(0)), exact_doubles(c, c.in(1))), kDouble}, c.type(0), c));
}

void general_product(Call& c) {
  const double alpha = c.attr("alpha", 1.0), beta = c.attr("beta", 1.0);
  const bool ta = c.attr("transA", 0) != 0, tb = c.attr("transB", 0) != 0;
  const bool whole = !c.floats(0);
  const auto operand = [&](std::size_t i) { return whole ? exact_doubles(c, c.in(i)) : c.x(i); };
  Tensor a = operand(0), b = operand(1);
  if (a.rank() != 2 || b.rank() != 2) c.wrong("multiplies " + a.str() + " and " + b.str() + ", which are no matrices");
  if (ta) a = transpose(a);
  const std::int64_t out = tb ? b.size(0) : b.size(1);
  if (!whole && tb && alpha == 1 && (!c.has(std::size_t{2}) || (beta == 1 && c.x(2).rank() == 1 && c.x(2).size(0) == out)))
    return c.out(linear(a, b, c.has(std::size_t{2}) ? c.x(2) : Tensor{}), c.type(0));
  if (tb) b = transpose(b);
  Tensor y = whole ? exact_matmul(c, a, b) : matmul(a, b);
  if (alpha != 1) y = mul(y, alpha);
  if (c.has(std::size_t{2}) && beta != 0) {
    const Tensor bias = operand(2);
    y = add(y, beta == 1 ? bias : mul(bias, beta));
  }
  if (whole && largest(y) > 0x1p53) c.refuse("multiplies integers whose sums do not fit into 53 bits");
  c.out(whole ? cast_value({y, kDouble}, c.type(0), c) : OnnxValue{y, c.type(0)});
}

void einstein(Call& c) {
  Tensors operands;
  for (std::size_t i = 0; i < c.inputs(); ++i) operands.push_back(c.floats(i) ? c.x(i) : exact_doubles(c, c.in(i)));
  if (operands.empty()) c.wrong("has no operands");
  if (!c.floats(0)) {
    // No sum has more terms than there are ways to choose an element of each operand.
    double most = 1;
    for (const Tensor& t : operands) most *= largest(t) * static_cast<double>(std::max<std::int64_t>(1, t.numel()));
    if (most > 0x1p53) c.refuse("multiplies integers whose sums may not fit into 53 bits");
  }
  const Tensor y = einsum(c.attr("equation", ""), operands);
  c.out(c.floats(0) ? OnnxValue{y, c.type(0)} : cast_value({y, kDouble}, c.type(0), c));
}

// By elimination with the largest pivot, in doubles on the host.
void determinant(Call& c) {
  const Tensor x = c.x(0);
  if (x.rank() < 2 || x.size(-1) != x.size(-2)) c.wrong("wants square matrices, not " + x.str());
  if (recording() && x.requires_grad()) c.refuse("would need a gradient, which graft does not have for determinants");
  const std::int64_t n = x.size(-1);
  const std::vector<double> all = x.values();
  std::vector<double> out;
  const auto side = static_cast<std::size_t>(n), area = side * side;
  for (std::size_t m = 0; area && m < all.size() / area; ++m) {
    std::vector<double> a(all.begin() + static_cast<std::ptrdiff_t>(m * area), all.begin() + static_cast<std::ptrdiff_t>((m + 1) * area));
    double det = 1;
    for (std::size_t k = 0; k < side && det != 0; ++k) {
      std::size_t best = k;
      for (std::size_t r = k + 1; r < side; ++r)
        if (std::abs(a[r * side + k]) > std::abs(a[best * side + k])) best = r;
      if (best != k) {
        for (std::size_t q = 0; q < side; ++q) std::swap(a[k * side + q], a[best * side + q]);
        det = -det;
      }
      det *= a[k * side + k];
      if (a[k * side + k] == 0) break;
      for (std::size_t r = k + 1; r < side; ++r) {
        const double f = a[r * side + k] / a[k * side + k];
        for (std::size_t q = k; q < side; ++q) a[r * side + q] -= f * a[k * side + q];
      }
    }
    out.push_back(det);
  }
  Shape shape;
  for (int i = 0; i + 2 < x.rank(); ++i) shape.push_back(x.size(i));
  if (area == 0) out.assign(static_cast<std::size_t>(shape.numel()), 1);
  c.out(from_doubles(out, shape, c.type(0)));
}

constexpr Operator kTable[] = {{"MatMul", matrix_product}, {"Gemm", general_product}, {"Einsum", einstein}, {"Det", determinant}};

}  // namespace

std::span<const Operator> product_operators() { return kTable; }

}  // namespace graft::onnx
