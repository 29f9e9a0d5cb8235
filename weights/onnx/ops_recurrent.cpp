// RNN, GRU and LSTM, step by step: the inputs' part of all gates is one product over all steps, the rest is made of the engine's
// operations, so that gradients come by themselves. Gates stand in ONNX's order: z, r, h and i, o, f, c.
#include <algorithm>
#include <cctype>
#include <functional>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

using Function = std::function<Tensor(const Tensor&)>;

// The node's activations in order; those with constants take them in order from activation_alpha and activation_beta.
class Activations {
 public:
  explicit Activations(const Call& c, std::vector<std::string> names)
      : c_(c), names_(std::move(names)), alpha_(c.reals("activation_alpha")), beta_(c.reals("activation_beta")) {}
  Function next() {
    std::string n = names_[at_++];
    for (char& ch : n) ch = static_cast<char>(std::tolower(static_cast<unsigned char>(ch)));
    if (n == "sigmoid") return [](const Tensor& x) { return sigmoid(x); };
    if (n == "tanh") return [](const Tensor& x) { return tanh(x); };
    if (n == "relu") return [](const Tensor& x) { return relu(x); };
    if (n == "softsign") return [](const Tensor& x) { return div(x, add(abs(x), 1)); };
    if (n == "softplus") return [](const Tensor& x) { return softplus(x); };
    if (n == "affine") {
      const double a = alpha(1), b = beta(0);
      return [a, b](const Tensor& x) { return add(mul(x, a), b); };
    }
    if (n == "leakyrelu") {
      const double a = alpha(0.01);
      return [a](const Tensor& x) { return leaky_relu(x, a); };
    }
    if (n == "elu") {
      const double a = alpha(1);
      return [a](const Tensor& x) { return elu(x, a); };
    }
    if (n == "scaledtanh") {
      const double a = alpha(1), b = beta(1);
      return [a, b](const Tensor& x) { return mul(tanh(mul(x, b)), a); };
    }
    if (n == "hardsigmoid") {
      const double a = alpha(0.2), b = beta(0.5);
      return [a, b](const Tensor& x) { return clamp(add(mul(x, a), b), 0, 1); };
    }
    if (n == "thresholdedrelu") {
      const double a = alpha(1);
      return [a](const Tensor& x) { return where(gt(x, Tensor::scalar(a, x.dtype())), x, Tensor::scalar(0, x.dtype())); };
    }
    c_.refuse("has the activation '" + names_[at_ - 1] + "'");
  }

 private:
  double alpha(double otherwise) { return a_ < alpha_.size() ? alpha_[a_++] : otherwise; }
  double beta(double otherwise) { return b_ < beta_.size() ? beta_[b_++] : otherwise; }
  const Call& c_;
  std::vector<std::string> names_;
  std::vector<double> alpha_, beta_;
  std::size_t at_ = 0, a_ = 0, b_ = 0;
};

// What the three have in common. gates: rows of W in units of the hidden size.
struct Sequence {
  Tensor x;  // [steps, batch, in]
  std::int64_t steps = 0, batch = 0, in = 0, hidden = 0, directions = 1;
  bool batch_first = false, reversed = false;
  double clip = 0;
  std::vector<std::int64_t> lengths;  // empty: all whole

