// Bugs that everybody has made once, each built in: the preflight names the cause. Three healthy set-ups: it finds nothing. And it leaves
// no trace.
#include "engine/train/preflight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/train/preflight_data.h"
#include "engine/train/trainer.h"
#include "models/zoo.h"
#include "weights/hash.h"

namespace graft {
namespace {

Dataset digits(std::int64_t n, std::uint64_t seed) { return draw_glyphs("digits", n, seed); }
Config config(std::vector<std::string> settings, const std::string& recipe = "digits-cnn") {
  Config c = Config::recipe(recipe);
  for (const auto& s : settings) c.set(s);
  c.check();
  return c;
}
const std::vector<std::string> kMlp = {"model.name=mlp", "train.steps=200", "schedule.warmup=0"};
std::vector<std::string> and_also(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A small network with a place for each bug.
class Net : public Module {
 public:
  explicit Net(const Params& p, std::int64_t classes = 10) : fc1(p / "fc1", 784, 64), bn(p / "bn", 64), fc2(p / "fc2", 64, classes) {}
  Tensor forward(const Tensor& x, Run& run) const override {
    Tensor y = fc1.forward(flatten(x, 1), run);
    if (norm == "training") y = batch_norm(y, bn.weight, bn.bias, bn.running_mean, bn.running_var, true);
    else y = bn.forward(y, run);
    if (norm == "batch mean") y = sub(y, mean(y, {0}, true));
    if (cut) y = y.detach();
    y = relu(y);
    if (always_drop) y = dropout(y, 0.5, run.random);
    y = fc2.forward(y, run);
    return finish ? finish(y) : y;
  }
  Linear fc1;
  BatchNorm bn;
  Linear fc2;
  std::string norm;
  bool cut = false, always_drop = false;
  std::function<Tensor(const Tensor&)> finish;
};

// A healthy training of Net; a test breaks one thing of it.
struct Workshop {
  Config c;
  Dataset train = digits(1500, 2), judge = digits(300, 3);
  Params params = Params::init(1);
  Net net{params};
  std::optional<Rig> rig;  // empty: the healthy one, of what is above as it is then
  explicit Workshop(const std::vector<std::string>& settings = {}) : c(config(and_also(kMlp, settings))) {}
  Preflight run(bool full = true) {
    if (!rig) rig = healthy();
    return preflight(*rig, {full});
  }
  Rig healthy() { return make_rig(net, params, c, train, judge); }
};
Rig::Step own_step(const Net& net, const std::shared_ptr<Optimizer>& optimizer, bool zero, bool update,
                   const std::function<Tensor(const Tensor&, const Tensor&)>& loss = {}) {
  return [&net, optimizer, zero, update, loss](const Batch& b, std::int64_t) {
    Run run{true, {1, 2, 0}};
    const Tensor logits = net.forward(b.images, run), l = loss ? loss(logits, b.labels) : cross_entropy(logits, b.labels);
    if (zero) optimizer->zero_grad();
    backward(l);
    if (update) optimizer->step();
    return l.item();
  };
}

std::string text_of(const Preflight& p) {
  std::string s;
  for (const Finding& f : p.findings) s += std::string(name_of(f.level)) + "  " + f.check + ": " + f.text + "\n";
  return s;
}
// The first thing that is not ok is this, in these words, and the check is right.
void expect_named(const Preflight& p, const std::string& check, const std::string& words) {
  for (const Finding& f : p.findings)
    if (f.level != Level::ok) {
      EXPECT_EQ(f.check, check) << text_of(p);
      EXPECT_NE(f.text.find(words), std::string::npos) << text_of(p);
      return;
    }
  ADD_FAILURE() << "nothing was found\n" << text_of(p);
}

TEST(PreflightBugs, NoZeroGrad) {
  Workshop w;
  w.rig = w.healthy();
  w.rig->start = [&](double scale) {
    Config c = w.c;
    c.set("optim.lr=" + std::to_string(1e-3 * scale));
    return own_step(w.net, std::make_shared<Optimizer>(make_optimizer(c, w.params)), false, true);
  };
  expect_named(w.run(), "updates", "gradients add up from step to step; call zero_grad");
}
TEST(PreflightBugs, SoftmaxOverTheBatch) {
  Workshop w;
  w.net.finish = [](const Tensor& y) { return softmax(y, 0); };
  expect_named(w.run(), "evaluation", "softmax goes along the wrong axis");
  w.net.finish = [](const Tensor& y) { return log_softmax(y, 0); };
  expect_named(w.run(), "evaluation", "softmax goes along the wrong axis");
}
TEST(PreflightBugs, FrozenHead) {
  Workshop w;
  w.net.fc2.weight.set_requires_grad(false);
  w.net.fc2.bias.set_requires_grad(false);
  expect_named(w.run(), "gradients", "fc2.weight, fc2.bias are frozen but newly drawn");
}
TEST(PreflightBugs, ShuffledLabels) {
  for (const char* batch : {"train.batch=64", "train.batch=1500"}) {  // all in one batch: nothing is left to ask the model about
    Workshop w({batch});
    const auto order = permutation(w.train.size(), 5, 6);
    const auto labels = w.train.labels.host<std::int64_t>();
    for (std::size_t i = 0; i < labels.size(); ++i) w.train.labels.data<std::int64_t>()[i] = labels[static_cast<std::size_t>(order[i])];
    const bool one = std::string(batch) == "train.batch=1500";
    expect_named(w.run(), "signal", one ? "neighbouring images do not share labels" : "labels look shuffled: neither");
    expect_named(w.run(false), "signal", "labels look shuffled against the images");
  }
}
TEST(PreflightBugs, LeakedSplit) {
  Workshop w;
  std::vector<std::int64_t> some(60);
  for (std::size_t i = 0; i < some.size(); ++i) some[i] = static_cast<std::int64_t>(i) * 7;
  const Dataset stolen = subset(w.train, some);
  LabelledImages both;
  both.source = images_in_memory("both", cat({images_of(w.judge), images_of(stolen)}, 0).detach());
  both.labels = cat({w.judge.labels, stolen.labels}, 0).host<std::int64_t>();
  both.class_names = w.judge.class_names;
  w.judge = make_dataset("both", std::move(both));
  const Preflight p = w.run();
  expect_named(p, "overlap", "60 (17 %) of 360 judged images are also training images: the split leaks");
  EXPECT_EQ(p.worst(), Level::fail);
}
TEST(PreflightBugs, LabelsOffByOne) {
  Workshop w;
  for (Dataset* d : {&w.train, &w.judge})
    for (std::int64_t i = 0; i < d->size(); ++i) ++d->labels.data<std::int64_t>()[i];
  expect_named(w.run(), "labels", "0 never comes: the labels count from 1; subtract 1");
}
TEST(PreflightBugs, LayerDetachedFromTheTape) {
  Workshop w;
  w.net.cut = true;
  expect_named(w.run(), "gradients", "no gradient reaches fc1.weight, fc1.bias, bn.weight, bn.bias: the tape is cut");
}
TEST(PreflightBugs, LearningRateAThousandTimesTooHigh) {
  for (const bool full : {true, false}) {
    Workshop w({"optim.lr=1"});
    expect_named(w.run(full), "one batch", "the learning rate 1 is too high");
  }
  Workshop sgd({"optim.name=sgd", "optim.lr=100"});
  expect_named(sgd.run(), "one batch", "the learning rate 100 is too high");
}
TEST(PreflightBugs, OptimizerOverACopyOfTheParameters) {
  Workshop w;
  w.rig = w.healthy();
  w.rig->start = [&](double) {
    ParamGroup copies{{}, optim_defaults("adamw")};
    for (const Parameter& p : w.params.all())
      if (p.trainable) {
        NoGrad off;
        copies.params.emplace_back(p.name, clone(p.tensor.detach()).detach().set_requires_grad());
      }
    return own_step(w.net, std::make_shared<Optimizer>(std::vector<ParamGroup>{copies}), true, true);
  };
  expect_named(w.run(), "updates", "no weight moves although gradients come: the optimizer updates other tensors (a copy");
}
TEST(PreflightBugs, DropoutInEvaluation) {
  Workshop w;
  w.net.always_drop = true;
  expect_named(w.run(), "evaluation", "dropout, or other random numbers, are active");
}
TEST(PreflightBugs, InputsNotNormalised) {
  Workshop w({"data.normalize=[0, 0.00392156862745098]"});  // 1 / 255: pixels stay 0 to 255
  expect_named(w.run(), "inputs", "not normalised: mean");
  expect_named(w.run(false), "inputs", "these are bytes that were not divided by 255");
}
TEST(PreflightBugs, SoftmaxBeforeCrossEntropy) {
  Workshop w;
  w.net.finish = [](const Tensor& y) { return softmax(y, 1); };
  expect_named(w.run(), "outputs", "cross_entropy takes a softmax of its own, so there are two, and the loss cannot fall below 1.46");
}
TEST(PreflightBugs, AllImagesTheSame) {
  Workshop w;
  const Tensor block = w.train.source->block();
  std::fill_n(block.data<std::uint8_t>(), block.numel(), std::uint8_t{7});
  expect_named(w.run(), "inputs", "all images are the same constant");
}
TEST(PreflightBugs, BatchNormInTrainingModeAndOtherLeaks) {
  Workshop w;
  w.net.norm = "training";
  expect_named(w.run(), "evaluation", "moves in an evaluation: batch norm works in training mode there, and each output depends");
  w.net.norm = "batch mean";
  expect_named(w.run(), "evaluation", "an image's output changes when another image of its batch does");
}
TEST(PreflightBugs, UpdateIsNeverCalled) {
  Workshop w;
  w.rig = w.healthy();
  w.rig->start = [&](double) { return own_step(w.net, std::make_shared<Optimizer>(make_optimizer(w.c, w.params)), true, false); };
  expect_named(w.run(), "updates", "its step is not called");
}
TEST(PreflightBugs, OneTensorIsNotGivenToTheOptimizer) {
  Workshop w;
  w.rig = w.healthy();
  w.rig->start = [&](double) {
    ParamGroup most{{}, optim_defaults("adamw")};
    for (const Parameter& p : w.params.all())
      if (p.trainable && p.name != "fc1.weight") most.params.emplace_back(p.name, p.tensor);
    auto optimizer = std::make_shared<Optimizer>(std::vector<ParamGroup>{most});
    return [&w, step = own_step(w.net, optimizer, true, true)](const Batch& b, std::int64_t k) {
      w.net.fc1.weight.set_grad({});  // so that this is the only bug
      return step(b, k);
    };
  };
  expect_named(w.run(), "updates", "fc1.weight has a gradient but does not move");
}
TEST(PreflightBugs, LastLayerOfAnotherWidth) {
  Workshop w;
  Params params = Params::init(1);
  const Net wide(params, 12);
  w.rig = make_rig(wide, params, w.c, w.train, w.judge);
  expect_named(w.run(), "shapes", "gives f32[64,12] but must give f32[64,10]");
}
TEST(PreflightBugs, AClassIsJudgedButNeverTrained) {
  Workshop w;
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < w.train.size(); ++i)
    if (w.train.labels.data<std::int64_t>()[i] != 4) kept.push_back(i);
  w.train = subset(w.train, kept);
  expect_named(w.run(), "labels", "class 4 is judged but has no training image");
}
TEST(PreflightBugs, NotEnoughMemory) {
  Workshop w({"train.eval_batch=100000"});
  w.rig = w.healthy();
  w.rig->validation.labels.resize(100000, 0);  // a judge of 100000 images, of which the loader has the first
  Allocator& memory = Allocator::of({});
  memory.trim();
  memory.set_limit(memory.stats().in_use + (64 << 20));
  const Preflight p = w.run();
  memory.set_limit(0);
  expect_named(p, "memory", "lower train.eval_batch");
}

// No alarm where nothing is wrong, in both forms.
void expect_healthy(const Config& c, const Dataset& train, const Dataset& judge) {
  for (const bool full : {true, false}) {
    Params params = Params::init(static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed")));
    const Model model = make_model(c, params);
    const Preflight p = preflight(make_rig(*model.module, params, c, train, judge), {full});
    EXPECT_EQ(p.worst(), Level::ok) << text_of(p);
    EXPECT_GE(p.findings.size(), full ? 13u : 10u) << text_of(p);
  }
}
TEST(PreflightHealthy, CnnOnDigits) { expect_healthy(config({"train.batch=32"}), digits(4000, 2), digits(500, 3)); }
TEST(PreflightHealthy, MlpOnDigits) { expect_healthy(config({"model.name=mlp"}), digits(4000, 2), digits(500, 3)); }
TEST(PreflightHealthy, CnnOnLetters) {
  expect_healthy(config({"train.batch=32"}, "letters-cnn"), draw_glyphs("letters", 6500, 2), draw_glyphs("letters", 520, 3));
}
TEST(PreflightHealthy, BatchNormAugmentationAndManyOptimizers) {
  for (const char* lr : {"sgd 0.05", "adamw 1e-3", "lion 1e-4", "rmsprop 1e-3", "adafactor 0.01", "adagrad 0.01"}) {
    const std::string s = lr;
    Workshop w({"optim.name=" + s.substr(0, s.find(' ')), "optim.lr=" + s.substr(s.find(' ') + 1), "augment.shift=2", "train.clip_norm=1"});
    const Preflight p = w.run();
    EXPECT_EQ(p.worst(), Level::ok) << s << "\n" << text_of(p);
  }
}

// Weights, running statistics, gradients, and what a training makes of them are those of a run without it.
TEST(Preflight, LeavesNoTrace) {
  Workshop a, b;
  const auto hash = [](const Params& p) {
    std::vector<std::pair<std::string, Tensor>> all;
    for (const Parameter& x : p.all()) all.emplace_back(x.name, x.tensor.detach());
    return weights_hash(all);
  };
  const std::string before = hash(a.params);
  a.net.fc1.bias.set_grad(Tensor::full({64}, 3.0));
  for (const bool full : {false, true}) {
    a.run(full);
    EXPECT_EQ(hash(a.params), before);
    EXPECT_EQ(a.net.fc1.bias.grad().values(), std::vector<double>(64, 3.0));
    EXPECT_FALSE(a.net.fc2.weight.grad().defined());
  }
  a.net.fc1.bias.set_grad({});
  const Config c = config({"model.name=mlp", "train.steps=12", "schedule.warmup=0"});
  train(a.net, a.params, c, a.train, a.judge, {});
  train(b.net, b.params, c, b.train, b.judge, {});
  EXPECT_NE(hash(a.params), before);
  EXPECT_EQ(hash(a.params), hash(b.params));
}

// By hand: a = 0 0 1 1, b = 0 0 1 1. Over the permutations of b, 1/6 agree four times, 4/6 twice, 1/6 never: mean 2, variance 4/3.
TEST(Preflight, AgreementIsThatOfPermutations) {
  const Agreement g = agreement({0, 0, 1, 1}, {0, 0, 1, 1});
  EXPECT_EQ(g.hits, 4);
  EXPECT_DOUBLE_EQ(g.expected, 2);
  EXPECT_DOUBLE_EQ(g.deviation, std::sqrt(4.0 / 3));
  EXPECT_FALSE(g.seen());
  EXPECT_FALSE(agreement({}, {}).seen());
  EXPECT_FALSE(agreement({1, 1, 1}, {0, 1, 2}).seen());  // one answer to everything says nothing
}

}  // namespace
}  // namespace graft
