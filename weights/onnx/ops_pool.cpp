// Pools. Two spatial axes without surprises are the engine's own; the rest is made of strided slices, one axis after the other, because
// maxima and sums over a window are.
#include <algorithm>
#include <cmath>
#include <limits>

#include "weights/onnx/convolve.h"

namespace graft::onnx {
namespace {

using Combine = Tensor (*)(const Tensor&, const Tensor&);

std::vector<std::int64_t> kernel_of(const Call& c) {
  const auto kernel = c.list("kernel_shape");
  if (kernel.empty()) c.wrong("has no kernel_shape");
  return kernel;
}
std::vector<std::int64_t> tails(const Windows& w) {
  std::vector<std::int64_t> t;
  for (std::size_t i = 0; i < w.axes(); ++i) t.push_back(w.tail(i));
  return t;
}
// x is framed already.
Tensor windowed(Tensor x, const Windows& w, Combine f) {
  for (std::size_t i = 0; i < w.axes(); ++i) {
    const int a = static_cast<int>(i) + 2;
    Tensor y;
    for (std::int64_t k = 0; k < w.kernel[i]; ++k) {
      const std::int64_t first = k * w.dilation[i];
      const Tensor part = slice(x, a, first, first + (w.out[i] - 1) * w.stride[i] + 1, w.stride[i]);
      y = y.defined() ? f(y, part) : part;
    }
    x = y;
  }
  return x;
}
// The engine pools [n, c, h, w] with pads up to half the kernel.
bool engine_takes(const Windows& w, bool dilated) {
  if (w.axes() > 2) return false;
  for (std::size_t i = 0; i < w.axes(); ++i)
    if (w.before[i] > w.kernel[i] / 2 || w.tail(i) > w.kernel[i] / 2 || (!dilated && w.dilation[i] != 1)) return false;
  return true;
}
PoolGeometry geometry_of(const Windows& w) {
  PoolGeometry g;
  const std::size_t last = w.axes() - 1;
  g.kernel_w = w.kernel[last], g.stride_w = w.stride[last], g.dilation_w = w.dilation[last], g.pad_left = w.before[last],
  g.pad_right = w.tail(last);
  if (last)
    g.kernel_h = w.kernel[0], g.stride_h = w.stride[0], g.dilation_h = w.dilation[0], g.pad_top = w.before[0], g.pad_bottom = w.tail(0);
  return g;
}
// A tail longer than the engine's formula wants would add a window.
bool tail_is_exact(const Windows& w) {
  for (std::size_t i = 0; i < w.axes(); ++i)
    if ((w.in[i] + w.before[i] + w.tail(i) - w.reach(i)) / w.stride[i] + 1 != w.out[i]) return false;
  return true;
}

// For each window the flat position, in its plane or in all, of its largest element; -1 is a window of padding alone.
std::vector<std::int64_t> winners(const Tensor& x, const Windows& w) {
  const std::vector<double> v = x.values();
  const std::size_t axes = w.axes();
  std::int64_t plane = 1, outs = 1, taps = 1;
  for (std::size_t i = 0; i < axes; ++i) plane *= w.in[i], outs *= w.out[i], taps *= w.kernel[i];
  const std::int64_t planes = x.size(0) * x.size(1);
  std::vector<std::int64_t> best(static_cast<std::size_t>(planes * outs), -1);
  for (std::int64_t p = 0; p < planes; ++p)
    for (std::int64_t o = 0; o < outs; ++o) {
      std::int64_t at = -1;
      for (std::int64_t k = 0; k < taps; ++k) {
        std::int64_t flat = 0, left_o = o, left_k = k, step = 1;
        bool inside = true;
        for (std::size_t i = axes; i-- > 0;) {
          const std::int64_t pos = left_o % w.out[i] * w.stride[i] - w.before[i] + left_k % w.kernel[i] * w.dilation[i];
          left_o /= w.out[i], left_k /= w.kernel[i];
          inside = inside && pos >= 0 && pos < w.in[i];
          flat += pos * step;
          step *= w.in[i];
        }
        if (!inside) continue;
        flat += p * plane;
        if (at < 0 || v[static_cast<std::size_t>(flat)] > v[static_cast<std::size_t>(at)] ||
            (std::isnan(v[static_cast<std::size_t>(flat)]) && !std::isnan(v[static_cast<std::size_t>(at)])))
          at = flat;
      }
      best[static_cast<std::size_t>(p * outs + o)] = at;
    }
  return best;
}
Shape out_shape(const Tensor& x, const Windows& w, const Call& c) {
  std::vector<std::int64_t> dims{x.size(0), x.size(1)};
  dims.insert(dims.end(), w.out.begin(), w.out.end());
  return shape_of(dims, c);
}

void max_pool(Call& c) {
  const Tensor x = c.x(0);
  const Windows w = windows_of(c, x.shape(), kernel_of(c), c.attr("ceil_mode", 0) != 0);
  const Shape shape = out_shape(x, w, c);
  if (!c.floats(0) || c.wants(1)) {
    std::vector<std::int64_t> best = winners(x, w);
    for (std::int64_t& b : best)
      if (b < 0) c.wrong("has a window of padding alone");
    const Tensor y =
        index_select(reshape(x, {x.numel()}), 0, here(from_ints(best, {static_cast<std::int64_t>(best.size())}, kInt64).tensor));
    c.out(reshape(y, shape), c.type(0));
    if (c.attr("storage_order", 0) != 0) {  // columns first, within the plane
      std::int64_t plane = 1;
      for (const std::int64_t n : w.in) plane *= n;
      for (std::int64_t& b : best) {
        std::int64_t in_plane = b % plane, flat = 0;
        std::vector<std::int64_t> at(w.axes());
        for (std::size_t i = w.axes(); i-- > 0;) at[i] = in_plane % w.in[i], in_plane /= w.in[i];
        for (std::size_t i = w.axes(); i-- > 0;) flat = flat * w.in[i] + at[i];
        b = b / plane * plane + flat;
      }
    }
    return c.out(from_ints(best, shape, kInt64));
  }
  if (engine_takes(w, true) && tail_is_exact(w)) {
    const Tensor y = max_pool2d(w.axes() == 1 ? unsqueeze(x, 2) : x, geometry_of(w));
    return c.out(w.axes() == 1 ? squeeze(y, 2) : y, c.type(0));
  }
  c.out(windowed(framed(x, w.before, tails(w), -std::numeric_limits<double>::infinity()), w, maximum), c.type(0));
}

void average_pool(Call& c) {
  const Tensor x = c.x(0);
  const Windows w = windows_of(c, x.shape(), kernel_of(c), c.attr("ceil_mode", 0) != 0);
  const bool padding = c.attr("count_include_pad", 0) != 0;
  bool longer = false;
  for (std::size_t i = 0; i < w.axes(); ++i) longer = longer || w.tail(i) != w.after[i];
  if (engine_takes(w, false) && tail_is_exact(w) && !(longer && padding)) {
    const Tensor y = avg_pool2d(w.axes() == 1 ? unsqueeze(x, 2) : x, geometry_of(w), padding);
    return c.out(w.axes() == 1 ? squeeze(y, 2) : y, c.type(0));
  }
  // How many elements each window has is a product over the axes.
  std::vector<double> count{1};
  for (std::size_t i = 0; i < w.axes(); ++i) {
    std::vector<double> next;
    for (const double outer : count)
      for (std::int64_t o = 0; o < w.out[i]; ++o) {
        double n = 0;
        for (std::int64_t k = 0; k < w.kernel[i]; ++k) {
          const std::int64_t p = o * w.stride[i] - w.before[i] + k * w.dilation[i];
          n += padding ? p < w.in[i] + w.after[i] : p >= 0 && p < w.in[i];
        }
        next.push_back(outer * n);
      }
    count = std::move(next);
  }
  const Tensor total = windowed(framed(x, w.before, tails(w)), w, add);
  c.out(div(total, from_doubles(count, Shape(w.out), type_of(x.dtype())).tensor), c.type(0));
}

Tensor power_root(const Tensor& sum, double p) { return p == 1 ? sum : p == 2 ? sqrt(sum) : pow(sum, Scalar(1 / p)); }
Tensor powers(const Tensor& x, double p) { return p == 1 ? abs(x) : p == 2 ? square(x) : pow(abs(x), Scalar(p)); }
void lp_pool(Call& c) {
  const Tensor x = c.x(0);
  const Windows w = windows_of(c, x.shape(), kernel_of(c), c.attr("ceil_mode", 0) != 0);
  const double p = c.attr("p", 2.0);
  c.out(power_root(windowed(framed(powers(x, p), w.before, tails(w)), w, add), p), c.type(0));
}

Axes spatial(const Call& c, const Tensor& x) {
  if (x.rank() < 3) c.wrong("has no positions in " + x.str());
  Axes axes;
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  return axes;
}
void global_average(Call& c) { c.out(mean(c.x(0), spatial(c, c.x(0)), true), c.type(0)); }
void global_max(Call& c) { c.out(amax(c.x(0), spatial(c, c.x(0)), true), c.type(0)); }
void global_lp(Call& c) {
  const double p = c.attr("p", 2.0);
  c.out(power_root(sum(powers(c.x(0), p), spatial(c, c.x(0)), true), p), c.type(0));
}

void max_unpool(Call& c) {
  const Tensor x = c.x(0);
  const std::vector<std::int64_t> kernel = kernel_of(c);
  if (x.rank() != static_cast<int>(kernel.size()) + 2) c.wrong("has a kernel for another number of axes than " + x.str());
  const auto stride = positive_list(c, "strides", kernel.size());
  std::vector<std::int64_t> pads = c.list("pads"), dims{x.size(0), x.size(1)};
  if (pads.empty()) pads.assign(2 * kernel.size(), 0);
  if (pads.size() != 2 * kernel.size()) c.wrong("has " + std::to_string(pads.size()) + " pads");
  for (std::size_t i = 0; i < kernel.size(); ++i)
    dims.push_back((x.size(static_cast<int>(i) + 2) - 1) * stride[i] + kernel[i] - pads[i] - pads[i + kernel.size()]);
  const Shape shape = shape_of(dims, c);
  const std::vector<std::int64_t> at = c.ints(1);
  if (static_cast<std::int64_t>(at.size()) != x.numel()) c.wrong("has " + std::to_string(at.size()) + " places for " + x.str());
  const Tensor places = here(from_ints(at, {x.numel()}, kInt64).tensor);
  Tensor y = reshape(scatter(Tensor::zeros({shape.numel()}, x.dtype()), 0, places, reshape(x, {x.numel()})), shape);
  if (c.has(std::size_t{2})) {
    const Shape wanted = shape_of(c.ints(2), c);
    if (wanted.rank() != shape.rank()) c.wrong("wants the output " + wanted.str());
    std::vector<std::int64_t> none(kernel.size(), 0), more;
    for (int i = 2; i < wanted.rank(); ++i) more.push_back(wanted[i] - shape[i]);
    y = framed(y, none, more);
  }
  c.out(y, c.type(0));
}

constexpr Operator kTable[] = {
    {"MaxPool", max_pool},         {"AveragePool", average_pool}, {"LpPool", lp_pool},       {"GlobalAveragePool", global_average},
    {"GlobalMaxPool", global_max}, {"GlobalLpPool", global_lp},   {"MaxUnpool", max_unpool},
};

}  // namespace

std::span<const Operator> pool_operators() { return kTable; }

}  // namespace graft::onnx
