// The loop's own decisions: which weights are the best, when it has had enough, when it goes back, and when it says that it learns by
// heart.
#include "engine/train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/base/context.h"
#include "engine/ops/ops.h"
#include "engine/train/learning_curve.h"
#include "kernels/core/philox.h"
#include "models/cifar_resnet.h"
#include "models/mlp.h"

namespace graft {
namespace {

Config config(const std::vector<std::string>& settings) {
  Config c = Config::recipe("mnist-mlp");
  for (const char* s : {"data.kind=digits", "data.train_count=64", "data.test_count=64", "data.normalize=[0.13,0.31]", "model.classes=10",
                        "train.batch=16", "schedule.warmup=0", "data.validation=8"})
    c.set(s);
  for (const auto& s : settings) c.set(s, Origin::flag("test"));
  return c;
}
Dataset digits(std::int64_t n, std::uint64_t seed) { return draw_glyphs("digits", n, seed); }

struct Told {
  std::vector<EpochReport> evaluations;
  std::vector<std::int64_t> saved, best;
  std::vector<std::string> notes;
  TrainResult result;
};
Told trained(const Config& c, const Dataset& train_set, const Dataset& held_out) {
  Params params = Params::init(1);
  const Mlp model(params, {784, 64, 10});
  Told r;
  Watch watch;
  watch.on_eval = [&](const EpochReport& e) { r.evaluations.push_back(e); };
  watch.save = [&](const TrainState& s, bool best) {
    r.saved.push_back(s.step);
    if (best) r.best.push_back(s.step);
  };
  watch.note = [&](const std::string& text) { r.notes.push_back(text); };
  r.result = train(model, params, c, train_set, held_out, watch);
  return r;
}

TEST(Trainer, AStepIsWhatTheConfigurationSays) {
  const StepOptions plain = step_options(config({}));
  EXPECT_EQ(plain.clip_norm, 0);
  EXPECT_EQ(plain.loss.smoothing, 0);
  EXPECT_EQ(plain.images, DType::f32);
  EXPECT_EQ(plain.accumulate, 1);
  EXPECT_FALSE(plain.recompute);
  EXPECT_FALSE(plain.graph);
  EXPECT_TRUE(plain.pulls.empty());
  EXPECT_TRUE(plain.statistics.empty());
  const StepOptions all = step_options(config({"train.clip_norm=0.5", "train.label_smoothing=0.1", "train.dtype=bf16", "train.accumulate=3",
                                               "train.recompute=true", "train.seed=77"}));
  EXPECT_EQ(all.clip_norm, 0.5);
  EXPECT_EQ(all.loss.smoothing, 0.1);
  EXPECT_EQ(all.images, DType::bf16);
  EXPECT_EQ(all.accumulate, 3);
  EXPECT_TRUE(all.recompute);
  EXPECT_EQ(all.seed, 77u);
}

TEST(Trainer, EndsEarlyByHeldOutImagesAlone) {
  Dataset noise = digits(200, 9);  // labels that nothing can predict: no evaluation stays better for long
  const auto order = permutation(200, 1, 1);
  const Tensor shuffled = Tensor::empty({200}, DType::i64, Device{});
  for (std::int64_t i = 0; i < 200; ++i)
    shuffled.data<std::int64_t>()[i] = noise.labels.data<std::int64_t>()[order[static_cast<std::size_t>(i)]];
  noise.labels = shuffled;
  const Told r = trained(config({"train.epochs=50", "train.patience=4", "eval.train_count=0"}), digits(64, 2), noise);
  EXPECT_TRUE(r.result.early);
  EXPECT_FALSE(r.result.stopped);
  ASSERT_GE(r.evaluations.size(), 5u);
  EXPECT_LT(r.evaluations.size(), 50u);
  for (std::size_t i = r.evaluations.size() - 4; i < r.evaluations.size(); ++i) EXPECT_FALSE(r.evaluations[i].best);
  EXPECT_TRUE(r.evaluations[r.evaluations.size() - 5].best) << "four evaluations after the best one";
  EXPECT_EQ(r.result.steps, r.evaluations.back().step);
  // a gain below train.min_gain is none
  const Told strict =
      trained(config({"train.epochs=50", "train.patience=2", "train.min_gain=0.9", "eval.train_count=0"}), digits(64, 2), digits(100, 3));
  EXPECT_EQ(strict.evaluations.size(), 3u);
}

TEST(Trainer, WithoutHeldOutImagesTheLastIsTheBest) {
  const Told r = trained(config({"train.steps=10", "train.checkpoint_every=4"}), digits(64, 2), {});
  EXPECT_TRUE(r.evaluations.empty());
  EXPECT_EQ(r.saved, (std::vector<std::int64_t>{4, 8, 10}));
  EXPECT_EQ(r.best, r.saved);
}

TEST(Trainer, EvaluatesAtIntervalsOfSteps) {
  const Told r = trained(config({"train.steps=10", "eval.every_steps=3", "eval.metric=loss"}), digits(64, 2), digits(50, 3));
  std::vector<std::int64_t> at;
  double least = INFINITY;
  for (const EpochReport& e : r.evaluations) {
    at.push_back(e.step);
    EXPECT_EQ(e.best, e.held_out.loss < least) << e.step;
    least = std::min(least, e.held_out.loss);
    EXPECT_EQ(e.train.images, 64) << "no more than there are";
    EXPECT_EQ(e.held_out.losses.size(), 50u);
  }
  EXPECT_EQ(at, (std::vector<std::int64_t>{3, 6, 9, 10}));
}

TEST(Trainer, SaysOnceThatItLearnsByHeart) {
  const Told r = trained(config({"train.epochs=60", "optim.lr=3e-3"}), digits(48, 2), digits(400, 3));
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_EQ(r.notes[0].find("over-fitting: the loss on held-out images was least"), 0u) << r.notes[0];
  const Told healthy = trained(config({"train.epochs=6"}), digits(2000, 2), digits(400, 3));
  EXPECT_TRUE(healthy.notes.empty()) << healthy.notes[0];
}

// log(1 - x) once the weights have grown: it is finite again with a smaller rate.
class Cliff : public Module {
 public:
  explicit Cliff(const Params& p) : layer_(p / "fc", 784, 10) {}
  Tensor forward(const Tensor& x, Run& run) const override {
    const Tensor y = layer_.forward(flatten(x, 1), run);
    return add(y, mul(log(sub(1.0, mul(mean(mul(layer_.weight, layer_.weight)), 600.0))), 1e-3));
  }

