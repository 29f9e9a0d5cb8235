// A NaN is traced to its operation, step and images before it reaches a weight.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/autograd/finite.h"
#include "engine/autograd/tape.h"
#include "engine/train/trainer.h"

namespace graft {
namespace {

// Linear, plus log(1 - mean of the image): an image of ones is the end of it.
class Touchy : public Module {
 public:
  explicit Touchy(const Params& p) : layer_(p / "fc", 784, 10) {}
  Tensor forward(const Tensor& x, Run& run) const override {
    const Tensor flat = flatten(x, 1);
    return add(layer_.forward(flat, run), log(sub(Tensor::full({1}, 1.0), mean(flat, {1}, true))));
  }

 private:
  Linear layer_;
};
// The same, normalised over the batch: what an image of ones makes of it would stay in the running statistics.
class TouchyNorm : public Module {
 public:
  explicit TouchyNorm(const Params& p) : before_(p), norm_(p / "bn", 10) {}
  Tensor forward(const Tensor& x, Run& run) const override { return norm_.forward(before_.forward(x, run), run); }

 private:
  Touchy before_;
  BatchNorm norm_;
};
Dataset digits(std::int64_t white) {
  Dataset d = draw_glyphs("digits", 24, 3);
  if (white >= 0) std::fill_n(d.source->block().data<std::uint8_t>() + white * 784, 784, std::uint8_t{255});
  return d;
}
Config config(std::vector<std::string> settings, int steps = 6) {
  Config c = Config::recipe("digits-cnn");
  for (const char* s : {"train.batch=8", "schedule.warmup=0", "data.normalize=[0,1]", "train.checkpoint_every=100", "optim.name=sgd"})
    settings.push_back(s);
  settings.push_back("train.steps=" + std::to_string(steps));
  c.set("optim.lr=0.01", {Layer::recipe, 1, "recipe"});
  for (const auto& s : settings) c.set(s);
  c.check();
  return c;
}
struct Outcome {
  std::string error;
  std::vector<std::string> notes;
  std::int64_t steps = 0, skipped = 0;
  bool finite = true;
};
Outcome run(const Config& c, std::int64_t white) {
  Params params = Params::init(1);
  const Touchy model(params);
  Outcome o;
  Watch watch;
  watch.on_step = [&](const StepReport& r) { o.steps = r.step; };
  watch.note = [&](const std::string& text) { o.notes.push_back(text); };
  try {
    o.skipped = train(model, params, c, digits(white), digits(-1), watch).skipped;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::diverged);
    o.error = e.what();
  }
  for (const Parameter& p : params.all()) o.finite = o.finite && count_not_finite(p.tensor) == 0;
  return o;
}

TEST(NanGuard, NamesOperationStepAndImageAndSparesTheWeights) {
  EXPECT_EQ(run(config({}), -1).error, "");
  const Outcome o = run(config({}), 17);
  EXPECT_NE(o.error.find("the loss is "), std::string::npos) << o.error;
  EXPECT_NE(o.error.find("at step " + std::to_string(o.steps + 1) + "; first log of f32[8,1]"), std::string::npos) << o.error;
  EXPECT_NE(o.error.find("gave 1 of 8 values that are not finite; training image 17;"), std::string::npos) << o.error;
  EXPECT_TRUE(o.finite);
}

TEST(NanGuard, SkipsByPolicyAndSaysSo) {
  const Outcome o = run(config({"train.on_nan=skip"}), 17);
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.skipped, 2);  // once per epoch
  EXPECT_EQ(o.steps, 6);
  ASSERT_EQ(o.notes.size(), 2u);
  EXPECT_NE(o.notes[0].find("training image 17; the step is skipped"), std::string::npos) << o.notes[0];
  EXPECT_TRUE(o.finite);
}

TEST(NanGuard, ASkippedStepLeavesRunningStatistics) {
  const Params params = Params::init(1);
  const TouchyNorm model(params);
  const auto statistics = [&] {
    std::vector<std::vector<double>> all;
    for (const Parameter& p : params.all())
      if (!p.trainable) all.push_back(p.tensor.values());
    return all;
  };
  std::vector<std::vector<double>> before = statistics();
  ASSERT_EQ(before.size(), 2u);
  bool skipped = false;
  int left = 0, moved = 0;
  Watch watch;
  watch.note = [&](const std::string& text) { skipped = skipped || text.ends_with("the step is skipped"); };
  watch.on_step = [&](const StepReport& r) {
    const std::vector<std::vector<double>> now = statistics();
    EXPECT_EQ(now == before, skipped) << "step " << r.step;
    (skipped ? left : moved) += 1;
    before = now;
    skipped = false;
  };
  const TrainResult r = train(model, params, config({"train.on_nan=skip", "train.accumulate=2"}), digits(17), digits(-1), watch);
  EXPECT_EQ(r.skipped, 2);
  EXPECT_EQ(left, 2);
  EXPECT_EQ(moved, 4);
  for (const auto& values : before)
    for (const double v : values) EXPECT_TRUE(std::isfinite(v));
}

