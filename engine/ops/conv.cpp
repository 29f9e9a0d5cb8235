// Convolutions. Forward, input gradient and weight gradient are three bilinear ops whose gradients are each other, so the set is closed
// and gradients of any order need nothing more. The input gradient is the transposed convolution.
#include "kernels/conv/conv.h"

#include "engine/base/flops.h"
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

struct ConvAttrs {
  ConvGeometry g;
  bool relu = false;
  Shape other;  // the shape that the operands do not tell: of x for the input gradient, of the weight for the weight gradient
  std::string str() const {
    return "stride=" + std::to_string(g.stride_h) + "x" + std::to_string(g.stride_w) + ", pad=" + std::to_string(g.pad_top) + "," +
           std::to_string(g.pad_left) + "," + std::to_string(g.pad_bottom) + "," + std::to_string(g.pad_right) +
           ", dilation=" + std::to_string(g.dilation_h) + "x" + std::to_string(g.dilation_w) + ", groups=" + std::to_string(g.groups) +
           (relu ? ", relu" : "");
  }
};
std::int64_t out_size(std::int64_t in, std::int64_t pad, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) {
  return (in + pad - dilation * (kernel - 1) - 1) / stride + 1;
}
// Each of the three passes multiplies every element of y (or dy) with the taps of one output channel.
void count(const Tensor& y, const Tensor& w) {
  counted_flops() += 2.0 * static_cast<double>(y.numel()) * static_cast<double>(w.size(0) ? w.numel() / w.size(0) : 0);
}

Tensor conv_input_grad(const Tensor& dy, const Tensor& w, const Tensor& bias, const ConvAttrs& a);
Tensor conv_weight_grad(const Tensor& x, const Tensor& dy, const ConvAttrs& a);
Tensor conv_plain(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvAttrs& a);

