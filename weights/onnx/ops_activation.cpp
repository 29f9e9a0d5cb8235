// Functions between layers, and Dropout.
#include <cmath>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

Tensor floats(const Call& c) {
  if (!c.floats(0)) c.wrong("wants floats, not " + type_name(c.type(0)));
  return c.x(0);
}
template <Tensor (*F)(const Tensor&)>
void plain(Call& c) {
  c.out(F(floats(c)), c.type(0));
}

Tensor positive(const Tensor& x) { return relu(x); }
Tensor negative(const Tensor& x) { return neg(relu(neg(x))); }  // min(x, 0)

void rectify(Call& c) {
  if (c.floats(0)) return c.out(relu(c.x(0)), c.type(0));
  c.out(map_ints(c.in(0), c.type(0), [](std::int64_t v) { return std::max<std::int64_t>(v, 0); }));
}
void leaky(Call& c) { c.out(leaky_relu(floats(c), c.attr("alpha", 0.01)), c.type(0)); }
void elu_of(Call& c) { c.out(elu(floats(c), c.attr("alpha", 1.0)), c.type(0)); }
void selu(Call& c) {
  const double alpha = c.attr("alpha", 1.67326319217681884765625), gamma = c.attr("gamma", 1.05070102214813232421875);
  c.out(mul(elu(floats(c), alpha), gamma), c.type(0));
}
void celu(Call& c) {
  const double alpha = c.attr("alpha", 1.0);
  const Tensor x = floats(c);
  c.out(add(positive(x), mul(expm1(div(negative(x), alpha)), alpha)), c.type(0));
}
void hard_sigmoid(Call& c) { c.out(clamp(add(mul(floats(c), c.attr("alpha", 0.2)), c.attr("beta", 0.5)), 0, 1), c.type(0)); }
Tensor soft_sign(const Tensor& x) { return div(x, add(abs(x), 1)); }
void thresholded(Call& c) {
  const Tensor x = floats(c), at = Tensor::scalar(c.attr("alpha", 1.0), x.dtype());
  c.out(where(gt(x, at), x, Tensor::scalar(0, x.dtype())), c.type(0));
}
void shrink(Call& c) {
  const double bias = c.attr("bias", 0.0), lambda = c.attr("lambd", 0.5);
  if (!c.floats(0)) {
    return c.out(map_ints(c.in(0), c.type(0), [&](std::int64_t v) {
      const auto d = static_cast<double>(v);
      return d < -lambda ? static_cast<std::int64_t>(d + bias) : d > lambda ? static_cast<std::int64_t>(d - bias) : std::int64_t{0};
    }));
  }
  const Tensor x = c.x(0), zero = Tensor::scalar(0, x.dtype());
  c.out(where(lt(x, Tensor::scalar(-lambda, x.dtype())), add(x, bias), where(gt(x, Tensor::scalar(lambda, x.dtype())), sub(x, bias), zero)),
        c.type(0));
}
void parametric(Call& c) {
  const Tensor x = floats(c);
  Tensor slope = c.x(1);
  if (c.opset < 7 && slope.rank() == 1 && slope.numel() > 1) {  // one per channel
    Shape s = slope.shape();
    while (s.rank() + 1 < x.rank()) s.push_back(1);
    slope = reshape(slope, s);
  }
  c.out(add(positive(x), mul(negative(x), slope)), c.type(0));
}
void gelu_of(Call& c) {
  const std::string form = c.attr("approximate", "none");
  if (form != "none" && form != "tanh") c.wrong("approximates by '" + form + "'");
  c.out(gelu(floats(c), form == "tanh"), c.type(0));
}
void swish(Call& c) {
  const Tensor x = floats(c);
  const double alpha = c.attr("alpha", 1.0);
  c.out(alpha == 1 ? silu(x) : mul(x, sigmoid(mul(x, alpha))), c.type(0));
}

void drop(Call& c) {
  const Tensor x = floats(c);
  double ratio = c.opset < 12 ? c.attr("ratio", 0.5) : c.has(std::size_t{1}) ? c.number(1) : 0.5;
  // Before opset 7 the graph itself said that it tests; since 12 that it trains. Who trains the graph trains it all.
  const bool asked =
      c.opset >= 12 ? c.has(std::size_t{2}) && c.number(2) != 0 : c.opset < 7 && c.has("is_test") && c.attr("is_test", 0) == 0;
  if (!(ratio >= 0 && ratio < 1) && !(ratio == 1)) c.wrong("drops the part " + std::to_string(ratio));
  if ((!asked && !c.training()) || ratio == 0) {
    c.out(x, c.type(0));
    return c.out(from_ints(std::vector<std::int64_t>(static_cast<std::size_t>(x.numel()), 1), x.shape(), kBool));
  }
  if (ratio == 1) {
    c.out(mul(x, 0.0), c.type(0));
    return c.out(Tensor::zeros(x.shape(), DType::b8), kBool);
  }
  const Tensor kept = dropout(Tensor::ones(x.shape(), x.dtype()), ratio, c.random());
  c.out(mul(x, kept), c.type(0));
  c.out(ne(kept, Tensor::scalar(0, x.dtype())), kBool);
}

constexpr Operator kTable[] = {
    {"Relu", rectify},
    {"LeakyRelu", leaky},
    {"Elu", elu_of},
    {"Selu", selu},
    {"Celu", celu},
    {"Sigmoid", plain<sigmoid>},
    {"HardSigmoid", hard_sigmoid},
    {"HardSwish", plain<hardswish>},
    {"Tanh", plain<tanh>},
    {"Softplus", plain<softplus>},
    {"Softsign", plain<soft_sign>},
    {"ThresholdedRelu", thresholded},
    {"Shrink", shrink},
    {"PRelu", parametric},
    {"Gelu", gelu_of},
    {"Mish", plain<mish>},
    {"Swish", swish},
    {"Dropout", drop},
};

}  // namespace

std::span<const Operator> activation_operators() { return kTable; }

}  // namespace graft::onnx
