// Pooling. Max pooling remembers each winner's position: forward is a gather and backward a scatter, which are each other's gradients.
#include "kernels/pool/pool.h"

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

struct PoolAttrs {
  PoolGeometry g;
  bool count_padding = true;
  bool last = false;  // the input lies channels last: so do the output and both gradients
  Shape input;
  std::string str() const {
    return "kernel=" + std::to_string(g.kernel_h) + "x" + std::to_string(g.kernel_w) + ", stride=" + std::to_string(g.stride_h) + "x" +
           std::to_string(g.stride_w);
  }
};
std::int64_t out_size(std::int64_t in, std::int64_t pad, std::int64_t k, std::int64_t stride, std::int64_t dilation) {
  const std::int64_t room = in + pad - dilation * (k - 1) - 1;  // for the window to move; a quotient of less than 0 would round up
  return room < 0 ? 0 : room / stride + 1;
}
Shape pooled(const Shape& x, const PoolGeometry& g) {
  return {x[0], x[1], out_size(x[2], g.pad_top + g.pad_bottom, g.kernel_h, g.stride_h, g.dilation_h),
          out_size(x[3], g.pad_left + g.pad_right, g.kernel_w, g.stride_w, g.dilation_w)};
}

// dx from dy and the winners' positions; linear in dy, its gradient takes the values at those positions.
struct MaxPoolScatter {
  static constexpr std::string_view name = "max_pool2d_grad";
  using Attrs = PoolAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const Tensor dy = raw::in_order(in[0], a.last);
    Tensor dx = raw::empty_in_order(a.input, dy.dtype(), a.last);
    max_pool_grad_family().run(current_queue(), {dy.view(), in[1].view(), dx.view(), a.g});
    c.keep(in[1]);
    return {dx};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& g) {
    const Shape& s = a.input;
    const Tensor flat = reshape(g[0], {s[0], s[1], s[2] * s[3]}), where = raw::cast(c.saved(0), DType::i64);
    return {reshape(gather(flat, 2, reshape(where, {s[0], s[1], -1})), where.shape()), Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{1, 2, 2, 2}}, [](const Tensors& t) {
               PoolAttrs a;
               a.g.kernel_h = a.g.kernel_w = a.g.stride_h = a.g.stride_w = 2;
               a.input = {1, 2, 4, 4};
               return record1<MaxPoolScatter>(a, {t[0], Tensor::from<std::int32_t>({0, 3, 9, 14, 5, 2, 12, 11}, {1, 2, 2, 2})});
             }}};
  }
};
struct MaxPool {
  static constexpr std::string_view name = "max_pool2d";
  using Attrs = PoolAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const Shape s = pooled(in[0].shape(), a.g);
    Tensor y = raw::empty_in_order(s, in[0].dtype(), a.last);
    Tensor where;
    if (c.needs(0)) where = Tensor::empty({s[0], s[2], s[3], s[1]}, DType::i32).alias(s, y.strides(), 0);
    max_pool_family().run(current_queue(), {in[0].view(), y.view(), raw::maybe(where), a.g});
    c.keep(where);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    PoolAttrs b = a;
    b.input = c.input_shape(0);
    return {record1<MaxPoolScatter>(b, {dy[0], c.saved(0)})};
  }
  static std::vector<GradCase> cases() {
    PoolGeometry two, overlap;
    two.kernel_h = two.kernel_w = two.stride_h = two.stride_w = 2;
    overlap.kernel_h = 3, overlap.kernel_w = 2, overlap.stride_h = 2, overlap.pad_top = 1, overlap.dilation_w = 2;
    return {{"2x2", {{2, 2, 4, 6}}, [two](const Tensors& t) { return max_pool2d(t[0], two); }, Domain::spread},
            {"overlapping", {{1, 2, 5, 5}}, [overlap](const Tensors& t) { return max_pool2d(t[0], overlap); }, Domain::spread}};
  }
};
struct AvgPoolGrad;
struct AvgPool {
  static constexpr std::string_view name = "avg_pool2d";
  using Attrs = PoolAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    Tensor y = raw::empty_in_order(pooled(in[0].shape(), a.g), in[0].dtype(), a.last);
    avg_pool_family().run(current_queue(), {in[0].view(), y.view(), a.g, a.count_padding});
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy);
  static std::vector<GradCase> cases() {
    PoolGeometry g;
    g.kernel_h = 3, g.kernel_w = 2, g.stride_h = 2, g.pad_top = 1, g.pad_right = 1;
    return {{"padding counts", {{1, 2, 5, 4}}, [g](const Tensors& t) { return avg_pool2d(t[0], g); }},
            {"inside only", {{1, 2, 5, 4}}, [g](const Tensors& t) { return avg_pool2d(t[0], g, false); }}};
  }
};
struct AvgPoolGrad {
  static constexpr std::string_view name = "avg_pool2d_grad";
  using Attrs = PoolAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    const Tensor dy = raw::in_order(in[0], a.last);
    Tensor dx = raw::empty_in_order(a.input, dy.dtype(), a.last);
    avg_pool_grad_family().run(current_queue(), {dy.view(), dx.view(), a.g, a.count_padding});
    return {dx};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& g) { return {record1<AvgPool>(a, {g[0]})}; }
  static std::vector<GradCase> cases() {
    return {{"", {{1, 2, 2, 2}}, [](const Tensors& t) {
               PoolAttrs a;
               a.g.kernel_h = a.g.kernel_w = a.g.stride_h = a.g.stride_w = 2;
               a.input = {1, 2, 4, 4};
               return record1<AvgPoolGrad>(a, {t[0]});
             }}};
  }
};
Tensors AvgPool::backward(const Context& c, const Attrs& a, const Tensors& dy) {
  PoolAttrs b = a;
  b.input = c.input_shape(0);
  return {record1<AvgPoolGrad>(b, {dy[0]})};
}