struct Conv {
  static constexpr std::string_view name = "conv2d";
  using Attrs = ConvAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    const Tensor &x = in[0], &w = in[1];
    const ConvGeometry& g = a.g;
    const Shape out{x.size(0), w.size(0), out_size(x.size(2), g.pad_top + g.pad_bottom, w.size(2), g.stride_h, g.dilation_h),
                    out_size(x.size(3), g.pad_left + g.pad_right, w.size(3), g.stride_w, g.dilation_w)};
    Tensor y = raw::empty_in_order(out, x.dtype(), raw::channels_last(x));
    const Tensor b = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    count(y, w);
    conv_family().run(current_queue(), {x.view(), w.view(), raw::maybe(b), y.view(), g, a.relu});
    c.keep(c.needs(1) ? x : Tensor{});
    c.keep(c.needs(0) ? w : Tensor{});
    if (a.relu) c.keep_output(0);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy0) {
    Tensor dy = dy0[0];
    ConvAttrs b = a;
    b.relu = false;
    if (a.relu) dy = raw::binary(ElementwiseOp::relu_grad, raw::in_order(dy, raw::channels_last(c.saved(2))), c.saved(2));
    Tensors dx(3);
    if (c.needs(2) && c.needs(1) && !recording()) {  // both in one visit of dy
      Tensor dw = Tensor::empty(c.input_shape(1), dy.dtype()), db = Tensor::empty(c.input_shape(2), dy.dtype());
      count(dy, dw);
      conv_weight_grad_family().run(current_queue(), {c.saved(0).view(), dy.view(), dw.view(), db.view(), a.g});
      dx[1] = dw;
      dx[2] = db;
    } else {
      if (c.needs(1)) {
        b.other = c.input_shape(1);
        dx[1] = conv_weight_grad(c.saved(0), dy, b);
      }
      if (c.needs(2)) dx[2] = sum(dy, {0, 2, 3});
    }
    if (c.needs(0)) {
      b.other = c.input_shape(0);
      dx[0] = conv_input_grad(dy, c.saved(1), {}, b);
    }
    return dx;
  }
  static std::vector<GradCase> cases() {
    const auto f = [](ConvGeometry g) { return [g](const Tensors& t) { return conv2d(t[0], t[1], t.size() > 2 ? t[2] : Tensor{}, g); }; };
    ConvGeometry pad, stride, groups;
    pad.pad_top = pad.pad_bottom = pad.pad_left = 1;
    stride.stride_h = 2, stride.stride_w = 1, stride.dilation_w = 2;
    groups.groups = 2;
    return {{"plain", {{2, 3, 5, 4}, {4, 3, 3, 2}, {4}}, f({})},
            {"padded", {{1, 2, 4, 4}, {3, 2, 3, 3}}, f(pad)},
            {"strided, dilated", {{1, 2, 5, 6}, {2, 2, 2, 2}, {2}}, f(stride)},
            {"groups", {{2, 4, 3, 3}, {6, 2, 2, 2}, {6}}, f(groups)}};
  }
};
// conv2d with ReLU in its epilogue
struct ConvRelu : Conv {
  static constexpr std::string_view name = "conv2d_relu";
  static Tensors plain(const Attrs& a, const Tensors& in) {
    ConvAttrs b = a;
    b.relu = false;
    return {relu(record1<Conv>(b, in))};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3, 5, 4}, {4, 3, 3, 2}, {4}}, [](const Tensors& t) { return conv2d_relu(t[0], t[1], t[2]); }, Domain::any, false}};
  }
};
struct ConvInputGrad {  // in: dy, weight, bias (of the transposed convolution)
  static constexpr std::string_view name = "conv_transpose2d";
  using Attrs = ConvAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor dx = raw::empty_in_order(a.other, in[0].dtype(), raw::channels_last(in[0]));
    const Tensor b = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    count(in[0], in[1]);
    conv_input_grad_family().run(current_queue(), {in[0].view(), in[1].view(), raw::maybe(b), dx.view(), a.g});
    c.keep(c.needs(1) ? in[0] : Tensor{});
    c.keep(c.needs(0) ? in[1] : Tensor{});
    return {dx};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& g) {
    ConvAttrs b = a;
    Tensors out(3);
    if (c.needs(0)) out[0] = conv_plain(g[0], c.saved(1), {}, b);
    if (c.needs(1)) {
      b.other = c.input_shape(1);
      out[1] = conv_weight_grad(g[0], c.saved(0), b);
    }
    if (c.needs(2)) out[2] = sum(g[0], {0, 2, 3});
    return out;
  }
  static std::vector<GradCase> cases() {
    ConvGeometry g;
    g.stride_h = 2, g.pad_left = 1, g.pad_right = 1;
    return {{"", {{2, 3, 3, 4}, {3, 2, 3, 2}, {2}}, [g](const Tensors& t) { return conv_transpose2d(t[0], t[1], t[2], g); }},
            {"output padding", {{1, 2, 3, 3}, {2, 2, 3, 3}}, [g](const Tensors& t) { return conv_transpose2d(t[0], t[1], {}, g, 1, 0); }}};
  }
};
struct ConvWeightGrad {  // in: x, dy
  static constexpr std::string_view name = "conv_weight_grad";
  using Attrs = ConvAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor dw = Tensor::empty(a.other, in[0].dtype());
    count(in[1], dw);
    conv_weight_grad_family().run(current_queue(), {in[0].view(), in[1].view(), dw.view(), View{}, a.g});
    c.keep(c.needs(1) ? in[0] : Tensor{});
    c.keep(c.needs(0) ? in[1] : Tensor{});
    return {dw};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& g) {
    ConvAttrs b = a;
    Tensors out(2);
    if (c.needs(0)) {
      b.other = c.input_shape(0);
      out[0] = conv_input_grad(c.saved(1), g[0], {}, b);
    }
    if (c.needs(1)) out[1] = conv_plain(c.saved(0), g[0], {}, b);
    return out;
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 2, 4, 4}, {2, 3, 3, 3}}, [](const Tensors& t) {
               ConvAttrs a;
               a.other = {3, 2, 2, 2};
               return conv_weight_grad(t[0], t[1], a);
             }}};
  }
};

Tensor conv_input_grad(const Tensor& dy, const Tensor& w, const Tensor& bias, const ConvAttrs& a) {
  return record1<ConvInputGrad>(a, {dy, w, bias});
}
Tensor conv_weight_grad(const Tensor& x, const Tensor& dy, const ConvAttrs& a) { return record1<ConvWeightGrad>(a, {x, dy}); }
Tensor conv_plain(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvAttrs& a) {
  ConvAttrs b = a;
  b.relu = false;
  return record1<Conv>(b, {x, w, bias});
}

