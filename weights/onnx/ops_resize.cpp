// Resize and Upsample. Each axis by itself: the nearest element is chosen by index, a weighted mean of neighbours is a product with a small
// matrix made on the host, so both have gradients.
#include <algorithm>
#include <cmath>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

struct AxisPlan {
  std::int64_t in = 0, out = 0;
  double scale = 1, start = 0, end = 1;  // start, end: of the region, in parts of the axis
};
struct Method {
  std::string mode, coordinates, nearest;
  double cubic = -0.75, outside_value = 0;
  bool exclude_outside = false, antialias = false;
};

// Where output x lies in the input.
double origin(const Method& m, const AxisPlan& a, std::int64_t i) {
  // `wide` is the size that the scale asks for before it is rounded down to a whole one.
  const auto x = static_cast<double>(i), in = static_cast<double>(a.in), out = static_cast<double>(a.out), wide = a.scale * in;
  if (m.coordinates == "half_pixel") return (x + 0.5) / a.scale - 0.5;
  if (m.coordinates == "half_pixel_symmetric") return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5) / a.scale - 0.5;
  if (m.coordinates == "pytorch_half_pixel") return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
  if (m.coordinates == "align_corners") return a.out > 1 ? x * (in - 1) / (wide - 1) : 0;
  if (m.coordinates == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (m.coordinates == "tf_crop_and_resize")
    return a.out > 1 ? a.start * (in - 1) + x * (a.end - a.start) * (in - 1) / (out - 1) : 0.5 * (a.start + a.end) * (in - 1);
  return x / a.scale;  // asymmetric
}
std::int64_t nearest_of(const Method& m, double x) {
  if (m.nearest == "floor") return static_cast<std::int64_t>(std::floor(x));
  if (m.nearest == "ceil") return static_cast<std::int64_t>(std::ceil(x));
  if (m.nearest == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(x + 0.5));
  return static_cast<std::int64_t>(std::ceil(x - 0.5));  // round_prefer_floor
}
double weight_of(const Method& m, double distance) {
  const double d = std::abs(distance), a = m.cubic;
  if (m.mode == "linear") return std::max(0.0, 1 - d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}
// [out, in]
std::vector<double> matrix_of(const Method& m, const AxisPlan& a) {
  std::vector<double> w(static_cast<std::size_t>(a.out * a.in), 0);
  const double shrink = m.antialias ? std::min(a.scale, 1.0) : 1.0, support = (m.mode == "linear" ? 1 : 2) / shrink;
  for (std::int64_t o = 0; o < a.out; ++o) {
    const double x = origin(m, a, o);
    double total = 0;
    const auto first = static_cast<std::int64_t>(std::floor(x - support)), last = static_cast<std::int64_t>(std::ceil(x + support));
    std::vector<std::pair<std::int64_t, double>> taps;
    for (std::int64_t i = first; i <= last; ++i) {
      const double v = weight_of(m, (static_cast<double>(i) - x) * shrink);
      if (v == 0 || (m.exclude_outside && (i < 0 || i >= a.in))) continue;
      taps.emplace_back(std::clamp<std::int64_t>(i, 0, a.in - 1), v);
      total += v;
    }
    if (!m.exclude_outside && !m.antialias) total = 1;
    for (const auto& [i, v] : taps) w[static_cast<std::size_t>(o * a.in + i)] += v / total;
  }
  return w;
}

Tensor along(const Tensor& x, int axis, const AxisPlan& a, const Method& m) {
  if (m.mode == "nearest") {
    std::vector<std::int64_t> from;
    for (std::int64_t o = 0; o < a.out; ++o) from.push_back(std::clamp<std::int64_t>(nearest_of(m, origin(m, a, o)), 0, a.in - 1));
    return index_select(x, axis, here(from_ints(from, {a.out}, kInt64).tensor));
  }
  const Tensor w = from_doubles(matrix_of(m, a), {a.out, a.in}, type_of(x.dtype())).tensor;
  return transpose(linear(axis == x.rank() - 1 ? x : transpose(x, axis, -1), w), axis, -1);
}

Tensor resized(const Call& c, const Tensor& x, const std::vector<AxisPlan>& plan, const Method& m) {
  std::vector<std::int64_t> dims;
  for (const AxisPlan& a : plan) {
    dims.push_back(a.out);
    if (a.out > 0 && a.in == 0) c.wrong("grows an empty axis");
    if (m.mode != "nearest" && a.in && a.out > (std::int64_t{1} << 32) / a.in)
      c.refuse("resizes " + std::to_string(a.in) + " to " + std::to_string(a.out));
  }
  shape_of(dims, c);
  Tensor y = x;
  if (m.mode != "nearest" && x.dtype() != DType::f64) y = cast(y, DType::f32);
  for (int i = 0; i < x.rank(); ++i) {
    const AxisPlan& a = plan[static_cast<std::size_t>(i)];
    const bool same = a.in == a.out && a.scale == 1 && m.coordinates != "tf_crop_and_resize" && m.coordinates != "tf_half_pixel_for_nn";
    if (!same) y = along(y, i, a, m);
  }
  if (m.coordinates == "tf_crop_and_resize") {
    for (int i = 0; i < x.rank(); ++i) {  // an output whose place lies outside is the given value
      const AxisPlan& a = plan[static_cast<std::size_t>(i)];
      std::vector<std::int64_t> outside;
      for (std::int64_t o = 0; o < a.out; ++o) {
        const double at = origin(m, a, o);
        outside.push_back(at < 0 || at > static_cast<double>(a.in - 1));
      }
      if (std::count(outside.begin(), outside.end(), 1) == 0) continue;
      std::vector<std::int64_t> s(static_cast<std::size_t>(x.rank()), 1);
      s[static_cast<std::size_t>(i)] = a.out;
      y = where(here(from_ints(outside, Shape(s), kBool).tensor), Tensor::scalar(m.outside_value, y.dtype()), y);
    }
  }
  return y;
}
OnnxValue finished(const Call& c, const Tensor& y) {
  if (c.floats(0)) return {cast(y, type_info(c.type(0))->held), c.type(0)};
  return is_float(y.dtype()) ? cast_value(valued(y), c.type(0), c) : OnnxValue{y, c.type(0)};
}
void check_mode(const Call& c, Method& m) {
  if (m.mode == "bilinear") m.mode = "linear";
  if (m.mode != "nearest" && m.mode != "linear" && m.mode != "cubic") c.wrong("has the mode '" + m.mode + "'");
}
std::int64_t scaled(const Call& c, std::int64_t n, double scale) {
  if (!(scale > 0) || !(scale * static_cast<double>(n) < 0x1p40)) c.wrong("scales by " + std::to_string(scale));
  return static_cast<std::int64_t>(std::floor(static_cast<double>(n) * scale));
}

void upsample(Call& c) {
  const Tensor x = c.x(0);
  Method m{c.attr("mode", "nearest"), "asymmetric", "floor"};
  check_mode(c, m);
  std::vector<double> scales = c.node.op == "Upsample" && c.opset < 9 ? c.reals("scales") : c.x(1).values();
  if (static_cast<int>(scales.size()) != x.rank()) c.wrong("has " + std::to_string(scales.size()) + " scales for " + x.str());
  std::vector<AxisPlan> plan;
  for (int i = 0; i < x.rank(); ++i) {
    const double s = scales[static_cast<std::size_t>(i)];
    plan.push_back({x.size(i), scaled(c, x.size(i), s), s, 0, 1});
  }
  c.out(finished(c, resized(c, x, plan, m)));
}

void resize(Call& c) {
  if (c.opset < 11) return upsample(c);
  const Tensor x = c.x(0);
  const int rank = x.rank();
  Method m{c.attr("mode", "nearest"),
           c.attr("coordinate_transformation_mode", "half_pixel"),
           c.attr("nearest_mode", "round_prefer_floor"),
           c.attr("cubic_coeff_a", -0.75),
           c.attr("extrapolation_value", 0.0),
           c.attr("exclude_outside", 0) != 0,
           c.attr("antialias", 0) != 0};
  check_mode(c, m);
  static const char* const known[] = {"half_pixel",           "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                      "tf_half_pixel_for_nn", "tf_crop_and_resize",   "asymmetric"};
  if (std::find(std::begin(known), std::end(known), m.coordinates) == std::end(known))
    c.wrong("has the coordinates '" + m.coordinates + "'");
  std::vector<std::int64_t> axes = c.list("axes");
  if (!c.has("axes"))
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  const std::vector<int> at = axes_of(c, axes, rank);
  std::vector<AxisPlan> plan;
  for (int i = 0; i < rank; ++i) plan.push_back({x.size(i), x.size(i), 1, 0, 1});
  if (c.has(std::size_t{1}) && m.coordinates == "tf_crop_and_resize") {
    const std::vector<double> roi = c.x(1).values();
    if (roi.size() != 2 * at.size()) c.wrong("has " + std::to_string(roi.size()) + " numbers for its region");
    for (std::size_t i = 0; i < at.size(); ++i)
      plan[static_cast<std::size_t>(at[i])].start = roi[i], plan[static_cast<std::size_t>(at[i])].end = roi[i + at.size()];
  }
  const std::vector<double> scales = c.has(std::size_t{2}) ? c.x(2).values() : std::vector<double>{};
  if (!scales.empty()) {
    if (scales.size() != at.size()) c.wrong("has " + std::to_string(scales.size()) + " scales for " + std::to_string(at.size()) + " axes");
    for (std::size_t i = 0; i < at.size(); ++i) {
      AxisPlan& a = plan[static_cast<std::size_t>(at[i])];
      a.scale = scales[i];
      const double region = m.coordinates == "tf_crop_and_resize" ? a.end - a.start : 1;
      a.out = scaled(c, a.in, a.scale * region);
    }
  } else {
    std::vector<std::int64_t> sizes = c.ints(3);
    if (sizes.size() != at.size()) c.wrong("has " + std::to_string(sizes.size()) + " sizes for " + std::to_string(at.size()) + " axes");
    const std::string policy = c.attr("keep_aspect_ratio_policy", "stretch");
    double one = 0;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double s =
          static_cast<double>(sizes[i]) / static_cast<double>(std::max<std::int64_t>(1, plan[static_cast<std::size_t>(at[i])].in));
      one = i == 0 ? s : policy == "not_larger" ? std::min(one, s) : std::max(one, s);
    }
    if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller") c.wrong("has the policy '" + policy + "'");
    for (std::size_t i = 0; i < at.size(); ++i) {
      AxisPlan& a = plan[static_cast<std::size_t>(at[i])];
      a.out = policy == "stretch" ? sizes[i] : static_cast<std::int64_t>(std::floor(one * static_cast<double>(a.in) + 0.5));
      a.scale = policy == "stretch" ? static_cast<double>(a.out) / static_cast<double>(std::max<std::int64_t>(1, a.in)) : one;
    }
  }
  c.out(finished(c, resized(c, x, plan, m)));
}

constexpr Operator kTable[] = {{"Resize", resize}, {"Upsample", upsample}};

}  // namespace

std::span<const Operator> resize_operators() { return kTable; }

}  // namespace graft::onnx
