#include "engine/train/trainer.h"

#include <chrono>
#include <cmath>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/data/feed.h"
#include "engine/ops/ops.h"
#include "engine/train/step.h"

namespace graft {
namespace {
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
}  // namespace

DType image_dtype(const Config& c) { return c.get<std::string>("train.dtype") == "bf16" ? DType::bf16 : DType::f32; }

Evaluation evaluate(const Module& model, const Loader& data, const Dataset& set, DType images) {
  NoGrad off;
  Run run;
  Evaluation e;
  double loss = 0;
  std::int64_t right = 0;
  Feed feed(data, current_queue());
  for (std::int64_t i = 0; i < data.batches(); ++i) {
    const Batch b = feed.get(0, i);
    const Tensor logits = cast(model.forward(cast(b.images, images), run), DType::f32), best = argmax(logits, 1);
    CrossEntropyOptions o;
    o.reduction = Reduction::sum;
    const Tensor lost = cross_entropy(logits, b.labels, o);
    if (i + 1 < data.batches()) feed.prefetch(0, i + 1);
    const std::vector<std::int64_t> guess = best.host<std::int64_t>(), want = b.labels.host<std::int64_t>();
    loss += lost.item();
    for (std::size_t k = 0; k < guess.size(); ++k) {
      right += guess[k] == want[k];
      e.predictions.push_back(guess[k]);
    }
  }
  e.images = set.size();
  e.accuracy = e.images ? static_cast<double>(right) / static_cast<double>(e.images) : 0;
  e.loss = e.images ? loss / static_cast<double>(e.images) : 0;
  return e;
}

Optimizer make_optimizer(const Config& c, const Params& params) {
  OptimOptions o = optim_defaults(c.get<std::string>("optim.name"));
  o.lr = c.get<double>("optim.lr");
  o.weight_decay = c.get<double>("optim.weight_decay");
  if (o.name == "sgd" || o.name == "rmsprop") o.momentum = c.get<double>("optim.momentum");
  if (o.name == "sgd") o.nesterov = c.get<bool>("optim.nesterov");
  if (o.name == "adam" || o.name == "adamw" || o.name == "lion") o.beta1 = c.get<double>("optim.beta1");
  if (o.name == "adam" || o.name == "adamw" || o.name == "lion" || o.name == "rmsprop") o.beta2 = c.get<double>("optim.beta2");
  if (o.name == "adam" || o.name == "adamw" || o.name == "rmsprop" || o.name == "adagrad") o.eps = c.get<double>("optim.eps");
  const bool decoupled = o.name == "adamw" || o.name == "adafactor" || o.name == "lion";
  ParamGroup weights{{}, o}, rest{{}, o};
  if (decoupled) rest.options.weight_decay = 0;
  for (const Parameter& p : params.all())
    if (p.trainable && p.tensor.requires_grad()) (p.tensor.rank() < 2 ? rest : weights).params.emplace_back(p.name, p.tensor);
  return Optimizer({weights, rest});
}

Schedule make_schedule(const Config& c, std::int64_t steps, std::int64_t per_epoch) {
  Schedule s;
  s.name = c.get<std::string>("schedule.name");
  s.total = steps;
  if (s.name != "one-cycle") s.warmup = std::min(steps, c.get<std::int64_t>("schedule.warmup"));
  if (s.name == "step") {
    s.step_size = c.get<std::int64_t>("schedule.step_size") * per_epoch;
    s.gamma = c.get<double>("schedule.gamma");
  }
  if (s.name == "polynomial") s.power = c.get<double>("schedule.power");
  if (s.name != "constant" && s.name != "step") s.final_factor = c.get<double>("schedule.final");
  return s;
}

TrainResult train(const Module& model, const Params& params, const Config& c, const Dataset& train_set, const Dataset& test_set, const Watch& watch) {
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed"));
  const auto normalize = c.get<std::vector<double>>("data.normalize");
  const Augment augment{c.get<std::int64_t>("augment.shift"), c.get<double>("augment.rotate"), c.get<double>("augment.scale")};
  const Loader loader(train_set, c.get<std::int64_t>("train.batch"), normalize[0], normalize[1], seed, true, augment);
  const Loader test(test_set, c.get<std::int64_t>("train.eval_batch"), normalize[0], normalize[1], seed, false);
  const std::int64_t per_epoch = loader.batches();
  if (per_epoch == 0) throw Error(Code::usage, train_set.name + ": no training image is left; look at data.classes and data.train_count");
  const std::int64_t asked = c.get<std::int64_t>("train.steps");
  const std::int64_t steps = asked > 0 ? asked : c.get<std::int64_t>("train.epochs") * per_epoch;
  const std::int64_t every = c.get<std::int64_t>("train.checkpoint_every"), eval_every = c.get<std::int64_t>("eval.every");
  const double ema_decay = c.get<double>("train.ema");
  const auto graph = c.get<std::string>("train.graph");
  StepOptions step_options;
  step_options.loss.smoothing = c.get<double>("train.label_smoothing");
  step_options.clip_norm = c.get<double>("train.clip_norm");
  step_options.images = image_dtype(c);
  step_options.seed = seed;
  step_options.graph = graph == "true" || (graph == "auto" && current_queue().device().kind == DeviceKind::cuda);

  Optimizer optimizer = make_optimizer(c, params);
  const Schedule schedule = make_schedule(c, steps, per_epoch);
  const Tensors trainable = optimizer.parameters();
  if (trainable.empty()) throw Error(Code::usage, "every parameter is frozen; look at init.freeze");
  std::optional<Ema> ema;
  if (ema_decay > 0) ema.emplace(trainable, ema_decay);

  Feed feed(loader, current_queue());
  TrainStep one(model, optimizer, ema ? &*ema : nullptr, step_options);
  bool noted = !step_options.graph;

  TrainResult result;
  const double start = now();
  double paused = 0, data_time = 0;
  std::int64_t last_eval = -1;
  const auto judge = [&](std::int64_t step, std::int64_t epoch) {
    const double before = now();
    if (ema) ema->swap();
    const Evaluation e = evaluate(model, test, test_set, step_options.images);
    const bool best = last_eval < 0 || e.accuracy > result.best_accuracy;
    result.accuracy = e.accuracy;
    result.test_loss = e.loss;
    if (best) result.best_accuracy = e.accuracy;
    last_eval = step;
    paused += now() - before;
    result.eval_seconds += now() - before;
    if (watch.on_eval) watch.on_eval({epoch, step, e, best});
    if (watch.save) watch.save(step, best);
    if (ema) ema->swap();
  };

  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t epoch = step / per_epoch;
    const double before = now();
    const Batch batch = feed.get(epoch, step % per_epoch);
    data_time += now() - before;
    const double factor = schedule.factor(step);
    one.run(batch, step, factor);
    if (step + 1 < steps) {
      const double ahead = now();
      feed.prefetch((step + 1) / per_epoch, (step + 1) % per_epoch);
      data_time += now() - ahead;
    }
    result.loss = one.loss();
    if (!std::isfinite(result.loss))
      throw Error(Code::diverged, "the loss is " + std::to_string(result.loss) + " at step " + std::to_string(step + 1) +
                                      "; lower optim.lr, raise schedule.warmup or set train.clip_norm=1");
    result.replayed = one.replays();
    if (!noted && !one.why_no_graph().empty()) {
      if (watch.note) watch.note("train.graph: steps are not captured: " + one.why_no_graph());
      noted = true;
    }
    result.samples += batch.labels.numel();
    result.steps = step + 1;
    if (watch.on_step) watch.on_step({step + 1, steps, epoch, result.loss, factor * c.get<double>("optim.lr"), one.grad_norm(), now() - start - paused, data_time, result.samples});

    const bool epoch_ends = (step + 1) % per_epoch == 0, end = step + 1 == steps;
    const bool stop = watch.stop && watch.stop();
    if (end || (epoch_ends && (epoch + 1) % eval_every == 0 && !stop)) {
      result.seconds = now() - start - paused;
      judge(step + 1, epoch + 1);
    } else if (stop || (every > 0 ? (step + 1) % every == 0 : epoch_ends)) {
      if (ema) ema->swap();
      if (watch.save) watch.save(step + 1, false);
      if (ema) ema->swap();
    }
    if (stop && !end) {
      result.stopped = true;
      break;
    }
  }
  result.seconds = now() - start - paused;
  if (ema) ema->swap();  // what is left in the parameters is what was evaluated and saved
  return result;
}

}  // namespace graft