 private:
  Linear layer_;
};

TEST(Trainer, RollsBackToTheCheckpointWithHalfTheRate) {
  Params params = Params::init(1);
  const Cliff model(params);
  TrainState kept;
  std::vector<std::pair<std::string, Tensor>> weights;
  std::vector<std::string> notes;
  std::vector<double> rates;
  std::vector<std::int64_t> steps;
  Watch watch;
  watch.on_step = [&](const StepReport& r) { rates.push_back(r.lr), steps.push_back(r.step); };
  watch.save = [&](const TrainState& s, bool) {
    NoGrad off;
    kept = s;
    for (auto& [name, t] : kept.tensors) t = clone(t).detach();
    weights.clear();
    for (const Parameter& p : params.all()) weights.emplace_back(p.name, clone(p.tensor).detach());
  };
  watch.rollback = [&]() -> std::optional<TrainState> {
    NoGrad off;
    if (weights.empty()) return std::nullopt;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Tensor t = params.all()[i].tensor;
      copy_into(t, weights[i].second);
    }
    return kept;
  };
  watch.note = [&](const std::string& text) { notes.push_back(text); };
  const Config c = config(
      {"train.steps=40", "train.checkpoint_every=4", "train.on_nan=rollback", "optim.name=sgd", "optim.lr=0.2", "schedule.name=constant"});
  std::string error;
  TrainResult r;
  try {
    r = train(model, params, c, digits(64, 2), {}, watch);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::diverged);
    error = e.what();
  }
  ASSERT_FALSE(notes.empty()) << "it never fell off";
  EXPECT_NE(notes[0].find("; first log of f32[]"), std::string::npos) << notes[0];
  EXPECT_NE(notes[0].find("with 0.500000 of the learning rate"), std::string::npos) << notes[0];
  for (const Parameter& p : params.all())
    for (const double v : p.tensor.values()) ASSERT_TRUE(std::isfinite(v));
  EXPECT_NEAR(*std::min_element(rates.begin(), rates.end()),
              0.2 / std::pow(2.0, static_cast<double>(std::min<std::size_t>(notes.size(), 3))), 1e-12);
  if (error.empty()) {
    EXPECT_EQ(r.steps, 40);
    EXPECT_EQ(r.rollbacks, static_cast<std::int64_t>(notes.size()));
  } else {
    EXPECT_NE(error.find("it was rolled back three times"), std::string::npos) << error;
  }
  // before there is a checkpoint there is nowhere to go
  weights.clear();
  watch.save = nullptr;
  Params fresh = Params::init(1);
  const Cliff again(fresh);
  try {
    train(again, fresh, config({"train.steps=40", "train.on_nan=rollback", "optim.name=sgd", "optim.lr=5", "schedule.name=constant"}),
          digits(64, 2), {}, watch);
    ADD_FAILURE() << "it never fell off";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("there is no checkpoint yet to go back to"), std::string::npos) << e.what();
  }
}

