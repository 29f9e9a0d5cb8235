#include "kernels/conv/conv.h"
#include "kernels/specs.h"

namespace graft {
namespace {

// One convolution, from which the cases of all three passes are made.
struct Shape {
  std::int64_t n, c, h, w, k, r, s;
  ConvGeometry g = {};
  bool bias = true, relu = false;
  bool channels_last = false;  // x, y and weight lie in memory as [n, h, w, c]
  bool bench = false;
  std::vector<Layout> layouts = {Layout::dense};
  std::vector<DType> dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16};
  Fill fill = Fill::normal;
  int filled = 1;  // small and rare_inf fill one of the two factors: the first or the second
  bool bias_nan =
      false;  // relu keeps a NaN: of the bias, because what a NaN of x reaches is a row's own affair (tiles of Winograd, padding)

  std::int64_t p() const { return (h + g.pad_top + g.pad_bottom - g.dilation_h * (r - 1) - 1) / g.stride_h + 1; }
  std::int64_t q() const { return (w + g.pad_left + g.pad_right - g.dilation_w * (s - 1) - 1) / g.stride_w + 1; }
  std::int64_t cg() const { return c / g.groups; }
  double flops() const { return 2.0 * n * k * p() * q() * cg() * r * s; }
  double items() const { return 1.0 * n * c * h * w + 1.0 * k * cg() * r * s + 1.0 * n * k * p() * q(); }
  std::string name() const {
    std::string t = std::to_string(n) + "x" + std::to_string(c) + "x" + std::to_string(h) + "x" + std::to_string(w) + "_k" +
                    std::to_string(k) + "_" + std::to_string(r) + "x" + std::to_string(s);
    if (g.stride_h != 1 || g.stride_w != 1) t += "_st" + std::to_string(g.stride_h) + std::to_string(g.stride_w);
    if (g.pad_top || g.pad_left || g.pad_bottom || g.pad_right)
      t += "_pad" + std::to_string(g.pad_top) + std::to_string(g.pad_left) + std::to_string(g.pad_bottom) + std::to_string(g.pad_right);
    if (g.dilation_h != 1 || g.dilation_w != 1) t += "_dil" + std::to_string(g.dilation_h) + std::to_string(g.dilation_w);
    if (g.groups != 1) t += "_g" + std::to_string(g.groups);
    if (!bias) t += "_nobias";
    if (relu) t += "_relu";
    if (channels_last) t += "_nhwc";
    if (bias_nan) t += "_nan";
    if (fill == Fill::small) t += "_small" + std::to_string(filled);
    if (fill == Fill::rare_inf) t += "_inf";
    return t;
  }
};

std::vector<std::int64_t> laid(const Shape& s, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
  return s.channels_last ? std::vector<std::int64_t>{a, c, d, b} : std::vector<std::int64_t>{a, b, c, d};
}
// The logical [n, c, h, w] view of an operand that lies as [n, h, w, c].
View logical(const Shape& s, View v) {
  if (!s.channels_last) return v;
  const auto shape = v.shape, stride = v.stride;
  const int from[4] = {0, 3, 1, 2};
  for (int i = 0; i < 4; ++i) {
    v.shape[i] = shape[from[i]];
    v.stride[i] = stride[from[i]];
  }
  return v;
}

ConvGeometry geo(std::int64_t stride, std::int64_t pad, std::int64_t dilation = 1, std::int64_t groups = 1) {
  return {stride, stride, pad, pad, pad, pad, dilation, dilation, groups};
}

std::vector<Shape> shapes() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  std::vector<Shape> v = {
      {.n = 2, .c = 3, .h = 7, .w = 9, .k = 5, .r = 3, .s = 3, .layouts = all},
      {.n = 2, .c = 8, .h = 11, .w = 13, .k = 19, .r = 3, .s = 3, .relu = true, .layouts = all},
      {.n = 2, .c = 8, .h = 11, .w = 13, .k = 19, .r = 3, .s = 3, .relu = true, .channels_last = true, .layouts = all},
      {.n = 1, .c = 1, .h = 28, .w = 28, .k = 32, .r = 3, .s = 3, .relu = true},
      {.n = 2, .c = 32, .h = 26, .w = 26, .k = 64, .r = 3, .s = 3, .relu = true, .dtypes = {DType::f32}},
      {.n = 2, .c = 32, .h = 26, .w = 26, .k = 64, .r = 3, .s = 3, .relu = true, .channels_last = true, .dtypes = {DType::f32}},
      {.n = 2, .c = 8, .h = 11, .w = 13, .k = 19, .r = 3, .s = 3, .relu = true, .bias_nan = true},
      {.n = 2, .c = 32, .h = 14, .w = 14, .k = 64, .r = 3, .s = 3, .g = geo(1, 1), .relu = true, .dtypes = {DType::f32}, .bias_nan = true},
      {.n = 2, .c = 20, .h = 10, .w = 13, .k = 20, .r = 3, .s = 3, .g = geo(1, 1, 1, 20), .relu = true, .bias_nan = true},
      {.n = 2,
       .c = 20,
       .h = 10,
       .w = 13,
       .k = 20,
       .r = 3,
       .s = 3,
       .g = geo(1, 1, 1, 20),
       .relu = true,
       .channels_last = true,
       .dtypes = {DType::f32},
       .bias_nan = true},
      {.n = 2, .c = 8, .h = 11, .w = 13, .k = 32, .r = 3, .s = 3, .relu = true, .channels_last = true, .bias_nan = true},
      {.n = 1, .c = 1, .h = 1, .w = 1, .k = 1, .r = 1, .s = 1},
      {.n = 3, .c = 16, .h = 6, .w = 5, .k = 24, .r = 1, .s = 1, .bias = false},
      {.n = 2, .c = 4, .h = 9, .w = 10, .k = 17, .r = 3, .s = 3, .g = geo(2, 1)},
      {.n = 2, .c = 3, .h = 17, .w = 19, .k = 16, .r = 7, .s = 7, .g = geo(2, 3), .bias = false, .relu = true},
      {.n = 2, .c = 6, .h = 12, .w = 11, .k = 8, .r = 3, .s = 3, .g = geo(1, 2, 2), .channels_last = true},
      {.n = 2, .c = 5, .h = 8, .w = 9, .k = 7, .r = 2, .s = 4, .g = {2, 3, 0, 1, 2, 3, 1, 2, 1}},
      {.n = 2, .c = 8, .h = 9, .w = 9, .k = 12, .r = 3, .s = 3, .g = geo(1, 1, 1, 4), .layouts = {Layout::dense, Layout::sliced}},
      {.n = 2, .c = 20, .h = 10, .w = 13, .k = 20, .r = 3, .s = 3, .g = geo(1, 1, 1, 20), .layouts = {Layout::dense, Layout::sliced}},
      {.n = 2, .c = 20, .h = 10, .w = 13, .k = 20, .r = 3, .s = 3, .g = geo(2, 1, 1, 20), .channels_last = true},
      {.n = 2, .c = 4, .h = 8, .w = 9, .k = 12, .r = 3, .s = 3, .g = geo(1, 1, 1, 4), .relu = true},  // channel multiplier 3
      {.n = 2, .c = 3, .h = 40, .w = 47, .k = 3, .r = 5, .s = 5, .g = geo(2, 2, 1, 3), .relu = true, .dtypes = {DType::f32, DType::bf16}},
      {.n = 3, .c = 35, .h = 14, .w = 12, .k = 35, .r = 7, .s = 7, .g = geo(1, 3, 1, 35), .channels_last = true, .dtypes = {DType::f32}},
      {.n = 1, .c = 9, .h = 13, .w = 9, .k = 70, .r = 3, .s = 2, .g = {2, 3, 1, 0, 0, 1, 1, 2, 1}},  // more than a tile of 64; phases
                                                                                                     // without a tap
      {.n = 2, .c = 7, .h = 1, .w = 41, .k = 9, .r = 1, .s = 5, .g = {1, 1, 0, 4, 0, 0, 1, 1, 1}},   // 1-d, causal
      {.n = 1, .c = 2, .h = 3, .w = 3, .k = 4, .r = 3, .s = 3, .g = geo(1, 4)},                      // whole windows in the padding
      {.n = 0, .c = 3, .h = 5, .w = 5, .k = 4, .r = 3, .s = 3},
      {.n = 2, .c = 0, .h = 5, .w = 5, .k = 4, .r = 3, .s = 3},
      {.n = 2, .c = 3, .h = 2, .w = 5, .k = 4, .r = 3, .s = 3},  // p = 0
      {.n = 1, .c = 4, .h = 6, .w = 6, .k = 16, .r = 3, .s = 3, .dtypes = {DType::f32}, .fill = Fill::large_offset},
      {.n = 1, .c = 64, .h = 7, .w = 9, .k = 36, .r = 3, .s = 3, .g = geo(1, 1), .dtypes = {DType::f32}, .fill = Fill::large_offset},
      {.n = 1, .c = 16, .h = 7, .w = 9, .k = 16, .r = 3, .s = 3, .g = geo(1, 1), .dtypes = {DType::f32}, .fill = Fill::denormal},
      {.n = 1, .c = 129, .h = 5, .w = 6, .k = 33, .r = 3, .s = 3, .g = geo(1, 2), .dtypes = {DType::f32}},
      {.n = 1, .c = 4, .h = 6, .w = 6, .k = 16, .r = 3, .s = 3, .dtypes = {DType::f32}, .fill = Fill::denormal},
      // tiles of AMX: several steps and panels of channels, pieces of rows that overlap, groups, phases, few images and many, what bf16
      // cannot say
      {.n = 1, .c = 40, .h = 5, .w = 19, .k = 34, .r = 3, .s = 3, .relu = true, .layouts = all, .dtypes = {DType::f32, DType::bf16}},
      {.n = 1,
       .c = 17,
       .h = 4,
       .w = 25,
       .k = 50,
       .r = 2,
       .s = 1,
       .channels_last = true,
       .layouts = all,
       .dtypes = {DType::f32, DType::f16}},
      {.n = 9, .c = 32, .h = 8, .w = 12, .k = 24, .r = 3, .s = 3, .g = geo(1, 1), .dtypes = {DType::f32, DType::bf16}},
      {.n = 17, .c = 72, .h = 8, .w = 12, .k = 80, .r = 1, .s = 3, .g = {1, 1, 0, 1, 0, 1, 1, 1, 2}, .dtypes = {DType::f32}},
      {.n = 8,
       .c = 18,
       .h = 6,
       .w = 12,
       .k = 40,
       .r = 3,
       .s = 2,
       .g = {1, 1, 1, 0, 1, 1, 1, 1, 1},
       .channels_last = true,
       .dtypes = {DType::f32}},
      {.n = 8, .c = 16, .h = 2, .w = 9, .k = 16, .r = 3, .s = 3, .dtypes = {DType::f32, DType::bf16}},  // p = 0
      {.n = 0, .c = 16, .h = 8, .w = 9, .k = 16, .r = 3, .s = 3, .dtypes = {DType::f32, DType::bf16}},
      {.n = 2, .c = 48, .h = 9, .w = 22, .k = 48, .r = 3, .s = 3, .g = geo(2, 1, 1, 2), .relu = true, .dtypes = {DType::f32}},
      {.n = 2, .c = 16, .h = 9, .w = 23, .k = 66, .r = 3, .s = 2, .g = {3, 2, 1, 0, 2, 3, 2, 1, 1}, .relu = true, .dtypes = {DType::f32}},
      {.n = 2, .c = 32, .h = 7, .w = 20, .k = 32, .r = 1, .s = 1, .g = geo(2, 0), .relu = true, .dtypes = {DType::f32}},
      {.n = 9,
       .c = 20,
       .h = 6,
       .w = 8,
       .k = 18,
       .r = 3,
       .s = 3,
       .g = geo(1, 1),
       .bias = false,
       .dtypes = {DType::f32},
       .fill = Fill::small},
      {.n = 8,
       .c = 20,
       .h = 6,
       .w = 8,
       .k = 18,
       .r = 3,
       .s = 3,
       .g = geo(1, 1),
       .bias = false,
       .dtypes = {DType::f32},
       .fill = Fill::small,
       .filled = 2},
      {.n = 2,
       .c = 20,
       .h = 6,
       .w = 8,
       .k = 18,
       .r = 3,
       .s = 3,
       .g = geo(1, 1),
       .bias = false,
       .dtypes = {DType::f32},
       .fill = Fill::small},
      {.n = 8, .c = 20, .h = 10, .w = 11, .k = 18, .r = 3, .s = 2, .dtypes = {DType::f32}, .fill = Fill::rare_inf},
  };
  return v;
}

