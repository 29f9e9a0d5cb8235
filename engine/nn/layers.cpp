#include "engine/nn/layers.h"

#include <cmath>
#include <map>

#include "engine/autograd/tape.h"

namespace graft {

Tensor Module::features(const Tensor&, Run&) const {
  throw Error(Code::usage, "this model has no features before a last layer; the linear probe wants a classifier");
}
Init default_weight_init() { return Init::kaiming_uniform(std::sqrt(1.0 / 3)); }
namespace {
Tensor default_weight(const Params& p, const Shape& s) { return p.get("weight", s, default_weight_init()); }
// PyTorch's default for their biases: uniform in 1/sqrt(fan_in).
Tensor default_bias(const Params& p, std::int64_t n, std::int64_t fan_in) {
  return p.get("bias", {n}, Init::uniform(fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0));
}
}  // namespace

Linear::Linear(const Params& p, std::int64_t in, std::int64_t out, bool with_bias, const Init& weight_init)
    : weight(p.get("weight", {out, in}, weight_init)), adapter(p.adapter(weight)) {
  if (with_bias) bias = default_bias(p, out, in);
}
Tensor Linear::forward(const Tensor& x, Run&) const { return linear(x, effective(), bias); }
Tensor LinearAct::forward(const Tensor& x, Run& run) const {
  return bias_act(graft::linear(x, linear.effective()), linear.bias, Tensor{}, {act, run.training ? p : 0}, run.random);
}

Conv2d::Conv2d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel_h, std::int64_t kernel_w, const ConvGeometry& g,
               bool with_bias, const Init& weight_init)
    : weight(p.get("weight", {out, in / g.groups, kernel_h, kernel_w}, weight_init)), adapter(p.adapter(weight)), geometry(g) {
  if (with_bias) bias = default_bias(p, out, in / g.groups * kernel_h * kernel_w);
}
Tensor Conv2d::forward(const Tensor& x, Run&) const { return conv2d(x, effective(), bias, geometry); }

Conv1d::Conv1d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
               std::int64_t dilation, std::int64_t groups, bool with_bias)
    : weight(default_weight(p, {out, in / groups, kernel})), stride(stride), padding(padding), dilation(dilation), groups(groups) {
  if (with_bias) bias = default_bias(p, out, in / groups * kernel);
}
Tensor Conv1d::forward(const Tensor& x, Run&) const { return conv1d(x, weight, bias, stride, padding, dilation, groups); }

ConvTranspose2d::ConvTranspose2d(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel, const ConvGeometry& g,
                                 std::int64_t output_padding, bool with_bias)
    : weight(default_weight(p, {in, out / g.groups, kernel, kernel})), geometry(g), output_padding(output_padding) {
  if (with_bias) bias = default_bias(p, out, out / g.groups * kernel * kernel);
}
Tensor ConvTranspose2d::forward(const Tensor& x, Run&) const {
  return conv_transpose2d(x, weight, bias, geometry, output_padding, output_padding);
}

BatchNorm::BatchNorm(const Params& p, std::int64_t channels, double eps, double momentum)
    : weight(p.get("weight", {channels}, Init::constant(1))),
      bias(p.get("bias", {channels}, Init::zeros())),
      running_mean(p.buffer("running_mean", {channels}, 0)),
      running_var(p.buffer("running_var", {channels}, 1)),
      eps(eps),
      momentum(momentum),
      frozen_statistics(p.rules().frozen_statistics) {}
Tensor segment(const Tensor& x, Run& run, const std::function<Tensor(const Tensor&, Run&)>& f) {
  if (!run.recompute || !run.training || !recording()) return f(x, run);
  const auto first = std::make_shared<bool>(true);
  Run* live = &run;  // of the first pass, which is over when checkpoint() returns
  return checkpoint(
      [f, start = run, first, live](const Tensors& in) {
        Run own = start;
        own.moves_statistics = own.moves_statistics && *first;
        const Tensor y = f(in[0], own);
        if (*first) live->random = own.random;
        *first = false;
        return Tensors{y};
      },
      {x})[0];
}

Tensor BatchNorm::forward(const Tensor& x, Run& run) const {
  const bool training = run.training && !frozen_statistics, keep = training && !run.moves_statistics;
  return batch_norm(x, weight, bias, keep ? Tensor{} : running_mean, keep ? Tensor{} : running_var, training, momentum, eps);
}

LayerNorm::LayerNorm(const Params& p, std::int64_t width, double eps)
    : weight(p.get("weight", {width}, Init::constant(1))), bias(p.get("bias", {width}, Init::zeros())), eps(eps) {}
GroupNorm::GroupNorm(const Params& p, std::int64_t groups, std::int64_t channels, double eps)
    : groups(groups), weight(p.get("weight", {channels}, Init::constant(1))), bias(p.get("bias", {channels}, Init::zeros())), eps(eps) {}
RmsNorm::RmsNorm(const Params& p, std::int64_t width, double eps) : weight(p.get("weight", {width}, Init::constant(1))), eps(eps) {}
Embedding::Embedding(const Params& p, std::int64_t vocab, std::int64_t dim, std::int64_t padding_index)
    : weight(p.get("weight", {vocab, dim}, Init::normal(1).with_zero_row(padding_index))), padding_index(padding_index) {}

Activation::Activation(const std::string& name) {
  static const std::map<std::string, Tensor (*)(const Tensor&)> known = {{"relu", [](const Tensor& x) { return relu(x); }},
                                                                         {"gelu", [](const Tensor& x) { return gelu(x); }},
                                                                         {"gelu_tanh", [](const Tensor& x) { return gelu(x, true); }},
                                                                         {"silu", [](const Tensor& x) { return silu(x); }},
                                                                         {"tanh", [](const Tensor& x) { return tanh(x); }},
                                                                         {"sigmoid", [](const Tensor& x) { return sigmoid(x); }},
                                                                         {"softplus", [](const Tensor& x) { return softplus(x); }},
                                                                         {"elu", [](const Tensor& x) { return elu(x); }},
                                                                         {"leaky_relu", [](const Tensor& x) { return leaky_relu(x); }},
                                                                         {"hardswish", [](const Tensor& x) { return hardswish(x); }},
                                                                         {"mish", [](const Tensor& x) { return mish(x); }}};
  const auto it = known.find(name);
  if (it == known.end()) {
    std::string names;
    for (const auto& k : known) names += (names.empty() ? "" : ", ") + k.first;
    throw Error(Code::usage, "no activation '" + name + "'; there are " + names);
  }
  f_ = it->second;
}

Tensor Sequential::forward(const Tensor& x, Run& run) const {
  Tensor y = x;
  for (const auto& m : parts) y = m->forward(y, run);
  return y;
}
Tensor Residual::forward(const Tensor& x, Run& run) const {
  const Tensor skip = shortcut ? shortcut->forward(x, run) : x;
  return graft::add(skip, body->forward(x, run));
}

}  // namespace graft
