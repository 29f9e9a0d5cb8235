#include <algorithm>

#include "weights/onnx/convolve.h"

namespace graft::onnx {
namespace {

// [n, c, d, ...] -> [n * d, c, ...] and back: the third axis becomes part of the batch.
Tensor merged(const Tensor& x) {
  std::vector<int> order{0, 2, 1};
  for (int i = 3; i < x.rank(); ++i) order.push_back(i);
  Shape s{x.size(0) * x.size(2), x.size(1)};
  for (int i = 3; i < x.rank(); ++i) s.push_back(x.size(i));
  return reshape(permute(x, order), s);
}
Tensor parted(const Tensor& y, std::int64_t n, std::int64_t d) {
  Shape s{n, d, y.size(1)};
  for (int i = 2; i < y.rank(); ++i) s.push_back(y.size(i));
  std::vector<int> order{0, 2, 1};
  for (int i = 3; i < s.rank(); ++i) order.push_back(i);
  return permute(reshape(y, s), order);
}
Windows without_first(const Windows& w) {
  Windows r = w;
  for (auto* v : {&r.kernel, &r.stride, &r.dilation, &r.before, &r.after, &r.in, &r.out}) v->erase(v->begin());
  return r;
}
Tensor biased(const Tensor& y, const Tensor& bias) {
  if (!bias.defined()) return y;
  Shape s{1, bias.size(0)};
  for (int i = 2; i < y.rank(); ++i) s.push_back(1);
  return add(y, reshape(bias, s));
}

}  // namespace

Tensor framed(Tensor x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after, double value) {
  std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(x.rank()), {0, 0});
  bool any = false;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const int a = static_cast<int>(i) + 2;
    const std::int64_t n = x.size(a);
    if (before[i] < 0 || after[i] < 0) x = slice(x, a, std::max<std::int64_t>(0, -before[i]), n + std::min<std::int64_t>(0, after[i]));
    around[i + 2] = {std::max<std::int64_t>(0, before[i]), std::max<std::int64_t>(0, after[i])};
    any = any || before[i] > 0 || after[i] > 0;
  }
  return any ? pad(x, around, value) : x;
}

Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias, const Windows& w, std::int64_t groups) {
  if (w.axes() <= 2) {
    const std::size_t last = w.axes() - 1;
    ConvGeometry g;
    g.groups = groups;
    g.stride_w = w.stride[last], g.dilation_w = w.dilation[last], g.pad_left = w.before[last], g.pad_right = w.after[last];
    if (w.axes() == 1) return squeeze(conv2d(unsqueeze(x, 2), unsqueeze(weight, 2), bias, g), 2);
    g.stride_h = w.stride[0], g.dilation_h = w.dilation[0], g.pad_top = w.before[0], g.pad_bottom = w.after[0];
    return conv2d(x, weight, bias, g);
  }
  std::vector<std::int64_t> before(w.axes(), 0), after(w.axes(), 0);
  before[0] = w.before[0], after[0] = w.after[0];
  const Tensor padded = framed(x, before, after);
  const Windows rest = without_first(w);
  Tensor y;
  for (std::int64_t k = 0; k < w.kernel[0]; ++k) {
    const std::int64_t first = k * w.dilation[0];
    const Tensor planes = merged(slice(padded, 2, first, first + (w.out[0] - 1) * w.stride[0] + 1, w.stride[0]));
    const Tensor part = convolve(planes, select(weight, 2, k), {}, rest, groups);
    y = y.defined() ? add(y, part) : part;
  }
  return biased(parted(y, x.size(0), w.out[0]), bias);
}

Tensor convolve_transposed(const Tensor& x, const Tensor& weight, const std::vector<std::int64_t>& stride,
                           const std::vector<std::int64_t>& dilation, std::int64_t groups) {
  const std::size_t axes = stride.size();
  if (axes <= 2) {
    ConvGeometry g;
    g.groups = groups;
    g.stride_w = stride.back(), g.dilation_w = dilation.back();
    if (axes == 1) return squeeze(conv_transpose2d(unsqueeze(x, 2), unsqueeze(weight, 2), {}, g), 2);
    g.stride_h = stride[0], g.dilation_h = dilation[0];
    return conv_transpose2d(x, weight, {}, g);
  }
  const std::int64_t d = x.size(2), kernel = weight.size(2), s = stride[0];
  const Tensor planes = merged(x);
  Tensor y;
  for (std::int64_t k = 0; k < kernel; ++k) {
    Tensor part = parted(convolve_transposed(planes, select(weight, 2, k), {stride.begin() + 1, stride.end()},
                                             {dilation.begin() + 1, dilation.end()}, groups),
                         x.size(0), d);
    if (s > 1) {  // s - 1 empty planes behind each
      part = unsqueeze(part, 3);
      std::vector<std::pair<std::int64_t, std::int64_t>> gap(static_cast<std::size_t>(part.rank()), {0, 0});
      gap[3].second = s - 1;
      part = slice(flatten(pad(part, gap), 2, 3), 2, 0, (d - 1) * s + 1);
    }
    std::vector<std::pair<std::int64_t, std::int64_t>> place(static_cast<std::size_t>(part.rank()), {0, 0});
    place[2] = {k * dilation[0], (kernel - 1 - k) * dilation[0]};
    part = pad(part, place);
    y = y.defined() ? add(y, part) : part;
  }
  return y;
}

