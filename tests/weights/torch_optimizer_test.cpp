// Training that goes on where PyTorch stopped: state after 5 steps from PyTorch, 7 more steps here, against 12 steps there
// (tests/golden/torch/make_optimizers.py).
#include "weights/torch_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "tests/weights/torch_testing.h"

namespace graft {
namespace {

using torch_testing::kGolden;
using torch_testing::refused;

double value(std::int64_t k, std::int64_t i, std::int64_t step) {
  const std::int64_t x = (k * 7919 + i * 104729 + step * 1299709 + 12345) % 1000003;
  return static_cast<double>(x * 48271 % 1000003) / 1000003 - 0.5;
}
Tensor filled(std::int64_t k, std::int64_t step, const Tensor& like) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < like.numel(); ++i) v.push_back(value(k, i, step));
  const Tensor t = Tensor::empty(like.shape(), like.dtype());
  t.set_values(v);
  return t;
}
std::vector<double> golden_values(const std::string& line) {
  const bool wide = line.find(" F64 ") != std::string::npos;
  const std::string digits = line.substr(line.find(" : ") + 3);
  const std::size_t width = wide ? 8 : 4;
  std::vector<double> all;
  for (std::size_t at = 0; at < digits.size(); at += 2 * width) {
    std::uint64_t bits = 0;
    for (std::size_t j = width; j-- > 0;) bits = bits << 8 | std::stoul(digits.substr(at + 2 * j, 2), nullptr, 16);
    all.push_back(wide ? std::bit_cast<double>(bits) : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits))));
  }
  return all;
}

struct OptimizerCase {
  const char *file, *model, *where, *kind;
  std::int64_t steps;
};
constexpr OptimizerCase kCases[] = {{"optim_sgd", "state_dict", "optimizer", "sgd", 0},
                                    {"optim_momentum", "state_dict", "optimizer", "sgd", 1},
                                    {"optim_nesterov", "model", "optimizer_state_dict", "sgd", 1},
                                    {"optim_adam", "model", "optimizer_state", "adam", 5},
                                    {"optim_adamw", "state_dict", "optimizer_states.0", "adamw", 5},
                                    {"optim_rmsprop", "m", "o", "rmsprop", 5},
                                    {"optim_adagrad", "m", "o", "adagrad", 5},
                                    {"optim_adam_f32", "m", "optim", "adam", 5}};

TEST(TorchOptimizerState, TrainingGoesOnWherePyTorchStopped) {
  for (const auto& [file, model, where, kind, steps] : kCases) {
    SCOPED_TRACE(file);
    const auto source = open_source(kGolden / (std::string(file) + ".pt"));
    const TorchOptimizer read = read_torch_optimizer(*source, {"a", "b"});
    EXPECT_EQ(read.where, where);
    EXPECT_EQ(read.steps, steps);
    std::map<std::string, Tensor> params;
    for (std::size_t i = 0; i < source->tensors.size(); ++i)
      for (const char* name : {"a", "b"})
        if (source->tensors[i].name == std::string(model) + "." + name) params[name] = source->load(i).set_requires_grad();
    ASSERT_EQ(params.size(), 2u);
    std::vector<ParamGroup> groups;
    for (const TorchOptimizerGroup& g : read.groups) {
      EXPECT_EQ(g.options.name, kind);
      ParamGroup group;
      group.options = g.options;
      for (const std::string& name : g.names) group.params.emplace_back(name, params.at(name));
      groups.push_back(std::move(group));
    }
    Optimizer optimizer(groups);
    optimizer.load_state(read.state, read.steps);
    for (int step = 6; step <= 12; ++step) {
      std::int64_t k = 10;
      for (auto& [name, p] : params) {
        NoGrad off;
        p.set_grad(add(filled(k++, step, p), mul(p.detach(), 0.1)));
      }
      optimizer.step();
    }
    const auto want = torch_testing::golden_lines(file);
    ASSERT_EQ(want.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
      const auto w = golden_values(want[i]);
      const Tensor& p = params.at(i ? "b" : "a");
      const auto got = p.values();
      ASSERT_EQ(got.size(), w.size());
      const double near = p.dtype() == DType::f64 ? 1e-12 : 1e-6;
      for (std::size_t j = 0; j < w.size(); ++j) EXPECT_NEAR(got[j], w[j], near * (1 + std::abs(w[j]))) << i << " " << j;
    }
  }
}

