#include "kernels/pool/pool.h"
#include "kernels/specs.h"

namespace graft {
namespace {

struct Shape {
  std::int64_t n, c, h, w;
  PoolGeometry g;
  bool channels_last = false;  // tensors lie in memory as [n, h, w, c]
  bool bench = false;
  std::vector<Layout> layouts = {Layout::dense};
  Fill fill = Fill::normal;
  bool average = true;       // average pooling knows no dilation
  bool inside_only = false;  // average pooling without the padding in its divisor

  std::int64_t p() const { return (h + g.pad_top + g.pad_bottom - g.dilation_h * (g.kernel_h - 1) - 1 + g.stride_h) / g.stride_h; }
  std::int64_t q() const { return (w + g.pad_left + g.pad_right - g.dilation_w * (g.kernel_w - 1) - 1 + g.stride_w) / g.stride_w; }
  std::string name() const {
    std::string t = std::to_string(n) + "x" + std::to_string(c) + "x" + std::to_string(h) + "x" + std::to_string(w) + "_" +
                    std::to_string(g.kernel_h) + "x" + std::to_string(g.kernel_w) + "_st" + std::to_string(g.stride_h) +
                    std::to_string(g.stride_w);
    if (g.pad_top || g.pad_left || g.pad_bottom || g.pad_right)
      t += "_pad" + std::to_string(g.pad_top) + std::to_string(g.pad_left) + std::to_string(g.pad_bottom) + std::to_string(g.pad_right);
    if (g.dilation_h != 1 || g.dilation_w != 1) t += "_dil" + std::to_string(g.dilation_h) + std::to_string(g.dilation_w);
    if (inside_only) t += "_inside";
    if (channels_last) t += "_nhwc";
    if (fill == Fill::equal) t += "_equal";
    if (fill == Fill::inf_rows) t += "_inf";
    if (fill == Fill::some_nan) t += "_nan";
    return t;
  }
};

std::vector<std::int64_t> laid(const Shape& s, std::int64_t h, std::int64_t w) {
  return s.channels_last ? std::vector<std::int64_t>{s.n, h, w, s.c} : std::vector<std::int64_t>{s.n, s.c, h, w};
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

PoolGeometry geo(std::int64_t kernel, std::int64_t stride, std::int64_t pad = 0, std::int64_t dilation = 1) {
  return {kernel, kernel, stride, stride, pad, pad, pad, pad, dilation, dilation};
}

std::vector<Shape> shapes() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  return {
      {.n = 2, .c = 3, .h = 8, .w = 10, .g = geo(2, 2), .layouts = all},
      {.n = 2, .c = 3, .h = 9, .w = 51, .g = geo(2, 2), .layouts = all},  // the odd row and column belong to no window
      {.n = 2, .c = 19, .h = 7, .w = 6, .g = geo(2, 2), .channels_last = true, .layouts = all},
      {.n = 2, .c = 21, .h = 9, .w = 7, .g = geo(3, 2, 1), .channels_last = true},
      {.n = 2, .c = 24, .h = 7, .w = 10, .g = geo(2, 2), .channels_last = true},  // whole pieces of 16 bytes, several blocks
      {.n = 2, .c = 16, .h = 9, .w = 7, .g = geo(3, 2, 1), .channels_last = true, .inside_only = true},
      {.n = 1, .c = 2, .h = 35, .w = 71, .g = geo(2, 1)},  // several blocks per plane
      {.n = 2, .c = 5, .h = 11, .w = 13, .g = geo(3, 2, 1)},
      {.n = 2, .c = 5, .h = 11, .w = 13, .g = geo(3, 2, 1), .inside_only = true},
      {.n = 1, .c = 4, .h = 9, .w = 9, .g = geo(3, 1, 1)},
      {.n = 1, .c = 2, .h = 12, .w = 11, .g = geo(3, 2, 1, 2), .average = false},
      {.n = 2, .c = 3, .h = 10, .w = 12, .g = {2, 4, 3, 2, 1, 0, 0, 3, 1, 1}},
      {.n = 2, .c = 3, .h = 7, .w = 7, .g = geo(7, 1), .inside_only = true},     // global
      {.n = 1, .c = 2, .h = 3, .w = 4, .g = geo(3, 2, 4), .inside_only = true},  // windows wholly in the padding
      {.n = 1, .c = 3, .h = 1, .w = 37, .g = {1, 2, 1, 2, 0, 0, 0, 0, 1, 1}},    // 1-d
      {.n = 1, .c = 1, .h = 1, .w = 1, .g = geo(1, 1)},
      {.n = 0, .c = 3, .h = 4, .w = 4, .g = geo(2, 2)},
      {.n = 2, .c = 3, .h = 1, .w = 4, .g = geo(2, 2)},                        // p = 0
      {.n = 2, .c = 3, .h = 8, .w = 40, .g = geo(2, 2), .fill = Fill::equal},  // the first of equals
      {.n = 2, .c = 3, .h = 8, .w = 40, .g = geo(2, 2), .fill = Fill::inf_rows, .average = false},
      {.n = 2, .c = 3, .h = 8, .w = 8, .g = geo(2, 2), .fill = Fill::denormal},
      // a NaN in a window, and several: max pooling names the first; a gradient that is NaN or infinite stays with its winner
      {.n = 2, .c = 3, .h = 9, .w = 75, .g = geo(2, 2), .fill = Fill::some_nan},
      {.n = 2, .c = 5, .h = 11, .w = 13, .g = geo(3, 2, 1), .fill = Fill::some_nan, .inside_only = true},
      {.n = 1, .c = 2, .h = 12, .w = 11, .g = geo(3, 2, 1, 2), .fill = Fill::some_nan, .average = false},
      {.n = 2, .c = 19, .h = 8, .w = 6, .g = geo(2, 2), .channels_last = true, .fill = Fill::some_nan},
      {.n = 2, .c = 24, .h = 9, .w = 7, .g = geo(3, 2, 1), .channels_last = true, .fill = Fill::some_nan},
      {.n = 1, .c = 24, .h = 9, .w = 9, .g = geo(3, 3), .channels_last = true, .fill = Fill::some_nan},
      {.n = 64, .c = 64, .h = 24, .w = 24, .g = geo(2, 2), .bench = true},
  };
}

template <class Args>
Case<Args> base(const Shape& s) {
  Case<Args> c;
  c.shape = s.name();
  const double in = 1.0 * s.n * s.c * s.h * s.w, out = 1.0 * s.n * s.c * s.p() * s.q();
  c.flops = out * s.g.kernel_h * s.g.kernel_w;
  c.bytes_per_item = in + out;
  c.layouts = s.layouts;
  c.bench = s.bench;
  if (s.bench) c.dtypes = {DType::f32};
  return c;
}
// windows over one element, along one axis
double overlap(std::int64_t kernel, std::int64_t stride) { return static_cast<double>((kernel + stride - 1) / stride); }

Case<MaxPoolArgs> max_case(const Shape& s, bool with_where) {
  auto c = base<MaxPoolArgs>(s);
  if (!with_where) c.shape += "_values";
  c.operands = {{.name = "x", .shape = laid(s, s.h, s.w), .fill = s.fill},
                {.name = "y", .role = Role::out, .shape = laid(s, s.p(), s.q())},
                {.name = "where",
                 .role = with_where ? Role::out : Role::in,
                 .shape = laid(s, s.p(), s.q()),
                 .fill = Fill::zero,
                 .dtype = DType::i32}};
  c.bind = [s, with_where](const std::vector<View>& v) {
    return MaxPoolArgs{logical(s, v[0]), logical(s, v[1]), with_where ? logical(s, v[2]) : View{}, s.g};
  };
  c.exact = true;  // a maximum rounds nothing
  if (with_where) c.other_bytes = 4.0 * s.n * s.c * s.p() * s.q();
  return c;
}

// A winner for each window, drawn from its part inside x: random positions would lie outside of their windows. -1 where the window lies in
// the padding.
void draw_winners(const Shape& s, const View& where) {
  const auto pick = [](std::uint64_t salt, std::int64_t origin, std::int64_t dilation, std::int64_t taps, std::int64_t size) {
    std::int64_t inside[64], count = 0;
    for (std::int64_t t = 0; t < taps; ++t)
      if (const std::int64_t i = origin + t * dilation; i >= 0 && i < size) inside[count++] = i;
    return count ? inside[salt % static_cast<std::uint64_t>(count)] : -1;
  };
  std::uint64_t salt = 88172645463325252ull;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t c = 0; c < s.c; ++c)
      for (std::int64_t p = 0; p < s.p(); ++p)
        for (std::int64_t q = 0; q < s.q(); ++q) {
          salt ^= salt << 13;
          salt ^= salt >> 7;
          salt ^= salt << 17;
          const std::int64_t i = pick(salt >> 8, p * s.g.stride_h - s.g.pad_top, s.g.dilation_h, s.g.kernel_h, s.h);
          const std::int64_t j = pick(salt >> 32, q * s.g.stride_w - s.g.pad_left, s.g.dilation_w, s.g.kernel_w, s.w);
          where.as<std::int32_t>()[n * where.stride[0] + c * where.stride[1] + p * where.stride[2] + q * where.stride[3]] =
              static_cast<std::int32_t>(i < 0 || j < 0 ? -1 : i * s.w + j);
        }
}

Case<MaxPoolGradArgs> max_grad_case(const Shape& s) {
  auto c = base<MaxPoolGradArgs>(s);
  c.operands = {{.name = "dy", .shape = laid(s, s.p(), s.q()), .fill = s.fill},
                {.name = "where",
                 .shape = laid(s, s.p(), s.q()),
                 .fill = Fill::index,
                 .dtype = DType::i32,
                 .drawn_by = [s](const View& v) { draw_winners(s, logical(s, v)); }},
                {.name = "dx", .role = Role::out, .shape = laid(s, s.h, s.w)}};
  c.bind = [s](const std::vector<View>& v) { return MaxPoolGradArgs{logical(s, v[0]), logical(s, v[1]), logical(s, v[2]), s.g}; };
  c.other_bytes = 4.0 * s.n * s.c * s.p() * s.q();
  c.roundings =
      overlap(s.g.dilation_h * (s.g.kernel_h - 1) + 1, s.g.stride_h) * overlap(s.g.dilation_w * (s.g.kernel_w - 1) + 1, s.g.stride_w);
  return c;
}

Case<AvgPoolArgs> avg_case(const Shape& s) {
  auto c = base<AvgPoolArgs>(s);
  c.operands = {{.name = "x", .shape = laid(s, s.h, s.w), .fill = s.fill},
                {.name = "y", .role = Role::out, .shape = laid(s, s.p(), s.q())}};
  c.bind = [s](const std::vector<View>& v) { return AvgPoolArgs{logical(s, v[0]), logical(s, v[1]), s.g, !s.inside_only}; };
  c.roundings = 2.0 * s.g.kernel_h * s.g.kernel_w + 1;  // the sums, twice as large as their mean of mixed signs, and the division
  return c;
}

Case<AvgPoolGradArgs> avg_grad_case(const Shape& s) {
  auto c = base<AvgPoolGradArgs>(s);
  c.operands = {{.name = "dy", .shape = laid(s, s.p(), s.q()), .fill = s.fill},
                {.name = "dx", .role = Role::out, .shape = laid(s, s.h, s.w)}};
  c.bind = [s](const std::vector<View>& v) { return AvgPoolGradArgs{logical(s, v[0]), logical(s, v[1]), s.g, !s.inside_only}; };
  c.roundings = 2 * overlap(s.g.kernel_h, s.g.stride_h) * overlap(s.g.kernel_w, s.g.stride_w);  // a division and a sum per window
  return c;
}

}  // namespace

std::vector<Spec> pool_specs() {
  std::vector<Case<MaxPoolArgs>> max;
  std::vector<Case<MaxPoolGradArgs>> max_grad;
  std::vector<Case<AvgPoolArgs>> avg;
  std::vector<Case<AvgPoolGradArgs>> avg_grad;
  for (const auto& s : shapes()) {
    max.push_back(max_case(s, true));
    max_grad.push_back(max_grad_case(s));
    if (!s.average) continue;
    avg.push_back(avg_case(s));
    avg_grad.push_back(avg_grad_case(s));
  }
  max.push_back(max_case(shapes()[1], false));
  return {make_spec(max_pool_family(), std::move(max)), make_spec(max_pool_grad_family(), std::move(max_grad)),
          make_spec(avg_pool_family(), std::move(avg)), make_spec(avg_pool_grad_family(), std::move(avg_grad))};
}

}  // namespace graft
