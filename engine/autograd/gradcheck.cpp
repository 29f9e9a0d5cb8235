#include "engine/autograd/gradcheck.h"

#include <cmath>
#include <cstdio>

#include "engine/ops/ops.h"

namespace graft {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

// inputs[k] += t * direction[k], in place; the versions do not matter, no graph is alive
struct Point {
  const Tensors& inputs;
  std::vector<std::vector<double>> base;
  explicit Point(const Tensors& in) : inputs(in) {
    for (const Tensor& t : in) base.push_back(t.values());
  }
  void move(const std::vector<std::vector<double>>& direction, double t) const {
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      std::vector<double> p = base[k];
      if (!direction[k].empty())
        for (std::size_t i = 0; i < p.size(); ++i) p[i] += t * direction[k][i];
      inputs[k].set_values(p);
    }
  }
};

struct Slope {
  std::vector<double> value;  // per output
  double truncation = 0, scale = 0;
};
// d f / d direction by differences of fourth order; the difference between step h and step 2h bounds what is left.
Slope slope(const std::function<Tensor(const Tensors&)>& f, const Point& at, const std::vector<std::vector<double>>& direction, double h) {
  NoGrad off;
  const auto value = [&](double t) {
    at.move(direction, t);
    return f(at.inputs).values();
  };
  const auto p1 = value(h), m1 = value(-h), p2 = value(2 * h), m2 = value(-2 * h), p4 = value(4 * h), m4 = value(-4 * h);
  at.move(direction, 0);
  Slope s;
  for (std::size_t i = 0; i < p1.size(); ++i) {
    const double fine = (8 * (p1[i] - m1[i]) - (p2[i] - m2[i])) / (12 * h), coarse = (8 * (p2[i] - m2[i]) - (p4[i] - m4[i])) / (24 * h);
    s.value.push_back(fine);
    s.truncation = std::max(s.truncation, std::abs(fine - coarse));
    s.scale = std::max({s.scale, std::abs(p1[i]), std::abs(m1[i])});
  }
  return s;
}

}  // namespace

GradCheckResult check_gradients(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs, const GradCheckOptions& options) {
  GradCheckResult result;
  const double h = options.step;
  for (const Tensor& t : inputs)
    if (t.dtype() != DType::f64 || !t.requires_grad() || !t.is_contiguous())
      throw Error(Code::usage, "check_gradients: inputs must be row-major f64 leaves that want a gradient, not " + t.str());
  const Point at(inputs);
  const Tensor probe = f(inputs);
  const std::size_t outputs = static_cast<std::size_t>(probe.numel());
  std::int64_t variables = 0;
  for (const Tensor& t : inputs) variables += t.numel();
  if (outputs == 0 || variables == 0) return result;
  RandomState random{options.seed, 77, 0};

  // Compares sum_k <g_k, direction_k> with sum_o cotangent_o * slope_o.
  const auto compare = [&](const std::vector<double>& cotangent, const std::vector<std::vector<double>>& g,
                           const std::vector<std::vector<double>>& direction, const Slope& s, const std::string& where) {
    double got = 0, weight = 0;
    for (std::size_t k = 0; k < g.size(); ++k)
      if (!direction[k].empty()) got += dot(g[k], direction[k]);
    for (double c : cotangent) weight = std::max(weight, std::abs(c));
    const double want = dot(cotangent, s.value);
    const double tolerance = weight * static_cast<double>(cotangent.size()) * (4 * s.truncation + 64 * 2.3e-16 * (s.scale + 1) / h) + 1e-12;
    const double error = std::abs(got - want) / tolerance;
    if (!(error <= result.worst)) result.worst = error;
    if (!(error <= 1) && result.ok) {
      char text[200];
      std::snprintf(text, sizeof text, ": gradient %.12g, differences %.12g, %.3g times the tolerance %.3g", got, want, error, tolerance);
      result.ok = false;
      result.message = where + text;
    }
  };
  const auto gradient = [&](const Tensor& cotangent) {
    const Tensor y = f(inputs);
    std::vector<std::vector<double>> g;
    if (!y.requires_grad()) {
      for (const Tensor& t : inputs) g.emplace_back(static_cast<std::size_t>(t.numel()), 0.0);
      return g;
    }
    for (const Tensor& t : gradients(y, inputs, cotangent)) g.push_back(t.defined() ? t.values() : std::vector<double>());
    for (std::size_t k = 0; k < g.size(); ++k) g[k].resize(static_cast<std::size_t>(inputs[k].numel()), 0.0);
    return g;
  };

  if (variables * static_cast<std::int64_t>(outputs) <= options.jacobian_limit) {
    std::vector<std::vector<std::vector<double>>> jacobian;  // per output
    for (std::size_t o = 0; o < outputs; ++o) {
      std::vector<double> one(outputs, 0.0);
      one[o] = 1;
      jacobian.push_back(gradient(Tensor::from(one, probe.shape())));
    }
    for (std::size_t k = 0; k < inputs.size(); ++k)
      for (std::int64_t i = 0; i < inputs[k].numel(); ++i) {
        std::vector<std::vector<double>> direction(inputs.size());
        direction[k].assign(static_cast<std::size_t>(inputs[k].numel()), 0.0);
        direction[k][static_cast<std::size_t>(i)] = 1;
        const Slope s = slope(f, at, direction, h);
        for (std::size_t o = 0; o < outputs; ++o) {
          std::vector<double> cotangent(outputs, 0.0);
          cotangent[o] = 1;
          Slope one = s;
          compare({1.0}, jacobian[o], direction, Slope{{s.value[o]}, s.truncation, s.scale},
                  "d output " + std::to_string(o) + " / d input " + std::to_string(k) + " element " + std::to_string(i));
        }
      }
  }
  for (int n = 0; n < options.directions; ++n) {
    const Tensor cotangent = rand_normal(probe.shape(), 0, 1, random, DType::f64);
    const auto g = gradient(cotangent);
    for (std::size_t only = 0; only < inputs.size(); ++only) {
      std::vector<std::vector<double>> direction(inputs.size());
      direction[only] = rand_uniform({inputs[only].numel()}, -1, 1, random, DType::f64).values();
      compare(cotangent.values(), g, direction, slope(f, at, direction, h), "along a random direction of input " + std::to_string(only));
    }
  }
  return result;
}

}  // namespace graft