TEST(TorchOptimizerState, Options) {
  const auto adamw = read_torch_optimizer(*open_source(kGolden / "optim_adamw.pt"), {"a", "b"});
  ASSERT_EQ(adamw.groups.size(), 2u);
  EXPECT_EQ(adamw.groups[0].options.lr, 0.02);
  EXPECT_EQ(adamw.groups[0].options.weight_decay, 0.1);
  EXPECT_EQ(adamw.groups[0].names, std::vector<std::string>{"a"});
  EXPECT_EQ(adamw.groups[1].options.lr, 0.01);
  EXPECT_EQ(adamw.groups[1].options.weight_decay, 0);
  EXPECT_EQ(adamw.groups[1].names, std::vector<std::string>{"b"});
  const auto adam = read_torch_optimizer(*open_source(kGolden / "optim_adam.pt"), {"a", "b"});
  EXPECT_TRUE(adam.groups[0].options.amsgrad);
  EXPECT_EQ(adam.groups[0].options.beta1, 0.8);
  EXPECT_EQ(adam.groups[0].options.beta2, 0.95);
  const auto nesterov = read_torch_optimizer(*open_source(kGolden / "optim_nesterov.pt"), {"a", "b"});
  EXPECT_EQ(nesterov.groups[0].initial_lr, 0.05);
  EXPECT_TRUE(nesterov.groups[0].options.nesterov);
  // Names that the optimiser kept itself.
  const auto named = read_torch_optimizer(*open_source(kGolden / "optim_adam_f32.pt"), {});
  EXPECT_EQ(named.groups[0].names, (std::vector<std::string>{"a", "b"}));
}

// A source of the test's own.
class TestState : public Source {
 public:
  KeptBytes bytes(std::size_t) const override { return {std::as_bytes(std::span(&one_, 1)), std::make_shared<int>(0)}; }
  void add(const std::string& name) { tensors.push_back({name, "F32", {}, {}, 0, 4, 0, -1}); }

 private:
  float one_ = 1;
};

TEST(TorchOptimizerState, OtherForms) {
  // optimizer.pt of a trainer's folder: the state is the file.
  TestState root;
  root.files = {root.path = "optimizer.pt"};
  root.metadata["param_groups"] =
      R"([{"lr": 0.5, "momentum": 0.9, "dampening": 0, "nesterov": false, "params": [0]}, {"lr": 0.1, "momentum": 0, "dampening": 0, "nesterov": false, "params": [1]}])";
  root.tensors.push_back({"state.0.momentum_buffer", "F32", {}, {}, 0, 4, 0, -1});
  const TorchOptimizer sgd = read_torch_optimizer(root, {"a", "b"});
  EXPECT_EQ(sgd.where, "");
  ASSERT_EQ(sgd.state.size(), 2u);
  EXPECT_EQ(sgd.state[0].first, "a.momentum_buffer");
  EXPECT_EQ(sgd.groups[1].options.lr, 0.1);
  // A learning rate that was a tensor: each entry of the group stands by itself.
  TestState spread;
  spread.files = {spread.path = "x.pt"};
  for (const auto& [key, value] : std::map<std::string, std::string>{{"betas", "[0.9, 0.95]"},
                                                                     {"eps", "1e-08"},
                                                                     {"amsgrad", "false"},
                                                                     {"decoupled_weight_decay", "true"},
                                                                     {"weight_decay", "0.5"},
                                                                     {"params", "[0]"}})
    spread.metadata["o.param_groups.0." + key] = value;
  spread.tensors.push_back({"o.param_groups.0.lr", "F32", {}, {}, 0, 4, 0, -1});
  const TorchOptimizer adamw = read_torch_optimizer(spread, {"w"});
  EXPECT_EQ(adamw.where, "o");
  EXPECT_EQ(adamw.groups.at(0).options.name, "adamw");
  EXPECT_EQ(adamw.groups[0].options.lr, 1);
  EXPECT_EQ(adamw.groups[0].options.beta2, 0.95);
  EXPECT_EQ(adamw.groups[0].options.weight_decay, 0.5);
  EXPECT_TRUE(adamw.state.empty());
}

