#include "engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "engine/autograd/finite.h"
#include "engine/autograd/tape.h"
#include "engine/data/feed.h"
#include "engine/ops/ops.h"
#include "engine/train/input.h"
#include "engine/train/step.h"
#include "engine/train/transfer.h"

namespace graft {
namespace {
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
}  // namespace

DType image_dtype(const Config& c) { return c.get<std::string>("train.dtype") == "bf16" ? DType::bf16 : DType::f32; }

StepOptions step_options(const Config& c) {
  StepOptions o;
  o.loss.smoothing = c.get<double>("train.label_smoothing");
  o.clip_norm = c.get<double>("train.clip_norm");
  o.images = image_dtype(c);
  o.seed = static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed"));
  o.recompute = c.get<bool>("train.recompute");
  o.accumulate = c.get<std::int64_t>("train.accumulate");
  return o;
}

OptimOptions optim_options(const Config& c) {
  OptimOptions o = optim_defaults(c.get<std::string>("optim.name"));
  o.lr = c.get<double>("optim.lr");
  o.weight_decay = c.get<double>("optim.weight_decay");
  if (o.name == "sgd" || o.name == "rmsprop") o.momentum = c.get<double>("optim.momentum");
  if (o.name == "sgd") o.nesterov = c.get<bool>("optim.nesterov");
  if (o.name == "adam" || o.name == "adamw" || o.name == "lion") o.beta1 = c.get<double>("optim.beta1");
  if (o.name == "adam" || o.name == "adamw" || o.name == "lion" || o.name == "rmsprop") o.beta2 = c.get<double>("optim.beta2");
  if (o.name == "adam" || o.name == "adamw" || o.name == "rmsprop" || o.name == "adagrad") o.eps = c.get<double>("optim.eps");
  return o;
}

Optimizer make_optimizer(const Config& c, const Params& params) {
  const OptimOptions o = optim_options(c);
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

namespace {

// The optimizer's tensors, the starts of pulls and, with a mean of the weights, the weights themselves (the parameters that are saved hold
// the mean) and a mean that is finer than they are.
std::vector<std::pair<std::string, Tensor>> tensors_of(const Optimizer& optimizer, const std::vector<std::string>& names, const Ema* ema,
                                                       const std::vector<Pull>& pulls) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Pull& p : pulls) all.emplace_back("start." + p.param.name(), p.start.to({}));
  for (const auto& [name, t] : optimizer.state()) all.emplace_back("optim." + name, t.detach().to({}));
  if (ema)
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Tensor &weight = ema->weights()[i], &mean = ema->means()[i];
      all.emplace_back("weight." + names[i], weight.detach().to({}));
      if (mean.dtype() != weight.dtype()) all.emplace_back("mean." + names[i], mean.detach().to({}));
    }
  return all;
}

Tensors buffers_of(const Params& params) {
  Tensors all;
  for (const Parameter& p : params.all())
    if (!p.trainable) all.push_back(p.tensor);
  return all;
}

// "; first log(f32[8,1]) gave ...; training images 5 and 17"
std::string where_from(const TrainStep::Diagnosis& d, const Loader& loader, std::int64_t epoch, std::int64_t batch) {
  std::string s = d.text.empty() ? "" : "; first " + d.text;
  if (d.places.empty()) return s;
  constexpr std::size_t kMost = 5;
  s += d.places.size() == 1 ? "; training image" : "; training images";
  for (std::size_t i = 0; i < std::min(kMost, d.places.size()); ++i)
    s += (i ? ", " : " ") + std::to_string(loader.image_at(epoch, batch, d.places[i]));
  return d.places.size() > kMost ? s + " and " + std::to_string(d.places.size() - kMost) + " more" : s;
}

// "3 numbers of fc1.weight are not finite"; empty where all are.
std::string weights_not_finite(const Params& params) {
  for (const Parameter& p : params.all())
    if (const std::int64_t bad = p.trainable ? count_not_finite(p.tensor) : 0; bad > 0)
      return std::to_string(bad) + " of " + std::to_string(p.tensor.numel()) + " numbers of " + p.name + " are not finite";
  return {};
}