  Sequence(const Call& c, std::int64_t gates) {
    x = c.x(0);
    batch_first = c.attr("layout", 0) != 0;
    if (x.rank() != 3 || !c.floats(0)) c.wrong("wants a sequence of three axes, not " + x.str());
    if (batch_first) x = permute(x, {1, 0, 2});
    steps = x.size(0), batch = x.size(1), in = x.size(2);
    const std::string direction = c.attr("direction", "forward");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional") c.wrong("has the direction '" + direction + "'");
    directions = direction == "bidirectional" ? 2 : 1;
    reversed = direction == "reverse";
    const Tensor w = c.x(1), r = c.x(2);
    hidden = c.attr("hidden_size", r.rank() == 3 ? r.size(2) : 0);
    if (hidden < 1 || !(w.shape() == Shape{directions, gates * hidden, in}) || !(r.shape() == Shape{directions, gates * hidden, hidden}))
      c.wrong("has weights " + w.str() + " and " + r.str() + " for " + std::to_string(directions) + " directions of " +
              std::to_string(hidden));
    if (c.has(std::size_t{3}) && !(c.x(3).shape() == Shape{directions, 2 * gates * hidden})) c.wrong("has a bias " + c.x(3).str());
    clip = c.attr("clip", 0.0);
    if (c.has(std::size_t{4})) {
      lengths = c.ints(4);
      if (static_cast<std::int64_t>(lengths.size()) != batch)
        c.wrong("has " + std::to_string(lengths.size()) + " lengths for " + std::to_string(batch) + " sequences");
      bool whole = true;
      for (const std::int64_t n : lengths) {
        if (n < 0 || n > steps) c.wrong("has the length " + std::to_string(n) + " of " + std::to_string(steps) + " steps");
        whole = whole && n == steps;
      }
      if (whole) lengths.clear();
    }
  }
  Tensor clipped(const Tensor& t) const { return clip > 0 ? clamp(t, -clip, clip) : t; }
  // [batch, hidden] of direction d, or zeros.
  Tensor initial(const Call& c, std::size_t i, std::int64_t d) const {
    if (!c.has(i)) return Tensor::zeros({batch, hidden}, x.dtype());
    const Tensor all = c.x(i), one = select(all, batch_first ? 1 : 0, d);
    if (!(one.shape() == Shape{batch, hidden})) c.wrong("has an initial state " + all.str());
    return one;
  }
  // [batch, 1] of a step, undefined when all sequences are still there.
  Tensor alive(std::int64_t t) const {
    if (lengths.empty()) return {};
    std::vector<std::int64_t> on;
    for (const std::int64_t n : lengths) on.push_back(t < n);
    return here(from_ints(on, {batch, 1}, kBool).tensor);
  }
  // step(t, states) makes the new states, states[0] being the output. Gives [steps, batch, hidden] and the last states.
  Tensor run(std::int64_t d, Tensors& states, const std::function<Tensors(std::int64_t, const Tensors&)>& step) const {
    Tensors out(static_cast<std::size_t>(steps));
    for (std::int64_t k = 0; k < steps; ++k) {
      const std::int64_t t = (d == 1 || reversed) ? steps - 1 - k : k;
      Tensors fresh = step(t, states);
      const Tensor on = alive(t);
      out[static_cast<std::size_t>(t)] = fresh[0];
      if (on.defined()) {
        out[static_cast<std::size_t>(t)] = where(on, fresh[0], Tensor::scalar(0, x.dtype()));
        for (std::size_t i = 0; i < fresh.size(); ++i) fresh[i] = where(on, fresh[i], states[i]);
      }
      states = fresh;
    }
    return steps ? stack(out, 0) : Tensor::zeros({0, batch, hidden}, x.dtype());
  }
  void give(Call& c, const Tensors& all, const std::vector<Tensors>& last) const {
    const int type = c.type(0);
    c.out(stack(all, batch_first ? 2 : 1), type);  // [steps, directions, batch, hidden], or its like below
    if (batch_first) c.results.back().tensor = permute(c.results.back().tensor, {1, 0, 2, 3});
    for (const Tensors& state : last) c.out(stack(state, batch_first ? 1 : 0), type);
  }
};

// The inputs' part of all gates at all steps, [steps, batch, gates * hidden], with as much of the bias as can be added now.
Tensor projected(const Sequence& s, const Tensor& w, const Tensor& bias) {
  return reshape(linear(reshape(s.x, {s.steps * s.batch, s.in}), w, bias), {s.steps, s.batch, w.size(0)});
}
std::vector<std::string> names_or(const Call& c, std::vector<std::string> otherwise) {
  std::vector<std::string> names = c.texts("activations");
  if (names.empty()) names = std::move(otherwise);
  return names;
}
template <std::size_t PerDirection>
std::vector<std::string> activations(const Call& c, const std::vector<std::string>& defaults, std::int64_t directions) {
  std::vector<std::string> all;
  for (std::int64_t d = 0; d < directions; ++d) all.insert(all.end(), defaults.begin(), defaults.end());
  const std::vector<std::string> names = names_or(c, all);
  if (names.size() != PerDirection * static_cast<std::size_t>(directions))
    c.wrong("has " + std::to_string(names.size()) + " activations for " + std::to_string(directions) + " directions");
  return names;
}
Tensor biases(const Call& c, std::int64_t d, std::int64_t first, std::int64_t count) {
  return c.has(std::size_t{3}) ? slice(select(c.x(3), 0, d), 0, first, first + count) : Tensor{};
}