std::vector<Shape> bench_shapes() {
  return {
      {.n = 64, .c = 1, .h = 28, .w = 28, .k = 32, .r = 3, .s = 3, .relu = true, .bench = true, .dtypes = {DType::f32}},
      {.n = 16, .c = 32, .h = 26, .w = 26, .k = 64, .r = 3, .s = 3, .relu = true, .bench = true, .dtypes = {DType::f32}},
      {.n = 4,
       .c = 64,
       .h = 28,
       .w = 28,
       .k = 64,
       .r = 3,
       .s = 3,
       .g = geo(1, 1),
       .channels_last = true,
       .bench = true,
       .dtypes = {DType::f32}},
  };
}

// factor: 1 for x or the dy of an input gradient, 2 for what it is multiplied by, 0 for others.
Operand operand(const Shape& s, const char* name, Role role, std::vector<std::int64_t> shape, int factor = 0) {
  const bool of_one = s.fill == Fill::small || s.fill == Fill::rare_inf;
  return {
      .name = name, .role = role, .shape = std::move(shape), .fill = of_one && factor != s.filled ? Fill::normal : s.fill, .limit = 700};
}
template <class Args>
Case<Args> base(const Shape& s) {
  Case<Args> c;
  c.shape = s.name();
  c.flops = s.flops();
  c.bytes_per_item = s.items();
  c.dtypes = s.dtypes;
  c.layouts = s.layouts;
  c.bench = s.bench;
  return c;
}