// Blocks that are computed again in the backward pass: the same losses, weights and running statistics, in less memory.
TEST(Trainer, RecomputingChangesMemoryAndNothingElse) {
  std::vector<std::vector<double>> weights;
  std::vector<double> losses;
  for (const char* recompute : {"train.recompute=false", "train.recompute=true"}) {
    Params params = Params::init(1);
    const CifarResnet model(params, {20, 4, 1, 10});
    Watch watch;
    watch.on_step = [&](const StepReport& r) { losses.push_back(r.loss); };
    train(model, params, config({"train.steps=3", "train.accumulate=2", recompute}), digits(64, 2), {}, watch);
    weights.emplace_back();
    for (const Parameter& p : params.all())
      for (const double v : p.tensor.values()) weights.back().push_back(v);
  }
  ASSERT_EQ(losses.size(), 6u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(losses[i], losses[i + 3]);
  EXPECT_EQ(weights[0], weights[1]) << "running statistics among them";
  // What a forward pass leaves behind for the backward pass.
  std::int64_t kept[2];
  for (const bool recompute : {false, true}) {
    Params params = Params::init(1);
    const CifarResnet model(params, {20, 4, 1, 10});
    const Tensor x = Tensor::ones({16, 1, 28, 28});
    const std::int64_t before = Allocator::of({}).stats().in_use;
    ::graft::Run run{true, {1, 2, 0}, recompute};
    const Tensor y = model.forward(x, run);
    kept[recompute] = Allocator::of({}).stats().in_use - before;
  }
  EXPECT_LT(kept[1], kept[0] / 2) << kept[0] << " and " << kept[1] << " bytes";
}

TEST(LearningCurve, GivesBackThePowerLawThatItWasGiven) {
  // error = 3 n^-0.5, seen without noise on many images: the prior has little say
  std::vector<CurvePoint> points;
  for (const double n : {200.0, 400.0, 800.0, 1600.0})
    for (int s = 0; s < 3; ++s) points.push_back({n, 1 - 3 / std::sqrt(n), 100000});
  const LearningCurve c(points);
  EXPECT_NEAR(c.slope(), -0.5, 0.03);
  const Prediction p = c.at(3200, 100000);
  EXPECT_NEAR(1 - p.accuracy, 3 / std::sqrt(3200.0), 0.003);
  EXPECT_LT(p.low, p.accuracy);
  EXPECT_GT(p.high, p.accuracy);
  // a flat curve meets it where their errors are equal: 3 n^-0.5 = 0.06 at 2500
  std::vector<CurvePoint> flat;
  for (const double n : {200.0, 400.0, 800.0, 1600.0})
    for (int s = 0; s < 3; ++s) flat.push_back({n, 0.94, 100000});
  EXPECT_NEAR(c.meets(LearningCurve(flat)), 2500, 500);
}

// Two kinds of runs that share subsets and judges: their common luck does not hide which is better, and where there is no difference it is
// said in few cases.
TEST(LearningCurve, PairsTellWhatCurvesAloneCannot) {
  int told = 0, wrong = 0, alone = 0;
  for (std::uint64_t k = 0; k < 300; ++k) {
    std::uint64_t at = 0;
    const auto normal = [&] {
      const auto w = philox(12, k, at++);
      return std::sqrt(-2 * std::log(std::max(1e-12, unit_double(w[0], w[1])))) * std::cos(6.283185307179586 * unit_double(w[2], w[3]));
    };
    std::vector<CurvePoint> a, b, c;
    for (const double n : {200.0, 400.0, 800.0})
      for (int s = 0; s < 2; ++s) {
        const double luck = 0.12 * normal(), e = std::exp(-1 - 0.3 * std::log(n / 400) + luck);
        a.push_back({n, 1 - 0.82 * e * std::exp(0.04 * normal()), 500});
        b.push_back({n, 1 - e * std::exp(0.04 * normal()), 500});
        c.push_back({n, 1 - e * std::exp(0.04 * normal()), 500});
      }
    told += surely_better(a, b, 1000) > 0.9;
    wrong += surely_better(b, c, 1000) > 0.9 || surely_better(c, b, 1000) > 0.9;
    const Prediction pa = LearningCurve(a).at(1000, 500), pb = LearningCurve(b).at(1000, 500);
    alone += pa.low > pb.high;
  }
  EXPECT_GT(told, 240) << "of 300";
  EXPECT_LT(alone, 30) << "of 300";
  EXPECT_LT(wrong, 60) << "of 300: two sides of at most a tenth each";
  EXPECT_THROW(surely_better({{100, 0.5, 50}, {200, 0.5, 50}}, {{100, 0.5, 50}, {300, 0.5, 50}}, 400), Error);
}

TEST(LearningCurve, ItsEightyPercentHoldEightyPercent) {
  // Curves with random slopes within the usual, runs with seed noise and counted on 500 images, predicted at twice the largest size.
  int inside = 0, all = 0;
  for (std::uint64_t k = 0; k < 400; ++k) {
    std::uint64_t at = 0;
    const auto normal = [&] {
      const auto w = philox(11, k, at++);
      const double u = std::max(1e-12, unit_double(w[0], w[1])), v = unit_double(w[2], w[3]);
      return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
    };
    const double slope = -0.35 + 0.2 * normal(), level = -1.5 + 0.4 * normal();
    const auto observed = [&](double n) {
      const double error = std::min(0.95, std::exp(level + slope * std::log(n / 400) + 0.08 * normal()));
      return std::clamp(1 - error + std::sqrt(error * (1 - error) / 500) * normal(), 0.0, 1.0);
    };
    std::vector<CurvePoint> points;
    for (const double n : {200.0, 400.0, 800.0})
      for (int s = 0; s < 2; ++s) points.push_back({n, observed(n), 500});
    const Prediction p = LearningCurve(points).at(1600, 500);
    const double truth = observed(1600);
    inside += truth >= p.low && truth <= p.high;
    ++all;
  }
  const double share = static_cast<double>(inside) / all;
  EXPECT_GT(share, 0.80) << "at least what it promises";
  EXPECT_LT(share, 0.97) << "and not by being of no use";
  EXPECT_THROW(LearningCurve({{100, 0.5, 50}}), Error);
}

}  // namespace
}  // namespace graft