namespace {

std::vector<std::int64_t> kernel_of(const Call& c, const Tensor& weight) {
  std::vector<std::int64_t> kernel(weight.shape().begin() + std::min(2, weight.rank()), weight.shape().end());
  if (c.has("kernel_shape") && c.list("kernel_shape") != kernel) c.wrong("has a kernel_shape that is not its weight's, " + weight.str());
  return kernel;
}

void conv(Call& c) {
  const Tensor x = c.x(0), weight = c.x(1);
  if (!c.floats(0) || x.rank() != weight.rank() || x.rank() < 3) c.wrong("convolves " + x.str() + " with " + weight.str());
  const Windows w = windows_of(c, x.shape(), kernel_of(c, weight));
  c.out(convolve(x, weight, c.has(std::size_t{2}) ? c.x(2) : Tensor{}, w, c.attr("group", 1)), c.type(0));
}

void conv_transpose(Call& c) {
  const Tensor x = c.x(0), weight = c.x(1), bias = c.has(std::size_t{2}) ? c.x(2) : Tensor{};
  if (!c.floats(0) || x.rank() != weight.rank() || x.rank() < 3) c.wrong("convolves " + x.str() + " with " + weight.str());
  const std::vector<std::int64_t> kernel = kernel_of(c, weight);
  const std::size_t n = kernel.size();
  const auto stride = positive_list(c, "strides", n), dilation = positive_list(c, "dilations", n);
  std::vector<std::int64_t> extra = c.list("output_padding"), wanted = c.list("output_shape"), pads = c.list("pads");
  if (extra.empty()) extra.assign(n, 0);
  if (pads.empty()) pads.assign(2 * n, 0);
  const std::string automatic = c.attr("auto_pad", "NOTSET");
  const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (!same && automatic != "NOTSET" && automatic != "VALID") c.wrong("pads in the way '" + automatic + "'");
  if (automatic == "VALID") pads.assign(2 * n, 0);
  if (extra.size() != n || pads.size() != 2 * n || (!wanted.empty() && wanted.size() != n))
    c.wrong("has attributes for another number of axes than " + x.str());
  std::vector<std::int64_t> before, after;  // to add to what the taps reach: mostly negative
  bool plain = n == 2;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t in = x.size(static_cast<int>(i) + 2), full = (in - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1;
    std::int64_t head = pads[i], tail = pads[i + n];
    if (extra[i] < 0 || head < 0 || tail < 0) c.refuse("has a negative pad");
    if (!wanted.empty() || same) {
      const std::int64_t all = full + extra[i] - (wanted.empty() ? in * stride[i] : wanted[i]);
      // What is missing is added at the end, as output_padding would.
      const std::int64_t cut = std::max<std::int64_t>(0, all), more = cut - cut / 2;
      head = automatic == "SAME_UPPER" ? cut / 2 : more;
      tail = cut - head + std::min<std::int64_t>(0, all);
    }
    before.push_back(-head);
    after.push_back(extra[i] - tail);
    shape_of({full + before.back() + after.back()}, c);
    plain = plain && tail >= 0 && (extra[i] == 0 || extra[i] < std::max(stride[i], dilation[i])) && full + before.back() + after.back() > 0;
    if (full + before.back() + after.back() < 1) c.wrong("leaves an output without size");
    if (plain) pads[i] = head, pads[i + n] = tail;
  }
  if (plain) {
    ConvGeometry g;
    g.groups = c.attr("group", 1);
    g.stride_h = stride[0], g.stride_w = stride[1], g.dilation_h = dilation[0], g.dilation_w = dilation[1];
    g.pad_top = pads[0], g.pad_left = pads[1], g.pad_bottom = pads[2], g.pad_right = pads[3];
    return c.out(conv_transpose2d(x, weight, bias, g, extra[0], extra[1]), c.type(0));
  }
  c.out(biased(framed(convolve_transposed(x, weight, stride, dilation, c.attr("group", 1)), before, after), bias), c.type(0));
}

constexpr Operator kTable[] = {{"Conv", conv}, {"ConvTranspose", conv_transpose}};

}  // namespace

std::span<const Operator> conv_operators() { return kTable; }

}  // namespace graft::onnx