TEST(NanGuard, GivesUpAfterTenStepsInARow) {
  const Outcome o = run(config({"train.on_nan=skip", "optim.lr=1e38"}, 40), -1);
  EXPECT_NE(o.error.find("so were the nine before"), std::string::npos) << o.error;
  EXPECT_EQ(o.notes.size(), 9u);
}

// A step's own loss is that of the weights before it. What the last update has made of them is seen by the next look, and never saved.
TEST(NanGuard, WeightsThatAreOfNoUseAreNeitherBestNorSaved) {
  struct Case {
    const char* policy;
    bool held_out;
    const char* says;
  };
  for (const Case& k :
       {Case{"train.on_nan=stop", true, "the model's outputs for 24 of 24 images are not finite, first for image 0 after step 1"},
        Case{"train.on_nan=skip", true, "first for image 0 after step 1"},
        Case{"train.on_nan=rollback", true, "there is no checkpoint yet to go back to"},
        Case{"train.on_nan=stop", false, "numbers of fc.weight are not finite after step 1"}}) {
    Params params = Params::init(1);
    const Touchy model(params);
    int saved = 0;
    Watch watch;
    watch.save = [&](const TrainState&, bool) { ++saved; };
    watch.rollback = [&]() -> std::optional<TrainState> { return std::nullopt; };
    watch.on_eval = [&](const EpochReport& r) { EXPECT_FALSE(r.best); };
    try {
      train(model, params, config({k.policy, "optim.lr=1e300"}, 1), digits(-1), k.held_out ? digits(-1) : Dataset{}, watch);
      ADD_FAILURE() << k.policy << ": such weights passed";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::diverged);
      EXPECT_NE(std::string(e.what()).find(k.says), std::string::npos) << k.policy << ": " << e.what();
    }
    EXPECT_EQ(saved, 0) << k.policy;
  }
}

// An evaluation that is not finite goes back too, to weights that were looked at.
TEST(NanGuard, APoorEvaluationIsRolledBack) {
  Params params = Params::init(1);
  const Touchy model(params);
  std::vector<Tensor> weights;
  TrainState kept;
  std::vector<std::string> notes;
  bool spoiled = false;
  Watch watch;
  watch.save = [&](const TrainState& s, bool) {
    NoGrad off;
    kept = s;
    weights.clear();
    for (auto& [name, t] : kept.tensors) t = clone(t).detach();
    for (const Parameter& p : params.all()) weights.push_back(clone(p.tensor).detach());
  };
  watch.rollback = [&]() -> std::optional<TrainState> {
    NoGrad off;
    for (std::size_t i = 0; i < weights.size(); ++i) copy_into(Tensor(params.all()[i].tensor), weights[i]);
    return kept;
  };
  watch.on_step = [&](const StepReport& r) {
    if (r.step != 6 || spoiled) return;
    NoGrad off;
    spoiled = true;  // what a last update that is too large leaves
    copy_into(Tensor(params.all()[0].tensor), Tensor::full(params.all()[0].tensor.shape(), INFINITY));
  };
  watch.note = [&](const std::string& text) { notes.push_back(text); };
  const TrainResult r = train(model, params, config({"train.on_nan=rollback"}), digits(-1), digits(-1), watch);
  EXPECT_EQ(r.steps, 6);
  EXPECT_EQ(r.rollbacks, 1);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("after step 6; back to step 3 with 0.500000 of the learning rate"), std::string::npos) << notes[0];
  EXPECT_TRUE(std::isfinite(r.held_out_loss));
  for (const Parameter& p : params.all()) EXPECT_EQ(count_not_finite(p.tensor), 0) << p.name;
}

TEST(FiniteWatch, SeesTheFirstOperationForwardsAndBackwards) {
  Tensor x = Tensor::from<double>({1, 0, 2, 3}, {4});
  {
    FiniteWatch watch;
    const Tensor y = sum(mul(log(x), 2.0));
    EXPECT_EQ(watch.found().find("log of f64[4] gave 1 of 4 values"), 0u) << watch.found();
  }
  x.set_requires_grad(true);
  FiniteWatch watch;
  backward(sum(sqrt(x)));  // the root of 0 is finite, its slope is not
  EXPECT_NE(watch.found().find("in the backward of sqrt"), std::string::npos) << watch.found();
  EXPECT_EQ(call_watch(), &watch);
}

}  // namespace
}  // namespace graft
