// Every operation of the catalog: its gradient in f64 against differences, in f32 against f64, its gradient's gradient, and its fused form
// against its plain composition.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/gradcheck.h"
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "kernels/core/device.h"

namespace graft {
namespace {

Tensors inputs_of(const GradCase& c, std::uint64_t seed, DType dtype = DType::f64) {
  RandomState r{seed, 5, 0};
  Tensors in;
  for (const Shape& s : c.shapes) {
    Tensor t;
    switch (c.domain) {
      case Domain::any: t = rand_normal(s, 0, 1, r, DType::f64); break;
      case Domain::positive: t = rand_uniform(s, 0.3, 2, r, DType::f64); break;
      case Domain::unit: t = rand_uniform(s, 0.05, 0.95, r, DType::f64); break;
      case Domain::spread: {  // a random order of values 0.1 apart, none nearer to 0 than 0.05
        const auto order = rand_permutation(s.numel(), r).values();
        std::vector<double> v;
        for (double p : order) v.push_back(0.1 * (p - std::floor(static_cast<double>(s.numel()) / 2)) + 0.05);
        t = Tensor::from(v, s);
        break;
      }
    }
    t = cast(cast(t, DType::f32), dtype);  // the same numbers in f32 and f64
    in.push_back(clone(t).detach());
    in.back().set_requires_grad();
  }
  return in;
}

double largest(const Tensor& t) {
  double m = 0;
  for (double v : t.values()) m = std::max(m, std::abs(v));
  return m;
}

// Once per device: the CPU, and the CUDA kernels under the emulator and on a GPU where there is one.
class Gradients : public testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (const std::string why = why_not({GetParam(), 0}); !why.empty()) GTEST_SKIP() << why;
    queue_.emplace(2, Device{GetParam(), 0});
    use_.emplace(*queue_);
  }

 private:
  std::optional<Queue> queue_;
  std::optional<UseQueue> use_;
};
INSTANTIATE_TEST_SUITE_P(On, Gradients, testing::Values(DeviceKind::cpu, DeviceKind::emu, DeviceKind::cuda), [](const auto& i) {
  return i.param == DeviceKind::cuda ? std::string("cuda") : name_of(Device{i.param, 0});
});

TEST(Catalog, EveryOpIsListedWithCasesOrAReason) {
  int differentiable = 0;
  for (const OpInfo& op : all_ops()) {
    if (op.no_gradient.empty()) {
      EXPECT_FALSE(op.cases.empty()) << op.name;
      ++differentiable;
    }
  }
  EXPECT_GE(differentiable, 60);
}

TEST_P(Gradients, MatchDifferencesInF64) {
  for (const OpInfo& op : all_ops())
    for (const GradCase& c : op.cases) {
      const GradCheckResult r = check_gradients(c.f, inputs_of(c, 3));
      EXPECT_TRUE(r.ok) << op.name << "(" << c.name << "): " << r.message;
    }
}

TEST_P(Gradients, InF32AreTheOnesOfF64Rounded) {
  for (const OpInfo& op : all_ops())
    for (const GradCase& c : op.cases) {
      const Tensors wide = inputs_of(c, 4), narrow = inputs_of(c, 4, DType::f32);
      const Tensor y = c.f(wide), z = c.f(narrow);
      ASSERT_EQ(z.dtype(), DType::f32) << op.name;
      RandomState r{9, 9, 0};
      const Tensor v = cast(rand_normal(y.shape(), 0, 1, r, DType::f32), DType::f64);
      const Tensors g = gradients(y, wide, v), k = gradients(z, narrow, cast(v, DType::f32));
      for (std::size_t i = 0; i < g.size(); ++i) {
        ASSERT_EQ(g[i].defined(), k[i].defined()) << op.name;
        if (!g[i].defined()) continue;
        // a chain of at most some 8 roundings per summand of the largest sum
        double terms = 8 + static_cast<double>(y.numel());
        for (const Shape& s : c.shapes) terms = std::max(terms, 8 + static_cast<double>(s.numel()));
        EXPECT_LE(largest(sub(g[i], cast(k[i], DType::f64))), 8 * terms * 0x1p-23 * (largest(g[i]) + 1e-3))
            << op.name << "(" << c.name << ") input " << i;
      }
    }
}

TEST_P(Gradients, OfGradientsMatchDifferences) {
  for (const OpInfo& op : all_ops())
    for (const GradCase& c : op.cases) {
      if (!c.smooth) continue;
      const Tensors in = inputs_of(c, 6);
      Tensor v;
      {
        NoGrad off;
        const Tensor y = c.f(in);
        RandomState r{2, 2, 0};
        v = rand_normal(y.shape(), 0, 1, r, DType::f64);
      }
      // all first derivatives in one vector, as a function of the inputs
      const auto first = [&](const Tensors& x) {
        EnableGrad on;
        HigherOrder plain;
        const Tensors g = gradients(c.f(x), x, v, {.create_graph = true});
        Tensors flat;
        for (std::size_t i = 0; i < g.size(); ++i)
          flat.push_back(g[i].defined() ? reshape(g[i], {-1}) : Tensor::zeros({x[i].numel()}, DType::f64));
        return cat(flat);
      };
      const GradCheckResult r = check_gradients(first, in, {.jacobian_limit = 150, .directions = 2});
      EXPECT_TRUE(r.ok) << op.name << "(" << c.name << "): " << r.message;
    }
}

TEST_P(Gradients, FusedOpsEqualTheirPlainComposition) {
  int fused = 0;
  for (const OpInfo& op : all_ops()) {
    if (!op.fused) continue;
    for (const GradCase& c : op.cases) {
      ++fused;
      const Tensors in = inputs_of(c, 8);
      const Tensor y = c.f(in);
      RandomState r{3, 3, 0};
      const Tensor v = rand_normal(y.shape(), 0, 1, r, DType::f64);
      const Tensors g = gradients(y, in, v);
      Tensor plain;
      Tensors h;
      {
        HigherOrder on;
        plain = c.f(in);
        h = gradients(plain, in, v);
      }
      EXPECT_LE(largest(sub(y, plain)), 1e-12 * (1 + largest(y))) << op.name << "(" << c.name << ")";
      for (std::size_t i = 0; i < g.size(); ++i)
        if (g[i].defined() && h[i].defined()) {
          EXPECT_LE(largest(sub(g[i], h[i])), 1e-11 * (1 + largest(g[i]))) << op.name << "(" << c.name << ") input " << i;
        }
    }
  }
  EXPECT_GE(fused, 10);
}

// A wrong gradient must be seen: the check is worth nothing otherwise.
TEST_P(Gradients, AWrongGradientIsFound) {
  const auto wrong = custom(
      "wrong",
      [](Context& c, const Tensors& in) {
        c.keep(in[0]);
        return Tensors{square(in[0])};
      },
      [](const Context& c, const Tensors& dy) { return Tensors{mul(dy[0], mul(c.saved(0), 2.0001))}; });
  RandomState r{1, 1, 0};
  Tensor x = rand_normal({3, 4}, 0, 1, r, DType::f64);
  x.set_requires_grad();
  EXPECT_FALSE(check_gradients([&](const Tensors& in) { return wrong(in)[0]; }, {x}).ok);
}

}  // namespace
}  // namespace graft
