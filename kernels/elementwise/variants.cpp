#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"

namespace graft {
namespace {

constexpr Limit<ElementwiseArgs> served{"floats; integers and bool where the operation knows them", [](const ElementwiseArgs& a) {
  const DType t = value_dtype(a);
  if (!is_float(t) && !takes_integers(a.op)) return no(std::string(name_of(a.op)) + " is for floats, not " + std::string(name_of(t)));
  return yes();
}};

constexpr Limit<ElementwiseArgs> vectors{"f32, bf16 or f16, a vector form of the operation, inner strides 0 or 1", [](const ElementwiseArgs& a) {
  const DType t = a.out.dtype;
  if (t != DType::f32 && t != DType::bf16 && t != DType::f16) return no("output is " + std::string(name_of(t)));
  if (!has_vector_form(a.op)) return no(std::string(name_of(a.op)) + " has no vector form");
  const int n = arity(a.op);
  const Runs<4> r = runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
  if (r.inner <= 1) return yes();
  if (r.inner_stride[0] != 1) return no("output's inner stride is " + std::to_string(r.inner_stride[0]));
  for (int k = 0; k < n; ++k)
    if (const auto s = r.inner_stride[static_cast<std::size_t>(k) + 1]; s != 0 && s != 1) return no("operand " + std::to_string(k) + " has inner stride " + std::to_string(s));
  if (r.inner < 8 && r.outer > 1) return no("runs of " + std::to_string(r.inner) + " elements are shorter than a vector");
  return yes();
}};

}  // namespace

std::string_view name_of(ElementwiseOp op) {
  static constexpr std::string_view names[] = {
      "neg", "abs", "sign", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf",
      "floor", "ceil", "round", "relu", "gelu", "gelu_tanh", "silu", "softplus", "elu", "leaky_relu", "hardswish", "mish", "logical_not", "isnan",
      "isinf", "scale", "clamp", "pow_scalar", "fill", "add", "sub", "mul", "div", "floor_div", "mod", "pow", "max", "min", "atan2", "eq", "ne",
      "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "axpby", "relu_grad", "gelu_grad", "gelu_tanh_grad", "silu_grad",
      "tanh_grad", "sigmoid_grad", "softplus_grad", "elu_grad", "leaky_relu_grad", "hardswish_grad", "mish_grad", "abs_grad", "clamp_grad",
      "where", "fma"};
  static_assert(std::size(names) == static_cast<std::size_t>(ElementwiseOp::kCount));
  return names[static_cast<std::size_t>(op)];
}

const Family<ElementwiseArgs>& elementwise_family() {
  static const Family<ElementwiseArgs> family("elementwise", {
      host("ref", elementwise_ref, served, 0, "element by element, in double"),
      host("naive", elementwise_naive, served, 1, "element by element"),
      host("cpu.1_runs", elementwise_runs, served, 10, "merged runs, loops that the compiler vectorises"),
      host("cpu.2_simd", elementwise_simd, vectors, 20, "whole vectors, own exp, log, tanh and erf"),
  }, {
      {"0_thread_element", GRAFT_BODIES(elementwise_thread_element), served, 1, "one thread per element"},
  });
  return family;
}

}  // namespace graft