Case<ConvArgs> forward_case(const Shape& s) {
  auto c = base<ConvArgs>(s);
  c.operands = {operand(s, "x", Role::in, laid(s, s.n, s.c, s.h, s.w), 1),
                operand(s, "weight", Role::in, laid(s, s.k, s.cg(), s.r, s.s), 2), operand(s, "bias", Role::in, {s.k}),
                operand(s, "y", Role::out, laid(s, s.n, s.k, s.p(), s.q()))};
  if (s.bias_nan) c.operands[2].fill = Fill::some_nan;
  c.bind = [s](const std::vector<View>& v) {
    return ConvArgs{logical(s, v[0]), logical(s, v[1]), s.bias ? v[2] : View{}, logical(s, v[3]), s.g, s.relu};
  };
  // a product and a sum each per tap, the bias; errors of partial sums are bounded by sum |x w|, some 2x the largest sum of few terms
  c.roundings = 2 * (2.0 * s.cg() * s.r * s.s + 1);
  return c;
}

Case<ConvInputGradArgs> input_grad_case(const Shape& s) {
  auto c = base<ConvInputGradArgs>(s);
  c.operands = {operand(s, "dy", Role::in, laid(s, s.n, s.k, s.p(), s.q()), 1),
                operand(s, "weight", Role::in, laid(s, s.k, s.cg(), s.r, s.s), 2), operand(s, "bias", Role::in, {s.c}),
                operand(s, "dx", Role::out, laid(s, s.n, s.c, s.h, s.w))};
  // bias only where relu marks the case: a gradient has none, a transposed convolution has
  c.bind = [s](const std::vector<View>& v) {
    return ConvInputGradArgs{logical(s, v[0]), logical(s, v[1]), s.relu ? v[2] : View{}, logical(s, v[3]), s.g};
  };
  c.roundings = 2 * (2.0 * s.k / s.g.groups * s.r * s.s + 1);
  return c;
}