// flat: a 1-d form, whose tensors have a third axis of 1 that the caller does not know of.
void check(const char* op, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvGeometry& g, bool transposed,
           bool flat = false) {
  const std::string who = std::string(op) + ": ";
  const auto shown = [&](const Tensor& t) { return flat ? squeeze(t, 2).str() : t.str(); };
  const auto with = [&] { return "input " + shown(x) + " and weight " + shown(w); };
  if (x.rank() != 4 || w.rank() != 4)
    throw Error(Code::usage, who + with() + ": both want four axes [n, channels, h, w] and [out, in/groups, r, s]");
  raw::want_float(op, "input", x);
  if (w.dtype() != x.dtype() || (bias.defined() && bias.dtype() != x.dtype()))
    throw Error(Code::usage, who + with() + " differ in dtype; cast them to one");
  if (g.stride_h < 1 || g.stride_w < 1 || g.dilation_h < 1 || g.dilation_w < 1 || g.groups < 1)
    throw Error(Code::usage, who + "stride, dilation and groups must be at least 1");
  if (g.pad_top < 0 || g.pad_left < 0 || g.pad_bottom < 0 || g.pad_right < 0)
    throw Error(Code::usage, who + "padding must not be negative");
  const std::int64_t in = x.size(1);
  if (transposed ? in != w.size(0) : in != w.size(1) * g.groups)
    throw Error(Code::usage, who + "input has " + std::to_string(in) + " channels but weight " + shown(w) + " wants " +
                                 std::to_string(transposed ? w.size(0) : w.size(1) * g.groups) +
                                 (g.groups > 1 ? " (groups=" + std::to_string(g.groups) + ")" : ""));
  if (in % g.groups || w.size(0) % g.groups)
    throw Error(Code::usage, who + with() + " do not divide into " + std::to_string(g.groups) + " groups");
  const std::int64_t out = transposed ? w.size(1) * g.groups : w.size(0);
  if (bias.defined() && (bias.rank() != 1 || bias.size(0) != out))
    throw Error(Code::usage, who + "bias " + bias.str() + " wants [" + std::to_string(out) + "]");
  if (w.size(2) < 1 || w.size(3) < 1) throw Error(Code::usage, who + "the kernel of weight " + shown(w) + " must be at least 1 wide");
  if (!transposed && (x.size(2) + g.pad_top + g.pad_bottom < g.dilation_h * (w.size(2) - 1) + 1 ||
                      x.size(3) + g.pad_left + g.pad_right < g.dilation_w * (w.size(3) - 1) + 1))
    throw Error(Code::usage, who + with() + ": the kernel is larger than the padded input");
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g) {
  check("conv2d", x, weight, bias, g, false);
  return record1<Conv>({g, false, {}}, {x, weight, bias});
}
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g) {
  check("conv2d_relu", x, weight, bias, g, false);
  return record1<ConvRelu>({g, true, {}}, {x, weight, bias});
}
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, std::int64_t stride, std::int64_t padding, std::int64_t dilation,
              std::int64_t groups) {
  if (x.rank() != 3 || weight.rank() != 3)
    throw Error(Code::usage,
                "conv1d: input " + x.str() + " and weight " + weight.str() + " want three axes [n, channels, w] and [out, in/groups, s]");
  ConvGeometry g;
  g.stride_w = stride;
  g.pad_left = g.pad_right = padding;
  g.dilation_w = dilation;
  g.groups = groups;
  const Tensor high = unsqueeze(x, 2), kernel = unsqueeze(weight, 2);
  check("conv1d", high, kernel, bias, g, false, true);
  return squeeze(conv2d(high, kernel, bias, g), 2);
}
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, std::int64_t oph,
                        std::int64_t opw) {
  check("conv_transpose2d", x, weight, bias, g, true);
  if (oph < 0 || opw < 0 || (oph >= g.stride_h && oph >= g.dilation_h) || (opw >= g.stride_w && opw >= g.dilation_w))
    throw Error(Code::usage, "conv_transpose2d: output padding must be smaller than stride or dilation");
  ConvAttrs a{g, false, {}};
  a.other = {x.size(0), weight.size(1) * g.groups,
             (x.size(2) - 1) * g.stride_h - g.pad_top - g.pad_bottom + g.dilation_h * (weight.size(2) - 1) + oph + 1,
             (x.size(3) - 1) * g.stride_w - g.pad_left - g.pad_right + g.dilation_w * (weight.size(3) - 1) + opw + 1};
  if (a.other[2] < 1 || a.other[3] < 1)
    throw Error(Code::usage, "conv_transpose2d: input " + x.str() + " and weight " + weight.str() + " leave an output without size");
  return conv_input_grad(x, weight, bias, a);
}

std::vector<OpInfo> conv_ops() { return {info<Conv>(), info<ConvRelu>(), info<ConvInputGrad>(), info<ConvWeightGrad>()}; }

}  // namespace graft