TEST(TorchOptimizerState, Refuses) {
  const auto source = open_source(kGolden / "optim_adam.pt");
  refused([&] { read_torch_optimizer(*source, {"a"}); }, {"2 parameters, and the model has 1"});
  refused([&] { read_torch_optimizer(*source, {}); }, {"numbers in place of the parameters' names"});
  refused([&] { read_torch_optimizer(*source, {"a", "b"}, "", "elsewhere"); }, {"\"elsewhere\"", "there is \"optimizer_state\""});
  refused([&] { read_torch_optimizer(*open_source(kGolden / "state.pt"), {"a"}); }, {"no optimiser's state"});
  const auto with = [](const std::string& groups, const std::vector<std::string>& tensors = {},
                       std::map<std::string, std::string> more = {}) {
    return [=] {
      TestState s;
      s.path = "x.pt";
      s.files = {"x.pt"};
      s.metadata = more;
      s.metadata["optimizer.param_groups"] = groups;
      for (const auto& t : tensors) s.add("optimizer.state.0." + t);
      read_torch_optimizer(s, {"a"});
    };
  };
  const std::string adam = R"([{"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "amsgrad": false, "weight_decay": 0, "params": [0]}])";
  EXPECT_EQ(torch_testing::refusal(with(adam, {"exp_avg", "exp_avg_sq", "step"})), "(accepted)") << "what is broken below is whole";
  EXPECT_EQ(torch_testing::refusal(with(adam)), "(accepted)") << "never updated";
  refused(with(adam, {"exp_avg", "step"}), {"1 of the 2 tensors that adam keeps", "optimizer.state.0"});
  refused(with(adam, {"exp_avg", "exp_avg_sq"}), {"a step that is no whole number"});
  refused(with(adam, {"exp_avg", "exp_avg_sq"}, {{"optimizer.state.0.step", "1.5"}}), {"a step that is no whole number"});
  EXPECT_EQ(torch_testing::refusal(with(adam, {"exp_avg", "exp_avg_sq"}, {{"optimizer.state.0.step", "7"}})), "(accepted)")
      << "before torch 1.12 it was a number";
  refused(with(R"([{"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "amsgrad": false, "weight_decay": 0.1, "params": [0]}])"),
          {"does not tell Adam from AdamW"});
  refused(with(R"([{"lr": 0.1, "betas": [0.9], "eps": 1e-8, "amsgrad": false, "params": [0]}])"), {"betas that are no two numbers"});
  refused(with(R"([{"lr": 0.1, "rho": 0.9, "params": [0]}])"), {"an optimiser that graft does not know (lr, params, rho)"});
  refused(with(R"([{"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": false, "params": [0, 0]}])"),
          {"the parameter 0 in two groups"});
  refused(with(R"([{"momentum": 0.9, "dampening": 0, "nesterov": false, "params": [0]}])"), {"no lr"});
  refused(with(R"([{"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": false}])"), {"without its list of parameters"});
  refused(with("[1]"), {"a group that is no dict"});
  refused(with("[{..."), {"no list, or too many to read"});
  refused(with(adam, {}, {{"other.param_groups", adam}}), {"several optimisers' states", "\"optimizer\", \"other\""});
}

}  // namespace
}  // namespace graft
