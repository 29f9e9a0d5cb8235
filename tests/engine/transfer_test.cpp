// The description of a fine-tuning and what it does: stages, rates, freezing, batch norms, the pull to the start, adapters, nearest
// neighbours.
#include "engine/train/transfer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/probe.h"
#include "engine/train/step.h"
#include "models/cifar_resnet.h"

namespace graft {
namespace {

CifarResnetConfig small() {
  CifarResnetConfig c;
  c.depth = 8;
  c.width = 4;
  return c;
}
Config config_of(const std::vector<std::string>& assignments) {
  Config c;
  c.set("init.from=there");
  for (const auto& a : assignments) c.set(a);
  return c;
}
// A network that took all its weights from another, built by the rules of `c`.
struct Tuned {
  explicit Tuned(const Config& c, DType dtype = DType::f32)
      : source(Params::init(5)),
        origin(source, small()),
        params(Params::from(
            [this](const std::string& name) {
              for (const Parameter& p : source.all())
                if (p.name == name) return p.tensor;
              return Tensor{};
            },
            6, dtype)) {
    params.set_rules(layer_rules(c, "linear"));
    model = std::make_unique<CifarResnet>(params, small());
  }
  Tensor tensor(const std::string& name) const {
    for (const Parameter& p : params.all())
      if (p.name == name) return p.tensor;
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  Params source;
  CifarResnet origin;
  Params params;
  std::unique_ptr<CifarResnet> model;
};
std::map<std::string, ParamPlan> by_name(const TransferPlan& plan) {
  std::map<std::string, ParamPlan> all;
  for (const ParamPlan& p : plan.params) all.emplace(p.name, p);
  return all;
}
std::string refusal(const std::vector<std::string>& assignments) {
  const Config c = config_of(assignments);
  try {
    const Tuned t(c);
    plan_transfer(c, t.params);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage) << e.what();
    return e.what();
  }
  return "(accepted)";
}
Batch batch_of(std::int64_t n) {
  RandomState r{9, 9, 0};
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(i % 10);
  return {rand_normal({n, 3, 8, 8}, 0, 1, r), Tensor::from(labels, {n})};
}

TEST(Transfer, PatternsMatchWholeNames) {
  for (const auto& [pattern, text, wanted] :
       std::vector<std::tuple<const char*, const char*, bool>>{{"conv1", "conv1", true},
                                                               {"conv1", "conv1.weight", false},
                                                               {"conv*", "conv1.weight", true},
                                                               {"*", "", true},
                                                               {"**", "a", true},
                                                               {"*.weight", "layer1.0.conv1.weight", true},
                                                               {"*.weight", "conv1.weights", false},
                                                               {"layer*.0.*1.*", "layer2.0.bn1.bias", true},
                                                               {"layer*.0.*1.*", "layer2.1.bn2.bias", false},
                                                               {"", "", true},
                                                               {"", "a", false},
                                                               {"a*b*c", "abcbc", true},
                                                               {"a*b*c", "abcb", false}})
    EXPECT_EQ(matches_pattern(pattern, text), wanted) << pattern << " on " << text;
  EXPECT_FALSE(matches_pattern(std::string(30, '*') + "b", std::string(3000, 'a'))) << "and it does not take for ever";
}

TEST(Transfer, StagesCountFromTheHeadAndRatesDecayWithThem) {
  const Config c = config_of({"optim.layer_decay=0.5", "optim.weight_decay=0.1"});
  const Tuned t(c);
  const auto plan = by_name(plan_transfer(c, t.params));
  for (const auto& [name, stage] : std::vector<std::pair<const char*, std::int64_t>>{{"linear.weight", 0},
                                                                                     {"linear.bias", 0},
                                                                                     {"layer3.0.conv1.weight", 1},
                                                                                     {"layer3.0.bn2.bias", 1},
                                                                                     {"layer2.0.conv2.weight", 2},
                                                                                     {"layer1.0.bn1.weight", 3},
                                                                                     {"conv1.weight", 4},
                                                                                     {"bn1.weight", 4}}) {
    EXPECT_EQ(plan.at(name).stage, stage) << name;
    EXPECT_EQ(plan.at(name).lr_factor, std::pow(0.5, static_cast<double>(stage))) << name;
    EXPECT_EQ(plan.at(name).weight_decay, plan.at(name).tensor.rank() < 2 ? 0 : 0.1) << name;
    EXPECT_EQ(plan.at(name).frozen_until, 0) << name;
  }
}

TEST(Transfer, GroupsSetRatesAndDecayOfWhatTheyMatch) {
  const Config c = config_of(
      {"optim.lr=0.5", "optim.weight_decay=0.1", "optim.groups=[\"layer*:lr=0.1\", \"*.bn*.weight:wd=0.3\", \"layer1.*:lr=0.5,wd=0\"]"});
  const Tuned t(c);
  const TransferPlan plan = plan_transfer(c, t.params);
  const auto all = by_name(plan);
  EXPECT_EQ(all.at("layer2.0.conv1.weight").lr_factor, 0.1);
  EXPECT_EQ(all.at("layer2.0.conv1.weight").weight_decay, 0.1);
  EXPECT_EQ(all.at("layer2.0.bn1.weight").weight_decay, 0.3) << "said by name, a norm decays too";
  EXPECT_EQ(all.at("layer1.0.bn1.weight").weight_decay, 0) << "the last one counts";
  EXPECT_EQ(all.at("layer1.0.bn1.weight").lr_factor, 0.1 * 0.5);
  EXPECT_EQ(all.at("conv1.weight").lr_factor, 1);
  std::map<std::string, OptimOptions> used;
  Optimizer optimizer = plan.optimizer(c);
  for (const ParamGroup& g : optimizer.groups())
    for (const auto& [name, p] : g.params) used[name] = g.options;
  ASSERT_EQ(used.size(), plan.params.size());
  for (const ParamPlan& p : plan.params) {
    EXPECT_EQ(used.at(p.name).lr, 0.5 * p.lr_factor) << p.name;
    EXPECT_EQ(used.at(p.name).weight_decay, p.weight_decay) << p.name;
  }
}

TEST(Transfer, UnfreezesByStageAndByPattern) {
  const Config c = config_of({"init.freeze=[backbone]", "init.unfreeze_every=2", "init.unfreeze=[conv1.*:3]"});
  const Tuned t(c);
  const TransferPlan plan = plan_transfer(c, t.params);
  const auto all = by_name(plan);
  EXPECT_EQ(all.at("linear.weight").frozen_until, 0);
  EXPECT_EQ(all.at("layer3.0.bn1.weight").frozen_until, 2);
  EXPECT_EQ(all.at("layer2.0.conv1.weight").frozen_until, 4);
  EXPECT_EQ(all.at("layer1.0.conv1.weight").frozen_until, 6);
  EXPECT_EQ(all.at("conv1.weight").frozen_until, 3);
  EXPECT_EQ(all.at("bn1.weight").frozen_until, 8);
  EXPECT_EQ(plan.last_opening(), 8);
  EXPECT_TRUE(plan.frozen.empty());
  plan.optimizer(c);
  EXPECT_TRUE(plan.open(0));
  EXPECT_FALSE(plan.open(1));
  const auto wanting = [&] {
    std::set<std::string> names;
    for (const Tensor& p : t.params.trainable()) names.insert(p.name());
    return names;
  };
  EXPECT_EQ(wanting(), (std::set<std::string>{"linear.weight", "linear.bias"}));
  EXPECT_TRUE(plan.open(3));
  EXPECT_EQ(wanting().count("conv1.weight"), 1u);
  EXPECT_EQ(wanting().count("layer2.0.conv1.weight"), 0u);
  EXPECT_TRUE(plan.open(8));
  EXPECT_EQ(wanting().size(), plan.params.size());
}

TEST(Transfer, RefusesWhatMatchesNothingOrContradictsItself) {
  for (const auto& [assignments, says] : std::vector<std::pair<std::vector<std::string>, const char*>>{
           {{"init.freeze=[conv9*]"}, "no parameter matches 'conv9*'"},
           {{"init.freeze=[*]"}, "every parameter is frozen"},
           {{"init.unfreeze=[conv1.*:2]"}, "nothing is frozen at the start"},
           {{"init.unfreeze_every=1"}, "nothing is frozen at the start"},
           {{"init.freeze=[conv1.*]", "init.unfreeze=[layer1.*:2]"}, "'layer1.*' matches no parameter that init.freeze freezes"},
           {{"init.freeze=[conv1.*]", "init.unfreeze=[conv1.*]"}, "write PATTERN:EPOCHS"},
           {{"init.freeze=[conv1.*]", "init.unfreeze=[conv1.*:0]"}, "at least one epoch"},
           {{"init.freeze=[*]", "init.unfreeze=[conv1.*:2]"}, "every parameter is frozen"},
           {{"optim.groups=[\"fc*:lr=1\"]"}, "no parameter matches 'fc*'"},
           {{"optim.groups=[conv1.weight]"}, "names no pattern and no setting"},
           {{"optim.groups=[\"conv1.*:lr=-1\"]"}, "'lr=-1'"},
           {{"optim.groups=[\"conv1.*:lr=1,lr=2\"]"}, "'lr=2'"},
           {{"optim.groups=[\"conv1.*:speed=1\"]"}, "'speed=1'"},
           {{"optim.groups=[\"conv1.*:lr=nan\"]"}, "'lr=nan'"},
           {{"optim.l2_sp=0.1", "init.freeze=[backbone]"}, "no tensor that trains has a start"},
           {{"peft.method=lora", "peft.targets=[fc1]"}, "'fc1' matches no linear layer"},
           {{"peft.method=lora", "peft.targets=[linear]"}, "'linear' matches no linear layer"},
           {{"peft.method=lora", "init.freeze=[backbone]", "init.unfreeze_every=1"}, "the base stays frozen"},
           {{"peft.method=lora", "optim.l2_sp=0.1"}, "no tensor that trains has a start"},
       })
    EXPECT_NE(refusal(assignments).find(says), std::string::npos) << refusal(assignments) << "\nshould say: " << says;
  const Config c = config_of({"init.batch_norm=eval"});
  const Params p = Params::init(1);
  p.set_rules(layer_rules(c, "fc"));
  const Linear fc(p / "fc", 3, 2);
  EXPECT_THROW(plan_transfer(c, p), Error) << "no batch norm";
}

TEST(Transfer, WhatTheCallerFrozeStaysFrozen) {
  const Config c = config_of({});
  const Tuned t(c);
  t.tensor("conv1.weight").set_requires_grad(false);
  const TransferPlan plan = plan_transfer(c, t.params);
  EXPECT_EQ(by_name(plan).at("conv1.weight").frozen_until, kForEver);
  ASSERT_EQ(plan.frozen.size(), 1u);
  plan.open(100);
  EXPECT_FALSE(t.tensor("conv1.weight").requires_grad());
}

// Each policy of batch norms: what moves in a step, and which numbers a forward pass in training uses.
TEST(Transfer, BatchNormPolicies) {
  for (const std::string policy : {"train", "eval", "affine"}) {
    const Config c = config_of({"init.batch_norm=" + policy, "optim.weight_decay=0.1", "optim.name=sgd"});
    const Tuned t(c);
    const TransferPlan plan = plan_transfer(c, t.params);
    plan.open(0);
    const Batch b = batch_of(6);
    Tensor as_evaluated;
    {
      NoGrad off;
      graft::Run evaluating;
      as_evaluated = t.model->forward(b.images, evaluating);
    }
    const auto before_mean = t.tensor("layer2.0.bn1.running_mean").values(), before_weight = t.tensor("layer2.0.bn1.weight").values(),
               before_conv = t.tensor("conv1.weight").values();
    graft::Run training{true, {}};
    const Tensor logits = t.model->forward(b.images, training);
    EXPECT_EQ(logits.values() == as_evaluated.values(), policy != "train");
    t.tensor("layer2.0.bn1.running_mean").set_values(before_mean);
    Optimizer optimizer = plan.optimizer(c);
    plan.open(0);
    TrainStep step(*t.model, optimizer, nullptr, {});
    step.run(b, 0, 1);
    EXPECT_EQ(t.tensor("layer2.0.bn1.running_mean").values() == before_mean, policy != "train") << policy;
    EXPECT_EQ(t.tensor("layer2.0.bn1.weight").values() == before_weight, policy == "eval") << policy;
    EXPECT_NE(t.tensor("conv1.weight").values(), before_conv) << policy;
    const std::size_t norms = 7;  // of a network of depth 8
    EXPECT_EQ(plan.frozen.size(), policy == "train" ? 0 : policy == "affine" ? 2 * norms : 4 * norms) << policy;
  }
}

TEST(Transfer, FrozenStagesLeaveNoNodeNoGradientAndNoState) {
  const Config c = config_of({"init.freeze=[backbone]", "init.unfreeze=[layer3.*:1]", "init.batch_norm=eval", "optim.weight_decay=0.1"});
  const Tuned t(c);
  const TransferPlan plan = plan_transfer(c, t.params);
  Optimizer optimizer = plan.optimizer(c);
  const Batch b = batch_of(4);
  const auto convolutions = [&] {
    graft::Run training{true, {}};
    const std::string graph = dump_graph(t.model->forward(b.images, training));
    std::int64_t n = 0;
    for (std::size_t at = graph.find("conv2d("); at != std::string::npos; at = graph.find("conv2d(", at + 1)) ++n;
    return n;
  };
  plan.open(0);
  EXPECT_EQ(convolutions(), 0);
  TrainStep step(*t.model, optimizer, nullptr, {});
  step.run(b, 0, 1);
  std::set<std::string> states;
  for (const auto& [name, s] : optimizer.state()) states.insert(name.substr(0, name.rfind('.')));
  EXPECT_EQ(states, (std::set<std::string>{"linear.weight", "linear.bias"}));
  EXPECT_FALSE(t.tensor("layer3.0.conv1.weight").grad().defined());
  plan.open(1);
  EXPECT_EQ(convolutions(), 2) << "those of the stage that opened";
  const auto conv = t.tensor("layer3.0.conv1.weight").values(), below = t.tensor("layer2.0.conv1.weight").values();
  step.run(b, 1, 1);
  EXPECT_NE(t.tensor("layer3.0.conv1.weight").values(), conv);
  EXPECT_EQ(t.tensor("layer2.0.conv1.weight").values(), below) << "and no weight decay reaches what is frozen";
}

// gradient + alpha (w - start), for what has a gradient. Each of the three f32 operations rounds once, at most half an ulp of a value below
// 1: four ulp in all.
TEST(Transfer, L2SpPullsToTheStart) {
  const Config c = config_of({"optim.l2_sp=0.25", "optim.weight_decay=0.1", "optim.name=sgd"});
  const Tuned t(c);
  const TransferPlan plan = plan_transfer(c, t.params);
  const auto all = by_name(plan);
  EXPECT_EQ(all.at("conv1.weight").l2_sp, 0.25);
  EXPECT_EQ(all.at("conv1.weight").weight_decay, 0);
  EXPECT_EQ(all.at("linear.weight").l2_sp, 0);
  EXPECT_EQ(all.at("linear.weight").weight_decay, 0.1);
  const Batch b = batch_of(4);
  const auto gradients = [&](const std::vector<Pull>& pulls) {
    Optimizer optimizer = plan.optimizer(c);
    StepOptions o;
    o.pulls = pulls;
    TrainStep step(*t.model, optimizer, nullptr, o);
    step.run(b, 0, 0);  // a rate of zero: the weights stay
    return t.tensor("conv1.weight").grad().values();
  };
  const Tensor start = Tensor::full({4, 3, 3, 3}, 0.5);
  const auto plain = gradients({}), pulled = gradients({{t.tensor("conv1.weight"), start, 0.25}}), w = t.tensor("conv1.weight").values();
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(pulled[i], plain[i] + 0.25 * (w[i] - 0.5), 4 * std::pow(2.0, -23)) << i;
}

TEST(Lora, StartsAsTheBaseAndOnlyAdaptersAndHeadTrain) {
  const Config c = config_of({"peft.method=lora", "peft.rank=2", "peft.alpha=4", "optim.lr=0.1", "init.batch_norm=eval"});
  const Tuned t(c);
  const TransferPlan plan = plan_transfer(c, t.params);
  plan.open(0);
  EXPECT_EQ(t.tensor("layer2.0.conv1.lora_A").shape(), (Shape{2, 4 * 9}));
  EXPECT_EQ(t.tensor("layer2.0.conv1.lora_B").shape(), (Shape{8, 2}));
  EXPECT_EQ(t.params.adapted().size(), 7u);
  EXPECT_EQ(t.params.adapted()[0].adapter.scale, 2);
  for (const ParamPlan& p : plan.params)
    EXPECT_EQ(p.frozen_until == 0, p.name.find("lora_") != std::string::npos || p.name.starts_with("linear.")) << p.name;
  const Batch b = batch_of(6);
  graft::Run evaluating;
  {
    NoGrad off;
    EXPECT_EQ(t.model->forward(b.images, evaluating).values(), t.origin.forward(b.images, evaluating).values()) << "B is zero";
  }
  std::map<std::string, std::vector<double>> before;
  for (const Parameter& p : t.params.all()) before[p.name] = p.tensor.values();
  Optimizer optimizer = plan.optimizer(c);
  TrainStep step(*t.model, optimizer, nullptr, {});
  for (std::int64_t i = 0; i < 3; ++i) step.run(b, i, 1);
  for (const Parameter& p : t.params.all())
    EXPECT_EQ(p.tensor.values() == before[p.name], p.name.find("lora_") == std::string::npos && !p.name.starts_with("linear.")) << p.name;
}

// The weight with its adapter against the two-way form of the paper, W x + scale B (A x), in f64: both sum the same products. The a-priori
// bound of a sum of n products is n 2^-53 times the sum of their absolute values, once for each side and each of the at most three nested
// sums.
TEST(Lora, TheSumEqualsThePathBesideTheWeight) {
  const Config c = config_of({"peft.method=lora", "peft.rank=3", "peft.targets=[a,b]"});
  const Params p = Params::init(4, DType::f64);
  p.set_rules(layer_rules(c, "head"));
  const Linear a(p / "a", 5, 7);
  const Conv2d b(p / "b", 2, 6, 3);
  RandomState r{3, 3, 0};
  for (const Params::Adapted& x : p.adapted()) x.adapter.b.set_values(rand_normal(x.adapter.b.shape(), 0, 1, r).values());
  ASSERT_EQ(p.adapted().size(), 2u);
  NoGrad off;
  graft::Run run;
  const auto bounded = [](const Tensor& got, const Tensor& want, const Tensor& sizes, double terms) {
    const auto g = got.values(), w = want.values(), s = sizes.values();
    ASSERT_EQ(g.size(), w.size());
    for (std::size_t i = 0; i < g.size(); ++i) EXPECT_LE(std::abs(g[i] - w[i]), 2 * 3 * terms * std::pow(2.0, -53) * s[i]) << i;
  };
  const Tensor x = rand_normal({4, 5}, 0, 1, r, DType::f64), images = rand_normal({2, 2, 6, 5}, 0, 1, r, DType::f64);
  const auto beside = [&](bool sizes) {
    const auto t = [&](const Tensor& y) { return sizes ? abs(y) : y; };
    return add(linear(t(x), t(a.weight), t(a.bias)), mul(linear(linear(t(x), t(a.adapter.a)), t(a.adapter.b)), a.adapter.scale));
  };
  bounded(a.forward(x, run), beside(false), beside(true), 5 + 3 + 1);
  const auto conv_beside = [&](bool sizes) {
    const auto t = [&](const Tensor& y) { return sizes ? abs(y) : y; };
    const Tensor low = conv2d(t(images), reshape(t(b.adapter.a), {3, 2, 3, 3}));
    return add(conv2d(t(images), t(b.weight), t(b.bias)), mul(conv2d(low, reshape(t(b.adapter.b), {6, 3, 1, 1})), b.adapter.scale));
  };
  bounded(b.forward(images, run), conv_beside(false), conv_beside(true), 18 + 3 + 1);
}

TEST(NearestNeighbours, VoteByCosine) {
  const Tensor train = Tensor::from(std::vector<float>{1, 0, 10, 1, 0, 1, 1, 9, 0, 0}, {5, 2});
  const std::vector<std::int64_t> labels = {0, 0, 1, 1, 2};
  const Tensor test = Tensor::from(std::vector<float>{0.001f, 0.0001f, 3, 4, 4, 3, 0, 0}, {4, 2});
  const auto one = knn_predict(train, labels, 3, test, 1);
  EXPECT_EQ(one[0], 0) << "length does not count";
  EXPECT_EQ(one[1], 1);
  EXPECT_EQ(one[2], 0);
  EXPECT_EQ(knn_predict(train, labels, 3, test, 5)[1], 1) << "near ones count more than those far away";
  EXPECT_EQ(knn_predict(train, labels, 3, test, 5)[3], 0) << "equal sums: the smaller class";
  EXPECT_THROW(knn_predict(train, labels, 3, test, 0), Error);
  EXPECT_THROW(knn_predict(train, labels, 3, test, 6), Error);
  EXPECT_THROW(knn_predict(train, labels, 2, test, 1), Error);
  EXPECT_THROW(knn_predict(train, {0, 1}, 3, test, 1), Error);
  EXPECT_THROW(knn_predict(train, labels, 3, Tensor::ones({2, 3}), 1), Error);
}

// Against plain loops in double, on more rows than are done at a time. Rows where the two best classes are nearer than f32 can tell are
// left out, and few.
TEST(NearestNeighbours, EqualPlainLoops) {
  RandomState r{8, 8, 0};
  const std::int64_t n = 90, m = 300, d = 7, k = 5, classes = 4;
  const Tensor train = rand_normal({n, d}, 0, 1, r), test = rand_normal({m, d}, 0, 1, r);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(i * 7 % classes);
  const auto a = train.values(), b = test.values();
  const auto got = knn_predict(train, labels, classes, test, k);
  ASSERT_EQ(static_cast<std::int64_t>(got.size()), m);
  std::int64_t checked = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    std::vector<std::pair<double, std::int64_t>> near;
    for (std::int64_t j = 0; j < n; ++j) {
      double dot = 0, aa = 0, bb = 0;
      for (std::int64_t e = 0; e < d; ++e) {
        const double u = a[static_cast<std::size_t>(j * d + e)], v = b[static_cast<std::size_t>(i * d + e)];
        dot += u * v, aa += u * u, bb += v * v;
      }
      near.emplace_back(-dot / std::sqrt(aa * bb), j);
    }
    std::sort(near.begin(), near.end());
    std::vector<double> votes(static_cast<std::size_t>(classes), 0);
    for (std::int64_t j = 0; j < k; ++j)
      votes[static_cast<std::size_t>(labels[static_cast<std::size_t>(near[static_cast<std::size_t>(j)].second)])] +=
          std::exp(-near[static_cast<std::size_t>(j)].first / 0.07);
    std::vector<double> sorted = votes;
    std::sort(sorted.rbegin(), sorted.rend());
    // a cosine of d f32 products is known to about (d + 4) 2^-24; a vote grows by that over 0.07, of itself
    const double unsure = (static_cast<double>(d) + 4) * std::pow(2.0, -24);
    if (sorted[0] - sorted[1] <= 2 * sorted[0] * unsure / 0.07 ||
        near[static_cast<std::size_t>(k)].first - near[static_cast<std::size_t>(k - 1)].first <= 2 * unsure)
      continue;
    EXPECT_EQ(got[static_cast<std::size_t>(i)], std::max_element(votes.begin(), votes.end()) - votes.begin()) << i;
    ++checked;
  }
  EXPECT_GE(checked, m - 5);
}

}  // namespace
}  // namespace graft
