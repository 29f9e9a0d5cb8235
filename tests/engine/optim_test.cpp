// Optimisers and schedules against torch's trajectories (tests/golden/optim), saved states, clipping, the running mean.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace graft {
namespace {

using Json = nlohmann::json;
Json golden() {
  std::ifstream f(GRAFT_SOURCE_DIR "/tests/golden/optim/optim.json");
  return Json::parse(f);
}

double value(std::int64_t k, std::int64_t i, std::int64_t step) {
  const std::int64_t x = (k * 7919 + i * 104729 + step * 1299709 + 12345) % 1000003;
  return static_cast<double>(x * 48271 % 1000003) / 1000003 - 0.5;
}
Tensor filled(std::int64_t k, std::int64_t step, const Shape& s) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(value(k, i, step));
  return Tensor::from(v, s);
}
Tensors start() {
  Tensors p = {filled(0, 0, {3, 4}), filled(1, 0, {5})};
  for (auto& t : p) t.set_requires_grad();
  return p;
}
void set_gradients(const Tensors& p, std::int64_t step) {
  NoGrad off;
  for (std::size_t k = 0; k < p.size(); ++k)
    p[k].set_grad(add(filled(static_cast<std::int64_t>(k) + 10, step, p[k].shape()), mul(p[k].detach(), 0.1)));
}
OptimOptions options_of(const Json& c) {
  OptimOptions o = optim_defaults(c["name"]);
  o.weight_decay = 0;
  for (const auto& [key, v] : c["options"].items()) {
    if (key == "lr") o.lr = v;
    else if (key == "weight_decay") o.weight_decay = v;
    else if (key == "momentum") o.momentum = v;
    else if (key == "dampening") o.dampening = v;
    else if (key == "nesterov") o.nesterov = v;
    else if (key == "beta1") o.beta1 = v;
    else if (key == "beta2") o.beta2 = v;
    else if (key == "amsgrad") o.amsgrad = v;
    else if (key == "centered") o.centered = v;
    else if (key == "lr_decay") o.lr_decay = v;
    else if (key == "maximize") o.maximize = v;
    else ADD_FAILURE() << "unknown option " << key;
  }
  return o;
}
Optimizer make(const Tensors& p, const OptimOptions& o) { return Optimizer({{{{"a", p[0]}, {"b", p[1]}}, o}}); }

