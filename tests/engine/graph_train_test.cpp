// Training by replays of a graph is training: the same losses, norms and weights, bit for bit, as step by step; and what cannot be captured
// says so.
#include <gtest/gtest.h>

#include <optional>

#include "engine/ops/ops.h"
#include "engine/train/step.h"
#include "engine/train/trainer.h"
#include "kernels/core/device.h"
#include "models/zoo.h"

namespace graft {
namespace {

class GraphTraining : public testing::TestWithParam<DeviceKind> {
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
INSTANTIATE_TEST_SUITE_P(On, GraphTraining, testing::Values(DeviceKind::emu, DeviceKind::cuda),
                         [](const auto& i) { return i.param == DeviceKind::cuda ? std::string("cuda") : "emu"; });

struct Trained {
  std::vector<double> losses, norms;
  std::vector<std::vector<double>> weights;
  std::int64_t replayed = 0;
  std::vector<std::string> notes;
};
Trained run(const std::string& recipe, std::vector<std::string> settings, const std::string& graph, std::int64_t images) {
  Config c = Config::recipe(recipe);
  settings.push_back("train.graph=" + graph);
  for (const auto& s : settings) c.set(s);
  c.check();
  const Dataset train_set = draw_glyphs("digits", images, 3), test_set = draw_glyphs("digits", 3, 4);
  const DType dtype = c.get<std::string>("train.dtype") == "bf16" ? DType::bf16 : DType::f32;
  Params params = Params::init(1, dtype);
  const Model model = make_model(c, params);
  Trained t;
  Watch watch;
  watch.on_step = [&](const StepReport& r) {
    t.losses.push_back(r.loss);
    t.norms.push_back(r.grad_norm);
  };
  watch.note = [&](const std::string& text) { t.notes.push_back(text); };
  t.replayed = train(*model.module, params, c, train_set, test_set, watch).replayed;
  for (const Parameter& p : params.all()) t.weights.push_back(p.tensor.values());
  return t;
}
void expect_same(const Trained& graph, const Trained& plain) {
  EXPECT_EQ(graph.losses, plain.losses);
  EXPECT_EQ(graph.norms, plain.norms);
  EXPECT_EQ(graph.weights, plain.weights);
  EXPECT_EQ(plain.replayed, 0);
  EXPECT_TRUE(plain.notes.empty());
}

// A batch in three ragged parts (3, 3 and 2 images, then 2, 1 and 1) is the batch, to rounding; so is one in more parts than images.
TEST_P(GraphTraining, PartsOfABatchGiveTheGradientOfTheWhole) {
  const std::vector<std::string> settings = {"optim.name=sgd",
                                             "optim.lr=0.05",
                                             "model.hidden=16",
                                             "train.batch=8",
                                             "train.steps=6",
                                             "schedule.warmup=1",
                                             "train.clip_norm=1",
                                             "train.label_smoothing=0.1",
                                             "train.checkpoint_every=100"};
  const Trained whole = run("mnist-mlp", settings, "false", 20);
  for (const char* parts : {"3", "100"}) {
    auto cut = settings;
    cut.push_back(std::string("train.accumulate=") + parts);
    const Trained t = run("mnist-mlp", cut, "false", 20);
    for (std::size_t i = 0; i < whole.losses.size(); ++i) {
      EXPECT_NEAR(t.losses[i], whole.losses[i], 1e-5 * whole.losses[i]) << i;
      EXPECT_NEAR(t.norms[i], whole.norms[i], 1e-4 * whole.norms[i]) << i;
    }
    for (std::size_t p = 0; p < whole.weights.size(); ++p)
      for (std::size_t i = 0; i < whole.weights[p].size(); ++i) ASSERT_NEAR(t.weights[p][i], whole.weights[p][i], 2e-6) << p << ' ' << i;
  }
}

// 20 images in batches of 8, 8 and 4: the first batch of each size runs by itself, the second is captured.
TEST_P(GraphTraining, AnMlpWithEachOptimizerClippingAndRunningMean) {
  const std::vector<std::vector<std::string>> all = {
      {"optim.name=adamw"},
      {"optim.name=sgd", "optim.momentum=0.9", "optim.nesterov=true", "train.clip_norm=0.5"},
      {"optim.name=adam", "train.clip_norm=1e-3", "train.ema=0.9", "train.label_smoothing=0.1", "schedule.name=cosine"},
      {"optim.name=rmsprop", "optim.momentum=0.5"},
      {"optim.name=adagrad"},
      {"optim.name=lion", "train.dtype=bf16", "optim.lr=1e-4"},
      {"optim.name=adamw", "train.accumulate=3"},
  };
  for (auto settings : all) {
    for (const char* s : {"model.hidden=16", "train.batch=8", "train.steps=8", "schedule.warmup=3", "train.checkpoint_every=100"})
      settings.push_back(s);
    const Trained plain = run("mnist-mlp", settings, "false", 20), graph = run("mnist-mlp", settings, "true", 20);
    expect_same(graph, plain);
    EXPECT_EQ(graph.replayed, 6) << settings[0];  // steps 1, 3, 4, 6 and 7 with 8 images, 5 with 4
    EXPECT_TRUE(graph.notes.empty()) << settings[0] << ": " << graph.notes[0];
    EXPECT_NE(plain.losses[0], plain.losses[7]);
  }
}
TEST_P(GraphTraining, TheCnnWithDropoutDrawsTheSameMasks) {
  const std::vector<std::string> settings = {"train.batch=3", "train.steps=5", "schedule.warmup=1", "train.checkpoint_every=100",
                                             "augment.shift=2"};
  const Trained plain = run("digits-cnn", settings, "false", 8), graph = run("digits-cnn", settings, "true", 8);
  expect_same(graph, plain);
  EXPECT_EQ(graph.replayed, 3);
}
TEST_P(GraphTraining, AnOptimizerThatReadsOnTheHostIsNotCaptured) {
  const std::vector<std::string> settings = {"optim.name=adafactor", "model.hidden=8",    "train.batch=4",
                                             "train.steps=3",        "schedule.warmup=1", "train.checkpoint_every=100"};
  const Trained plain = run("mnist-mlp", settings, "false", 8), graph = run("mnist-mlp", settings, "true", 8);
  expect_same(graph, plain);
  EXPECT_EQ(graph.replayed, 0);
  ASSERT_EQ(graph.notes.size(), 1u);
  EXPECT_NE(graph.notes[0].find("train.graph: steps are not captured: optimizer adafactor: reads norms on the host"), std::string::npos)
      << graph.notes[0];
}
TEST(GraphTrainingOnTheCpu, IsDoneStepByStepAndSaysWhy) {
  const std::vector<std::string> settings = {"model.hidden=8", "train.batch=4", "train.steps=3", "schedule.warmup=1",
                                             "train.checkpoint_every=100"};
  const Trained plain = run("mnist-mlp", settings, "auto", 8), graph = run("mnist-mlp", settings, "true", 8);
  expect_same(graph, plain);
  ASSERT_EQ(graph.notes.size(), 1u);
  EXPECT_NE(graph.notes[0].find("CPU"), std::string::npos) << graph.notes[0];
}

// A model that looks at its own activations cannot be captured; the step that was tried is done all the same, once.
struct Peeking : Module {
  Peeking(const Params& p) : linear(p, 784, 10) {}
  Tensor forward(const Tensor& x, Run& run) const override {
    const Tensor y = linear.forward(flatten(x, 1), run);
    return sum(y).item() > 1e9 ? neg(y) : y;
  }
  Linear linear;
};
TEST_P(GraphTraining, AModelThatReadsOnTheHostSaysWhereAndGoesOn) {
  const Dataset set = draw_glyphs("digits", 12, 3);
  LoaderOptions options;
  options.batch = 3, options.seed = 7, options.shuffle = true;
  options.format.mean = {0.5}, options.format.deviation = {0.5};
  const Loader loader(set, options);
  std::vector<double> weights[2];
  for (const bool graph : {false, true}) {
    Params params = Params::init(1);
    const Peeking model(params);
    Config c = Config::recipe("mnist-mlp");
    Optimizer optimizer = make_optimizer(c, params);
    StepOptions o;
    o.graph = graph;
    o.clip_norm = 0.1;
    TrainStep step(model, optimizer, nullptr, o);
    for (std::int64_t i = 0; i < 4; ++i) {
      step.run(loader.get(0, i).to(current_queue().device()), i, 0.5);
      EXPECT_GT(step.loss(), 0);
      EXPECT_GT(step.grad_norm(), 0);
    }
    EXPECT_EQ(step.replays(), 0);
    EXPECT_EQ(optimizer.steps(), 4);
    const bool said = step.why_no_graph().find("the host reads device memory while a graph is captured") != std::string::npos;
    EXPECT_EQ(said, graph) << step.why_no_graph();
    for (const Parameter& p : params.all())
      for (const double v : p.tensor.values()) weights[graph].push_back(v);
  }
  EXPECT_EQ(weights[0], weights[1]);
}

// A label that does not exist, met in a replay: thrown where the loss is read, and the next step works.
TEST_P(GraphTraining, ABadLabelInAReplayIsReported) {
  Params params = Params::init(1);
  const Linear linear(params, 4, 3);
  Config c = Config::recipe("mnist-mlp");
  Optimizer optimizer = make_optimizer(c, params);
  StepOptions o;
  o.graph = true;
  TrainStep step(linear, optimizer, nullptr, o);
  const Batch good{Tensor::ones({2, 4}), Tensor::from<std::int64_t>({0, 2}, {2})},
      bad{Tensor::ones({2, 4}), Tensor::from<std::int64_t>({0, 3}, {2})};
  for (int i = 0; i < 3; ++i) {
    step.run(good, i, 0);
    EXPECT_GT(step.loss(), 0);
  }
  EXPECT_EQ(step.replays(), 2);
  step.run(bad, 3, 0);
  try {
    step.loss();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("cross_entropy: target[1] is 3 but there are 3 classes"), 0u) << e.what();
  }
  EXPECT_EQ(step.replays(), 3);
}

}  // namespace
}  // namespace graft