// L2-SP's pulls: towards what the parameters hold now or, in a run that goes on, held at its start.
std::vector<Pull> pulls_of(const TransferPlan& plan, const TrainState* from) {
  NoGrad off;
  std::vector<Pull> pulls;
  for (const ParamPlan& p : plan.params) {
    if (!(p.l2_sp > 0) || p.frozen_until == kForEver) continue;
    if (!from) {
      pulls.push_back({p.tensor, clone(p.tensor).detach(), p.l2_sp});
      continue;
    }
    const auto it = std::find_if(from->tensors.begin(), from->tensors.end(), [&](const auto& t) { return t.first == "start." + p.name; });
    if (it == from->tensors.end() || !(it->second.shape() == p.tensor.shape()))
      throw Error(Code::input, "training state 'start." + p.name +
                                   "' is missing or has another shape; leave optim.l2_sp in the run's config.toml as it was");
    pulls.push_back({p.tensor, it->second.to(p.tensor.device()), p.l2_sp});
  }
  return pulls;
}

// The size of a batch, nearest to `size` and at least 2, that does not leave one image of `images` alone.
std::int64_t size_that_leaves_more_than_one(std::int64_t images, std::int64_t size) {
  for (std::int64_t away = 1;; ++away)
    for (const std::int64_t other : {size - away, size + away})
      if (other > 1 && images % other != 1) return other;
}

// The images that whole batches leave are the last batch of an epoch. One image alone is less than some models can train on (batch norm
// without a width to average over): better said now than at the end of the first epoch. Error(usage).
void try_last_batch(const Module& model, const Params& params, const Loader& loader, std::int64_t images, DType dtype) {
  const std::int64_t last = loader.batches() - 1, whole = loader.images_in(0);
  if (last == 0 || loader.images_in(last) > 1) return;
  NoGrad off;
  const Tensors statistics = buffers_of(params);
  Tensors before;
  for (const Tensor& t : statistics) before.push_back(clone(t).detach());
  Run run{true, {0, stream_of("last batch"), 0}};
  try {
    model.forward(cast(loader.get(0, last).to(current_queue().device()).images, dtype), run);
  } catch (const Error& e) {
    if (e.code() != Code::usage) throw;
    throw Error(Code::usage, std::to_string(images) + " training images in batches of " + std::to_string(whole) +
                                 " leave one image for the last batch of each epoch, and the model cannot train on one: choose another "
                                 "size, such as train.batch=" +
                                 std::to_string(size_that_leaves_more_than_one(images, whole)) + " (" + e.what() + ")");
  }
  for (std::size_t i = 0; i < statistics.size(); ++i) copy_into(Tensor(statistics[i]), before[i]);
}

void restore(const TrainState& from, Optimizer& optimizer, const std::vector<std::string>& names, Ema* ema) {
  std::vector<std::pair<std::string, Tensor>> optim;
  std::map<std::string, Tensor> weights, means;
  for (const auto& [name, t] : from.tensors) {
    if (name.starts_with("optim.")) optim.emplace_back(name.substr(6), t);
    else if (name.starts_with("weight.")) weights.emplace(name.substr(7), t);
    else if (name.starts_with("mean.")) means.emplace(name.substr(5), t);
    else if (name.starts_with("start.")) continue;  // pulls_of() reads them
    else throw Error(Code::input, "training state '" + name + "' is not known to this graft; go on with the one that wrote it");
  }
  optimizer.load_state(optim, from.optimizer_steps);
  if (weights.empty() != !ema)
    throw Error(Code::input,
                std::string("the checkpoint was written with") + (ema ? "out" : "") + " train.ema; leave the run's config.toml as it was");
  if (!ema) return;
  Tensors now, mean;
  const auto of = [&](const std::map<std::string, Tensor>& all, const char* kind, std::size_t i) {
    const Tensor& like = ema->means()[i];
    const auto it = all.find(names[i]);
    if (it == all.end() || !(it->second.shape() == like.shape()))
      throw Error(Code::input, std::string("training state '") + kind + names[i] +
                                   "' is missing or has another shape; the checkpoint is of another model or of an older graft");
    return it->second.to(like.device());
  };
  for (std::size_t i = 0; i < names.size(); ++i) {
    now.push_back(of(weights, "weight.", i));
    // A mean in the parameters' own dtype is what the checkpoint has as weights.
    const Tensor& param = ema->weights()[i];
    mean.push_back(ema->means()[i].dtype() == param.dtype() ? param.detach() : of(means, "mean.", i));
  }
  ema->restore(mean, now);
}

}  // namespace

