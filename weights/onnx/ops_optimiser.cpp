// Steps of optimisers as operators (ai.onnx.preview.training): rate, step count, then groups of tensors, all first, then all second, and so
// on.
#include <cmath>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

struct Groups {
  double rate, step;
  std::size_t n, kinds;
  Groups(const Call& c, std::size_t kinds) : rate(c.number(0)), step(c.number(1)), n((c.inputs() - 2) / kinds), kinds(kinds) {
    if (c.inputs() < 2 + kinds || (c.inputs() - 2) % kinds)
      c.wrong("has " + std::to_string(c.inputs()) + " inputs, which are no groups of " + std::to_string(kinds));
  }
  Tensor at(const Call& c, std::size_t kind, std::size_t i) const { return c.x(2 + kind * n + i); }
};
// Results come group by group as well.
void give(Call& c, const std::vector<Tensors>& kinds) {
  for (const Tensors& k : kinds)
    for (const Tensor& t : k) c.out(t);
}

void adagrad(Call& c) {
  const Groups g(c, 3);
  const double rate = g.rate / (1 + g.step * c.attr("decay_factor", 0.0)), eps = c.attr("epsilon", 1e-6),
               decay = c.attr("norm_coefficient", 0.0);
  std::vector<Tensors> out(2);
  for (std::size_t i = 0; i < g.n; ++i) {
    const Tensor x = g.at(c, 0, i), grad = add(mul(x, decay), g.at(c, 1, i)), h = add(g.at(c, 2, i), square(grad));
    out[0].push_back(sub(x, div(mul(grad, rate), add(sqrt(h), eps))));
    out[1].push_back(h);
  }
  give(c, out);
}
void adam(Call& c) {
  const Groups g(c, 4);
  const double alpha = c.attr("alpha", 0.9), beta = c.attr("beta", 0.999), eps = c.attr("epsilon", 1e-6),
               decay = c.attr("norm_coefficient", 0.0), post = c.attr("norm_coefficient_post", 0.0);
  const double rate = g.step > 0 ? g.rate * std::sqrt(1 - std::pow(beta, g.step)) / (1 - std::pow(alpha, g.step)) : g.rate;
  std::vector<Tensors> out(3);
  for (std::size_t i = 0; i < g.n; ++i) {
    const Tensor x = g.at(c, 0, i), grad = add(mul(x, decay), g.at(c, 1, i));
    const Tensor v = add(mul(g.at(c, 2, i), alpha), mul(grad, 1 - alpha)), h = add(mul(g.at(c, 3, i), beta), mul(square(grad), 1 - beta));
    out[0].push_back(mul(sub(x, div(mul(v, rate), add(sqrt(h), eps))), 1 - post));
    out[1].push_back(v);
    out[2].push_back(h);
  }
  give(c, out);
}
void momentum(Call& c) {
  const Groups g(c, 3);
  const double alpha = c.attr("alpha", 0.0), beta = g.step > 0 ? c.attr("beta", 0.0) : 1, decay = c.attr("norm_coefficient", 0.0);
  const std::string mode = c.attr("mode", "standard");
  if (mode != "standard" && mode != "nesterov") c.wrong("has the mode '" + mode + "'");
  std::vector<Tensors> out(2);
  for (std::size_t i = 0; i < g.n; ++i) {
    const Tensor x = g.at(c, 0, i), grad = add(mul(x, decay), g.at(c, 1, i)), v = add(mul(g.at(c, 2, i), alpha), mul(grad, beta));
    out[0].push_back(sub(x, mul(mode == "nesterov" ? add(grad, mul(v, alpha)) : v, g.rate)));
    out[1].push_back(v);
  }
  give(c, out);
}

constexpr std::string_view kDomain = "ai.onnx.preview.training";
constexpr Operator kTable[] = {{"Adagrad", adagrad, kDomain}, {"Adam", adam, kDomain}, {"Momentum", momentum, kDomain}};

}  // namespace

std::span<const Operator> optimiser_operators() { return kTable; }

}  // namespace graft::onnx
