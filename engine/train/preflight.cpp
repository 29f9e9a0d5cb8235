#include "engine/train/preflight.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "engine/optim/schedule.h"
#include "engine/train/input.h"
#include "engine/train/preflight_step.h"
#include "engine/train/step.h"
#include "engine/train/trainer.h"

namespace graft {

const char* name_of(Level level) { return level == Level::ok ? "ok" : level == Level::warn ? "warn" : "fail"; }
Level Preflight::worst() const {
  Level w = Level::ok;
  for (const Finding& f : findings) w = std::max(w, f.level);
  return w;
}

Preflight preflight(const Rig& rig, const PreflightOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  Preflight p;
  // What a check throws is a finding like any other: the run would have met it.
  const auto guarded = [&](const char* check, const auto& f) {
    try {
      f();
      return true;
    } catch (const Error& e) {
      if (e.code() == Code::bug || e.code() == Code::memory) throw;
      p.findings.push_back({Level::fail, check, e.what()});
      return false;
    }
  };
  DataVerdict data;
  if (guarded("inputs", [&] { data = check_data(rig, options.full, p.findings); }) && data.usable) {
    const Kept kept(rig.params);
    bool runs = false;
    if (guarded("shapes", [&] { runs = check_model(rig, data, kept, p.findings); }) && runs)
      guarded("updates", [&] { check_training(rig, data, kept, options.full, p.findings); });
  }
  p.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return p;
}

Rig make_rig(const Module& model, const Params& params, const Config& c, const Dataset& train_set, const Dataset& judge) {
  const DType images = image_dtype(c);
  LoaderOptions plain = training_options(c);
  plain.augment = {};
  const auto samples = [&](const Dataset& set) {
    const auto loader = std::make_shared<Loader>(set, plain);
    if (set.size() == 0) return Samples{};
    return Samples{set.labels.host<std::int64_t>(), loader->batches(), [loader](std::int64_t i) { return loader->get(0, i); }};
  };
  Rig rig{.params = params};
  rig.classes = c.get<std::int64_t>("model.classes");
  rig.forward = [&model, images](const Tensor& x, Run& run) { return cast(model.forward(cast(x, images), run), DType::f32); };
  const auto loader = std::make_shared<Loader>(train_set, training_options(c));
  rig.train_batch = [loader](std::int64_t i) { return loader->get(0, i).to(current_queue().device()); };
  rig.train = samples(train_set);
  rig.validation = samples(judge);
  rig.lr = c.get<double>("optim.lr");
  rig.fresh_head = c.get<std::string>("init.from").empty() || c.get<std::string>("init.head") == "new";
  rig.steps_per_epoch = loader->batches();
  rig.steps = c.get<std::int64_t>("train.steps") > 0 ? c.get<std::int64_t>("train.steps")
                                                     : c.get<std::int64_t>("train.epochs") * rig.steps_per_epoch;
  const std::int64_t between = std::max<std::int64_t>(1, rig.steps_per_epoch * c.get<std::int64_t>("eval.every"));
  rig.evaluations = (rig.steps + between - 1) / between;
  rig.eval_batch = c.get<std::int64_t>("train.eval_batch");

  struct Trial {
    Optimizer optimizer;
    TrainStep step;
    Trial(const Module& model, const Params& params, const Config& c)
        : optimizer(make_optimizer(c, params)), step(model, optimizer, nullptr, step_options(c)) {}
  };
  // A run's warm-up may be longer than the preflight: the first ten steps stand for it, so that the highest rate is met as gently.
  const std::int64_t warmup = std::min<std::int64_t>(10, c.get<std::int64_t>("schedule.warmup"));
  rig.start = [&model, params, c, warmup](double lr_scale) -> Rig::Step {
    const auto trial = std::make_shared<Trial>(model, params, c);
    return [trial, lr_scale, warmup](const Batch& b, std::int64_t step) {
      trial->step.run(b, step, lr_scale * (step < warmup ? static_cast<double>(step + 1) / static_cast<double>(warmup) : 1));
      return trial->step.loss();
    };
  };
  return rig;
}

}  // namespace graft
