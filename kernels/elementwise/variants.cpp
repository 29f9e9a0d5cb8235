#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"
#include "kernels/elementwise/vectors.h"

namespace graft {
namespace {

constexpr Limit<ElementwiseArgs> served{"floats; integers and bool where the operation knows them", [](const ElementwiseArgs& a) {
                                          const DType t = value_dtype(a);
                                          if (!is_float(t) && !takes_integers(a.op))
                                            return no(std::string(name_of(a.op)) + " is for floats, not " + std::string(name_of(t)));
                                          return yes();
                                        }};

constexpr Limit<ElementwiseArgs> vectors{
    "f32, bf16 or f16, a vector form of the operation, inner strides 0 or 1", [](const ElementwiseArgs& a) {
      const DType t = a.out.dtype;
      if (t != DType::f32 && t != DType::bf16 && t != DType::f16) return no("output is " + std::string(name_of(t)));
      if (!has_vector_form(a.op)) return no(std::string(name_of(a.op)) + " has no vector form");
      const int n = arity(a.op);
      const Runs<4> r = runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
      if (r.inner <= 1) return yes();
      if (r.inner_stride[0] != 1) return no("output's inner stride is " + std::to_string(r.inner_stride[0]));
      for (int k = 0; k < n; ++k)
        if (const auto s = r.inner_stride[static_cast<std::size_t>(k) + 1]; s != 0 && s != 1)
          return no("operand " + std::to_string(k) + " has inner stride " + std::to_string(s));
      if (r.inner < 8 && r.outer > 1) return no("runs of " + std::to_string(r.inner) + " elements are shorter than a vector");
      return yes();
    }};

bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

constexpr Limit<ElementwiseArgs> device_runs{"f32, bf16, f16; fewer than 2^31 elements", [](const ElementwiseArgs& a) {
                                               if (!f32_or_half(value_dtype(a)))
                                                 return no("operands are " + std::string(name_of(value_dtype(a))));
                                               return a.out.numel() < (std::int64_t{1} << 31) ? yes() : no("2^31 elements or more");
                                             }};

constexpr Limit<ElementwiseArgs> device_packs{
    "f32, bf16, f16; plain arithmetic and activations; one run or runs of whole 16-byte packs, aligned", [](const ElementwiseArgs& a) {
      if (!f32_or_half(a.out.dtype)) return no("output is " + std::string(name_of(a.out.dtype)));
      if (!is_streamed(a.op)) return no(std::string(name_of(a.op)) + " is not among the operations that stream packs");
      const Runs<4> r = operand_runs(a);
      const auto size = static_cast<std::int64_t>(16 / size_of(a.out.dtype));
      if (r.outer * (r.inner / size) >= (std::int64_t{1} << 31)) return no("2^31 packs or more");
      if (r.rank && r.inner % size) return no("runs of " + std::to_string(r.inner) + " elements are not whole packs");
      for (int k = 0; k <= arity(a.op); ++k) {
        const std::string who = k ? "operand " + std::to_string(k - 1) : "output";
        const auto u = static_cast<std::size_t>(k);
        if (r.inner > 1 && r.inner_stride[u] != 1 && (k == 0 || r.inner_stride[u] != 0))
          return no(who + " has inner stride " + std::to_string(r.inner_stride[u]));
        if (r.inner_stride[u] == 0) continue;
        if (reinterpret_cast<std::uintptr_t>(k ? a.in[k - 1].data : a.out.data) % 16) return no(who + " is not aligned to 16 bytes");
        for (int d = 0; d < r.rank; ++d)
          if (r.stride[static_cast<std::size_t>(d)][u] % size)
            return no(who + " steps by " + std::to_string(r.stride[static_cast<std::size_t>(d)][u]) + " elements, not whole packs");
      }
      return yes();
    }};

}  // namespace

std::string_view name_of(ElementwiseOp op) {
  static constexpr std::string_view names[] = {"neg",
                                               "abs",
                                               "sign",
                                               "square",
                                               "sqrt",
                                               "rsqrt",
                                               "reciprocal",
                                               "exp",
                                               "expm1",
                                               "log",
                                               "log1p",
                                               "sin",
                                               "cos",
                                               "tanh",
                                               "sigmoid",
                                               "erf",
                                               "floor",
                                               "ceil",
                                               "round",
                                               "relu",
                                               "gelu",
                                               "gelu_tanh",
                                               "silu",
                                               "softplus",
                                               "elu",
                                               "leaky_relu",
                                               "hardswish",
                                               "mish",
                                               "logical_not",
                                               "isnan",
                                               "isinf",
                                               "scale",
                                               "clamp",
                                               "pow_scalar",
                                               "fill",
                                               "add",
                                               "sub",
                                               "mul",
                                               "div",
                                               "floor_div",
                                               "mod",
                                               "pow",
                                               "max",
                                               "min",
                                               "atan2",
                                               "eq",
                                               "ne",
                                               "lt",
                                               "le",
                                               "gt",
                                               "ge",
                                               "logical_and",
                                               "logical_or",
                                               "logical_xor",
                                               "axpby",
                                               "relu_grad",
                                               "gelu_grad",
                                               "gelu_tanh_grad",
                                               "silu_grad",
                                               "tanh_grad",
                                               "sigmoid_grad",
                                               "softplus_grad",
                                               "elu_grad",
                                               "leaky_relu_grad",
                                               "hardswish_grad",
                                               "mish_grad",
                                               "abs_grad",
                                               "clamp_grad",
                                               "where",
                                               "fma"};
  static_assert(std::size(names) == static_cast<std::size_t>(ElementwiseOp::kCount));
  return names[static_cast<std::size_t>(op)];
}

const Family<ElementwiseArgs>& elementwise_family() {
  static const Family<ElementwiseArgs> family(
      "elementwise",
      {
          host("ref", elementwise_ref, served, 0, "element by element, in double"),
          host("naive", elementwise_naive, served, 1, "element by element"),
          host("cpu.1_runs", elementwise_runs, served, 10, "merged runs, loops that the compiler vectorises"),
          host("cpu.2_simd", elementwise_simd, vectors, 20, "whole vectors, own exp, log, tanh and erf"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(elementwise_thread_element), served, 1,
           "one thread per element, its position divided by every axis"},
          {"1_runs", GRAFT_BODIES(elementwise_thread_runs), device_runs, 10, "merged runs, one thread per element"},
          {"2_vectors", GRAFT_BODIES(elementwise_vectors), device_packs, 20,
           "16-byte packs over the grid, broadcasts along or across runs"},
      });
  return family;
}

}  // namespace graft