TEST(Optim, EqualTorchOverAHundredSteps) {
  const Json all = golden();
  std::set<std::string> seen;
  for (const auto& c : all["cases"]) {
    seen.insert(c["name"]);
    const Tensors p = start();
    Optimizer optimizer = make(p, options_of(c));
    for (int step = 1; step <= 100; ++step) {
      set_gradients(p, step);
      optimizer.step();
      const std::string at = std::to_string(step);
      if (!c["steps"].contains(at)) continue;
      for (std::size_t k = 0; k < p.size(); ++k) {
        const auto got = p[k].values();
        for (std::size_t i = 0; i < got.size(); ++i) {
          const double want = c["steps"][at][k][i];
          // a hundred updates of some ten roundings each, and what 0.1 p feeds back
          EXPECT_NEAR(got[i], want, 1e-12 * (1 + std::abs(want)))
              << c["name"] << c["options"] << " step " << step << " parameter " << k << " element " << i;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 7u);
}

TEST(Optim, SavedStateContinuesBitForBit) {
  const Json all = golden();
  for (const auto& c : all["cases"]) {
    const Tensors p = start(), r = start();
    Optimizer one = make(p, options_of(c)), two = make(r, options_of(c));
    for (int step = 1; step <= 6; ++step) {
      set_gradients(p, step);
      one.step();
      if (step <= 3) {
        set_gradients(r, step);
        two.step();
      }
    }
    Optimizer resumed = make(r, options_of(c));
    resumed.load_state(two.state(), two.steps());
    for (int step = 4; step <= 6; ++step) {
      set_gradients(r, step);
      resumed.step();
    }
    for (std::size_t k = 0; k < p.size(); ++k) EXPECT_EQ(p[k].values(), r[k].values()) << c["name"];
  }
}

TEST(Optim, SixteenBitWeightsFollowTheirMaster) {
  Tensor p = Tensor::full({4}, 1, DType::bf16);
  p.set_requires_grad();
  Optimizer o({{{{"p", p}}, [] {
                  OptimOptions s = optim_defaults("sgd");
                  s.lr = 1e-4;
                  return s;
                }()}});
  for (int i = 0; i < 100; ++i) {
    p.set_grad(Tensor::full({4}, 1, DType::bf16));
    o.step();  // 1e-4 is below half an ulp of 1 in bf16: without a master nothing would ever move
  }
  EXPECT_NEAR(p.values()[0], 0.99, 0.005);
  EXPECT_LT(p.values()[0], 1);
}

TEST(Optim, WrongOptionsAreRefused) {
  const Tensors p = start();
  const auto refused = [&](OptimOptions o) {
    try {
      make(p, o);
    } catch (const Error& e) { return e.code() == Code::usage; }
    return false;
  };
  OptimOptions o;
  o.name = "adamm";
  EXPECT_TRUE(refused(o));
  o = {};
  o.lr = -1;
  EXPECT_TRUE(refused(o));
  o = {};
  o.beta1 = 1;
  EXPECT_TRUE(refused(o));
  o = optim_defaults("sgd");
  o.nesterov = true;
  EXPECT_TRUE(refused(o));
  EXPECT_THROW(Optimizer({{{{"a", p[0]}, {"again", p[0]}}, OptimOptions{}}}), Error);
  Optimizer good = make(p, OptimOptions{});
  EXPECT_THROW(good.load_state({{"c.exp_avg", Tensor::zeros({5}, DType::f64)}}, 1), Error);
  EXPECT_THROW(good.load_state({{"b.exp_avg", Tensor::zeros({4}, DType::f64)}}, 1), Error);
}

TEST(Optim, StatesOfAnotherOptimizerOrShapeAreRefused) {
  Tensor w = Tensor::zeros({3, 2}, DType::f32);
  w.set_requires_grad();
  const auto load = [&](const char* name, const char* state, const Shape& shape) {
    Optimizer o({{{{"w", w}}, optim_defaults(name)}});
    o.load_state({{std::string("w.") + state, Tensor::zeros(shape)}}, 1);
  };
  EXPECT_THROW(load("sgd", "exp_avg", {3, 2}), Error);
  EXPECT_THROW(load("adam", "master", {3, 2}), Error);
  EXPECT_THROW(load("adam", "exp_avg", {2, 3}), Error);
  EXPECT_THROW(load("adafactor", "row_var", {3, 2}), Error);
  EXPECT_THROW(load("adafactor", "exp_avg", {3, 2}), Error);
  EXPECT_NO_THROW(load("adam", "exp_avg", {3, 2}));
  EXPECT_NO_THROW(load("adafactor", "row_var", {3, 1}));
  EXPECT_NO_THROW(load("adafactor", "col_var", {1, 2}));
}

TEST(Optim, ClippingBoundsTheNorm) {
  Tensors p = start();
  p[0].set_grad(Tensor::full({3, 4}, 3, DType::f64));
  p[1].set_grad(Tensor::full({5}, -4, DType::f64));
  const double norm = grad_norm(p);
  EXPECT_NEAR(norm, std::sqrt(12 * 9 + 5 * 16.0), 1e-12);
  EXPECT_NEAR(clip_factor(norm, 1) * norm, 1, 1e-6);
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  clip_grad_value(p, 2);
  EXPECT_EQ(p[0].grad().values()[0], 2);
  EXPECT_EQ(p[1].grad().values()[0], -2);
}

TEST(Optim, RunningMeanOfTheWeights) {
  const Tensors p = start();
  const auto first = p[0].values();
  Ema ema(p, 0.9);
  {
    NoGrad off;
    fill_(p[0].detach(), 2);
  }
  ema.update();
  ema.swap();
  EXPECT_NEAR(p[0].values()[3], 0.9 * first[3] + 0.1 * 2, 1e-15);
  ema.swap();
  EXPECT_EQ(p[0].values()[3], 2);
  // a frozen parameter is its own mean: 0.9 x + 0.1 x is not x to the bit
  Tensors frozen = start();
  for (Tensor& t : frozen) t.set_requires_grad(false);
  const auto before = frozen[0].values();
  Ema still(frozen, 0.9);
  for (int i = 0; i < 20; ++i) still.update();
  still.swap();
  EXPECT_EQ(frozen[0].values(), before);
  EXPECT_THROW(Ema(p, 1), Error);
}

// Weights of 16 bits: a step adds less to their mean than half an ulp of theirs, and the weights come back as they were.
TEST(Optim, RunningMeanOfHalfWeightsIsKeptInF32) {
  for (const DType t : {DType::bf16, DType::f16}) {
    Tensor w = Tensor::full({5}, 1, t);
    w.set_requires_grad(true);
    Ema ema({w}, 0.999);
    {
      NoGrad off;
      fill_(w.detach(), 2);
    }
    for (int i = 0; i < 1000; ++i) ema.update();
    const double wanted = 2 - std::pow(0.999, 1000);
    EXPECT_NEAR(ema.means()[0].values()[4], wanted, 1e-4);
    ema.swap();
    EXPECT_NEAR(w.values()[4], wanted, 2 * epsilon_of(t));
    EXPECT_EQ(ema.weights()[0].values()[4], 2);
    ema.swap();
    EXPECT_EQ(w.values()[4], 2);
    EXPECT_EQ(ema.means()[0].dtype(), DType::f32);
  }
}

TEST(Schedule, EqualsTorch) {
  const Json all = golden()["schedules"];
  for (const auto& [name, want] : all.items()) {
    Schedule s;
    s.name = name;
    s.total = name == "one-cycle" ? 51 : 50;
    s.step_size = 7;
    s.gamma = 0.3;
    s.power = 2;
    s.final_factor = name == "cosine" ? 0.1 : name == "linear" ? 0.2 : name == "one-cycle" ? 1 / 25.0 / 100 : 0;
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(s.factor(static_cast<std::int64_t>(i)), want[i].get<double>(), 1e-12) << name << " step " << i;
  }
}
TEST(Schedule, AnUnknownNameIsRefusedFromTheFirstStep) {
  Schedule s;
  s.name = "sawtooth";
  s.warmup = 100;
  EXPECT_THROW(s.factor(0), Error);
}
TEST(Schedule, WarmsUpFromZero) {
  Schedule s;
  s.name = "constant";
  s.warmup = 4;
  s.total = 10;
  EXPECT_DOUBLE_EQ(s.factor(0), 0.2);
  EXPECT_DOUBLE_EQ(s.factor(3), 0.8);
  EXPECT_EQ(s.factor(4), 1);
  s.name = "cosinus";
  EXPECT_THROW(s.factor(5), Error);
}

}  // namespace
}  // namespace graft