void rnn(Call& c) {
  const Sequence s(c, 1);
  const std::int64_t h = s.hidden;
  Activations functions(c, activations<1>(c, {"Tanh"}, s.directions));
  Tensors all, last;
  for (std::int64_t d = 0; d < s.directions; ++d) {
    const Function f = functions.next();
    const Tensor r = select(c.x(2), 0, d), wb = biases(c, d, 0, h), rb = biases(c, d, h, h);
    const Tensor from = projected(s, select(c.x(1), 0, d), wb.defined() ? add(wb, rb) : wb);
    Tensors states{s.initial(c, 5, d)};
    all.push_back(s.run(
        d, states, [&](std::int64_t t, const Tensors& at) { return Tensors{f(s.clipped(add(select(from, 0, t), linear(at[0], r))))}; }));
    last.push_back(states[0]);
  }
  s.give(c, all, {last});
}

void gru(Call& c) {
  const Sequence s(c, 3);
  const std::int64_t h = s.hidden;
  const bool after = c.attr("linear_before_reset", 0) != 0;
  Activations functions(c, activations<2>(c, {"Sigmoid", "Tanh"}, s.directions));
  Tensors all, last;
  for (std::int64_t d = 0; d < s.directions; ++d) {
    const Function f = functions.next(), g = functions.next();
    const Tensor r = select(c.x(2), 0, d), rzr = slice(r, 0, 0, 2 * h), rh = slice(r, 0, 2 * h, 3 * h);
    const Tensor wb = biases(c, d, 0, 3 * h), rb = biases(c, d, 3 * h, 3 * h), rbh = biases(c, d, 5 * h, h);
    const Tensor from = projected(s, select(c.x(1), 0, d), wb);
    Tensors states{s.initial(c, 5, d)};
    all.push_back(s.run(d, states, [&](std::int64_t t, const Tensors& at) {
      const Tensor x = select(from, 0, t);
      const Tensor zr = f(s.clipped(add(slice(x, 1, 0, 2 * h), linear(at[0], rzr, rb.defined() ? slice(rb, 0, 0, 2 * h) : rb))));
      const Tensor z = slice(zr, 1, 0, h), reset = slice(zr, 1, h, 2 * h);
      const Tensor inner = after ? mul(reset, linear(at[0], rh, rbh)) : linear(mul(reset, at[0]), rh, rbh);
      const Tensor fresh = g(s.clipped(add(slice(x, 1, 2 * h, 3 * h), inner)));
      return Tensors{add(mul(sub(1, z), fresh), mul(z, at[0]))};
    }));
    last.push_back(states[0]);
  }
  s.give(c, all, {last});
}

void lstm(Call& c) {
  const Sequence s(c, 4);
  const std::int64_t h = s.hidden;
  const bool coupled = c.attr("input_forget", 0) != 0;
  Activations functions(c, activations<3>(c, {"Sigmoid", "Tanh", "Tanh"}, s.directions));
  Tensors all, last, cells;
  if (c.has(std::size_t{7}) && !(c.x(7).shape() == Shape{s.directions, 3 * h})) c.wrong("has peepholes " + c.x(7).str());
  for (std::int64_t d = 0; d < s.directions; ++d) {
    const Function f = functions.next(), g = functions.next(), out = functions.next();
    const Tensor r = select(c.x(2), 0, d), wb = biases(c, d, 0, 4 * h), rb = biases(c, d, 4 * h, 4 * h);
    const Tensor from = projected(s, select(c.x(1), 0, d), wb.defined() ? add(wb, rb) : wb);
    const Tensor peep = c.has(std::size_t{7}) ? select(c.x(7), 0, d) : Tensor{};
    const auto seen = [&](const Tensor& gate, const Tensor& cell, std::int64_t k) {
      return peep.defined() ? add(gate, mul(cell, slice(peep, 0, k * h, (k + 1) * h))) : gate;
    };
    Tensors states{s.initial(c, 5, d), s.initial(c, 6, d)};
    all.push_back(s.run(d, states, [&](std::int64_t t, const Tensors& at) {
      const Tensor gates = add(select(from, 0, t), linear(at[0], r));
      const auto gate = [&](std::int64_t k) { return slice(gates, 1, k * h, (k + 1) * h); };
      const Tensor i = f(s.clipped(seen(gate(0), at[1], 0)));
      const Tensor forget = coupled ? sub(1, i) : f(s.clipped(seen(gate(2), at[1], 2)));
      const Tensor cell = add(mul(forget, at[1]), mul(i, g(s.clipped(gate(3)))));
      return Tensors{mul(f(s.clipped(seen(gate(1), cell, 1))), out(cell)), cell};
    }));
    last.push_back(states[0]);
    cells.push_back(states[1]);
  }
  s.give(c, all, {last, cells});
}

constexpr Operator kTable[] = {{"RNN", rnn}, {"GRU", gru}, {"LSTM", lstm}};

}  // namespace

std::span<const Operator> recurrent_operators() { return kTable; }

}  // namespace graft::onnx