TrainResult train(const Module& model, const Params& params, const Config& c, const Dataset& train_set, const Dataset& held_out,
                  const Watch& watch, const TrainState* from, const OptimizerStart* begin) {
  const auto seed = static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed"));
  const Loader loader(train_set, training_options(c));
  const std::int64_t per_epoch = loader.batches();
  if (per_epoch == 0) throw Error(Code::usage, train_set.name + ": no training image is left; look at data.classes and data.train_count");
  const std::int64_t asked = c.get<std::int64_t>("train.steps");
  const std::int64_t steps = asked > 0 ? asked : c.get<std::int64_t>("train.epochs") * per_epoch;
  const std::int64_t every = c.get<std::int64_t>("train.checkpoint_every"), eval_every = c.get<std::int64_t>("eval.every"),
                     eval_steps = c.get<std::int64_t>("eval.every_steps");
  const double ema_decay = c.get<double>("train.ema");
  const auto graph = c.get<std::string>("train.graph"), on_nan = c.get<std::string>("train.on_nan");
  StepOptions each_step = step_options(c);
  each_step.graph = graph == "true" || (graph == "auto" && current_queue().device().kind == DeviceKind::cuda);
  if (on_nan == "skip") each_step.statistics = buffers_of(params);

  // What evaluations look at: held-out images, and some of the training images as they are.
  const Loader judge(held_out, judging_options(c));
  Dataset known = train_set;
  if (held_out.size() > 0)
    if (const auto count = c.get<std::int64_t>("eval.train_count"); count < train_set.size()) {
      auto some = permutation(train_set.size(), seed, 0x6b6e6f776eull);
      some.resize(static_cast<std::size_t>(count));
      known = subset(train_set, some);
    }
  const Loader judge_known(known, judging_options(c));
  const int workers = loader_workers(c, train_set);
  const bool by_loss = c.get<std::string>("eval.metric") == "loss";
  const double min_gain = c.get<double>("train.min_gain");
  const std::int64_t patience = c.get<std::int64_t>("train.patience");

  const TransferPlan plan = plan_transfer(c, params);
  Optimizer optimizer = plan.optimizer(c);
  each_step.pulls = pulls_of(plan, from);
  const Schedule schedule = make_schedule(c, steps, per_epoch);
  const Tensors trainable = optimizer.parameters();
  if (plan.last_opening() > (steps - 1) / per_epoch && watch.note)
    watch.note("init.unfreeze: the last tensors would train after " + std::to_string(plan.last_opening()) +
               " epochs, and the run ends before; they stay as they are");
  std::optional<Ema> ema;
  std::vector<std::string> names;
  for (const ParamGroup& g : optimizer.groups())
    for (const auto& [name, t] : g.params) names.push_back(name);
  TrainState state;
  std::optional<TrainStep> one;
  // Everything that lasts from step to step, at a checkpoint or (nullptr) at the beginning. The parameters hold what belongs to it.
  const auto stand_at = [&](const TrainState* at) {
    one.reset();
    if (ema_decay > 0) ema.emplace(trainable, ema_decay);
    if (at) {
      state = *at;
      restore(*at, optimizer, names, ema ? &*ema : nullptr);
      state.tensors.clear();
    } else if (begin) {
      optimizer.load_state(begin->state, begin->steps);
    }
    one.emplace(model, optimizer, ema ? &*ema : nullptr, each_step);
  };
  if (from && from->step > steps)
    throw Error(Code::input, "the checkpoint is of step " + std::to_string(from->step) + " but the run ends at " + std::to_string(steps));
  stand_at(from);
  if (steps >= per_epoch) try_last_batch(model, params, loader, train_set.size(), each_step.images);

  int in_a_row = 0;  // skipped steps
  Feed feed(loader, current_queue(), workers, steps);
  bool noted = !each_step.graph;

  TrainResult result;
  const double start = now() - state.seconds;
  double paused = 0;
  const auto seconds = [&] { return now() - start - paused; };
  const auto save = [&](bool best) {  // while the parameters are what is to be saved
    if (!watch.save) return;
    state.optimizer_steps = optimizer.steps();
    if (best || held_out.size() == 0) state.best_step = state.step;
    state.tensors = tensors_of(optimizer, names, ema ? &*ema : nullptr, each_step.pulls);
    watch.save(state, best || held_out.size() == 0);
    state.tensors.clear();
  };
  const std::string advice = "; lower optim.lr, raise schedule.warmup or set train.clip_norm=1";
  // To the newest checkpoint, with half of the rate.
  const auto roll_back = [&](const std::string& said) {
    if (state.rollbacks == 3) throw Error(Code::diverged, said + "; it was rolled back three times" + advice);
    const std::int64_t rollbacks = state.rollbacks;
    const double rate = state.rate;
    const std::optional<TrainState> back = watch.rollback();
    if (!back) throw Error(Code::diverged, said + "; there is no checkpoint yet to go back to" + advice);
    const double spent = seconds();
    stand_at(&*back);
    state.seconds = spent;
    state.rollbacks = rollbacks + 1;
    state.rate = rate / 2;
    if (watch.note)
      watch.note(said + "; back to step " + std::to_string(state.step) + " with " + std::to_string(state.rate) + " of the learning rate");
  };
  // The weights after a step are of no use, though its own loss was: such are never saved. Goes back, gives up, or, where steps are to be
  // skipped and more are to come, lets it be.
  const auto unusable = [&](std::string said) {
    said += " after step " + std::to_string(state.step);
    if (on_nan == "rollback" && watch.rollback) return roll_back(said);
    if (on_nan != "skip" || state.step == steps) throw Error(Code::diverged, said + advice);
  };
  const auto judged = [&](std::int64_t epoch) {
    const double before = now();
    state.seconds = seconds();
    if (ema) ema->swap();
    EpochReport r{epoch, state.step, evaluate(model, judge, each_step.images, workers), {}, false};
    if (c.get<std::int64_t>("eval.train_count") > 0) r.train = evaluate(model, judge_known, each_step.images, workers);
    if (const std::string what = not_finite(r.held_out); !what.empty()) {
      ++state.stale;
      state.evaluated = true;
      state.eval_seconds += now() - before;
      paused += now() - before;
      if (watch.on_eval) watch.on_eval(r);
      if (ema) ema->swap();
      return unusable(what);
    }
    const double gain = by_loss ? state.best_loss - r.held_out.loss : r.held_out.accuracy - state.best_accuracy;
    // Of equal accuracies, which few images often give, the one with less loss is the better.
    const bool equal_with_less_loss = !by_loss && min_gain == 0 && gain == 0 && r.held_out.loss < state.best_loss;
    r.best = !state.any_evaluation || gain > min_gain || equal_with_less_loss;
    state.accuracy = r.held_out.accuracy;
    state.held_out_loss = r.held_out.loss;
    if (r.best) state.best_accuracy = r.held_out.accuracy, state.best_loss = r.held_out.loss;
    state.stale = r.best ? 0 : state.stale + 1;
    state.any_evaluation = state.evaluated = true;
    std::string overfit;
    if (r.train.images > 0) overfit = watch_overfitting(state.overfit, r.train, r.held_out);
    state.eval_seconds += now() - before;
    paused += now() - before;
    if (watch.on_eval) watch.on_eval(r);
    if (!overfit.empty() && watch.note) watch.note(overfit);
    save(r.best);
    if (ema) ema->swap();
  };
  // Is an evaluation due after `step` updates?
  const auto due = [&](std::int64_t step) {
    if (held_out.size() == 0) return false;
    return step == steps || (eval_steps > 0 ? step % eval_steps == 0 : step % per_epoch == 0 && step / per_epoch % eval_every == 0);
  };
  const auto had_enough = [&] { return patience > 0 && state.any_evaluation && state.stale >= patience; };
  if (from && state.step > 0 && due(state.step) && !state.evaluated) judged((state.step + per_epoch - 1) / per_epoch);

  while (state.step < steps && !had_enough()) {
    const std::int64_t step = state.step, epoch = step / per_epoch;
    if (plan.open(epoch)) one->forget_captured();
    const double before = now();
    const Batch batch = feed.get(epoch, step % per_epoch);
    state.data_seconds += now() - before;
    const double factor = state.rate * schedule.factor(step);
    one->run(batch, step, factor, [&] {
      if (step + 1 == steps) return;
      const double ahead = now();
      feed.prefetch((step + 1) / per_epoch, (step + 1) % per_epoch);
      state.data_seconds += now() - ahead;
    });
    if (const double loss = one->loss(); one->finite() && std::isfinite(loss)) {
      state.loss = loss;
      in_a_row = 0;
    } else {
      const auto value = [](double v) {
        return std::isnan(v) ? std::string("nan") : std::to_string(v);
      };  // without the sign that it may have
      const std::string what =
          std::isfinite(loss) ? "the norm of the gradient is " + value(one->grad_norm()) : "the loss is " + value(loss);
      const std::string said =
          what + " at step " + std::to_string(step + 1) + where_from(one->diagnose(batch, step), loader, epoch, step % per_epoch);
      if (on_nan == "rollback" && watch.rollback) {
        roll_back(said);
        continue;
      }
      if (one->finite() || on_nan != "skip" || ++in_a_row == 10)
        throw Error(Code::diverged, said + (in_a_row == 10 ? "; so were the nine before" : "") + advice);
      ++result.skipped;
      if (watch.note) watch.note(said + "; the step is skipped");
    }
    result.replayed = one->replays();
    if (!noted && !one->why_no_graph().empty()) {
      if (watch.note) watch.note("train.graph: steps are not captured: " + one->why_no_graph());
      noted = true;
    }
    state.samples += batch.labels.numel();
    state.step = step + 1;
    state.evaluated = false;
    if (watch.on_step)
      watch.on_step({state.step, steps, epoch, state.loss, factor * c.get<double>("optim.lr"), one->grad_norm(), seconds(),
                     state.data_seconds, state.samples});

    const bool epoch_ends = state.step % per_epoch == 0, end = state.step == steps;
    const bool stop = watch.stop && watch.stop(), asked_for = watch.checkpoint && watch.checkpoint();
    if (due(state.step) && (end || !stop)) {
      judged(epoch + 1);
    } else if (end || stop || asked_for || (every > 0 ? state.step % every == 0 : epoch_ends)) {
      state.seconds = seconds();
      if (ema) ema->swap();
      const std::string what = weights_not_finite(params);
      if (what.empty()) save(false);
      if (ema) ema->swap();
      if (!what.empty()) unusable(what);
    }
    if (stop && !end) {
      result.stopped = true;
      break;
    }
  }
  result.accuracy = state.accuracy;
  result.best_accuracy = state.best_accuracy;
  result.loss = state.loss;
  result.held_out_loss = state.held_out_loss;
  result.steps = state.step;
  result.samples = state.samples;
  result.seconds = seconds();
  result.eval_seconds = state.eval_seconds;
  result.rollbacks = state.rollbacks;
  result.early = !result.stopped && state.step < steps;
  if (ema) ema->swap();  // what is left in the parameters is what was evaluated and saved
  return result;
}

}  // namespace graft