Case<ConvWeightGradArgs> weight_grad_case(const Shape& s) {
  auto c = base<ConvWeightGradArgs>(s);
  c.operands = {operand(s, "x", Role::in, laid(s, s.n, s.c, s.h, s.w), 1), operand(s, "dy", Role::in, laid(s, s.n, s.k, s.p(), s.q()), 2),
                operand(s, "dweight", Role::out, laid(s, s.k, s.cg(), s.r, s.s)),
                operand(s, "dbias", s.bias ? Role::out : Role::in, {s.k})};
  c.bind = [s](const std::vector<View>& v) {
    return ConvWeightGradArgs{logical(s, v[0]), logical(s, v[1]), logical(s, v[2]), s.bias ? v[3] : View{}, s.g};
  };
  c.roundings = 2 * (2.0 * s.n * s.p() * s.q() + 1);
  return c;
}

template <class Args>
std::vector<Case<Args>> cases(Case<Args> (*make)(const Shape&)) {
  std::vector<Case<Args>> out;
  for (const auto& s : shapes())
    if (!s.bias_nan || std::is_same_v<Args, ConvArgs>) out.push_back(make(s));
  for (const auto& s : bench_shapes()) out.push_back(make(s));
  return out;
}

}  // namespace

std::vector<Spec> conv_specs() {
  return {make_spec(conv_family(), cases(forward_case)), make_spec(conv_input_grad_family(), cases(input_grad_case)),
          make_spec(conv_weight_grad_family(), cases(weight_grad_case))};
}

}  // namespace graft