// flat: a 1-d form, whose input has a third axis of 1 that the caller does not know of.
void check(const char* op, const Tensor& x, const PoolGeometry& g, bool flat = false) {
  const std::string who = std::string(op) + ": ";
  raw::want_float(op, "input", x);
  if (x.rank() != 4) throw Error(Code::usage, who + "input " + x.str() + " wants four axes [n, channels, h, w]");
  if (g.kernel_h < 1 || g.kernel_w < 1 || g.stride_h < 1 || g.stride_w < 1 || g.dilation_h < 1 || g.dilation_w < 1)
    throw Error(Code::usage, who + "kernel, stride and dilation must be at least 1");
  if (g.pad_top < 0 || g.pad_bottom < 0 || g.pad_left < 0 || g.pad_right < 0 || 2 * std::max(g.pad_top, g.pad_bottom) > g.kernel_h ||
      2 * std::max(g.pad_left, g.pad_right) > g.kernel_w)
    throw Error(Code::usage, who + "padding must be between 0 and half the kernel");
  const Shape s = pooled(x.shape(), g);
  if (s[2] < 1 || s[3] < 1)
    throw Error(Code::usage, who + "the kernel is larger than the padded input " + (flat ? squeeze(x, 2) : x).str());
}
// The input with its third axis.
Tensor raised(const char* op, const Tensor& x, const PoolGeometry& g) {
  if (x.rank() != 3) throw Error(Code::usage, std::string(op) + ": input " + x.str() + " wants three axes [n, channels, w]");
  const Tensor high = unsqueeze(x, 2);
  check(op, high, g, true);
  return high;
}
PoolGeometry flat_geometry(std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  PoolGeometry g;
  g.kernel_w = kernel;
  g.stride_w = stride ? stride : kernel;
  g.pad_left = g.pad_right = padding;
  return g;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const PoolGeometry& g) {
  check("max_pool2d", x, g);
  return record1<MaxPool>({g, true, raw::channels_last(x), {}}, {x});
}
Tensor avg_pool2d(const Tensor& x, const PoolGeometry& g, bool count_padding) {
  check("avg_pool2d", x, g);
  if (g.dilation_h != 1 || g.dilation_w != 1) throw Error(Code::usage, "avg_pool2d: dilation is for max pooling only");
  return record1<AvgPool>({g, count_padding, raw::channels_last(x), {}}, {x});
}
Tensor max_pool1d(const Tensor& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  const PoolGeometry g = flat_geometry(kernel, stride, padding);
  return squeeze(max_pool2d(raised("max_pool1d", x, g), g), 2);
}
Tensor avg_pool1d(const Tensor& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  const PoolGeometry g = flat_geometry(kernel, stride, padding);
  return squeeze(avg_pool2d(raised("avg_pool1d", x, g), g), 2);
}
Tensor global_avg_pool(const Tensor& x) {
  if (x.rank() < 3)
    throw Error(Code::usage, "global_avg_pool: input " + x.str() + " has no positions to average; wants [n, channels, ...]");
  Axes axes;
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  return mean(x, axes);
}

std::vector<OpInfo> pool_ops() { return {info<MaxPool>(), info<MaxPoolScatter>(), info<AvgPool>(), info<AvgPoolGrad>()}; }

}  // namespace graft
