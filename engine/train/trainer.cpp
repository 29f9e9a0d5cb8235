#include "engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "engine/autograd/tape.h"
#include "engine/data/feed.h"
#include "engine/ops/ops.h"
#include "engine/train/step.h"
#include "engine/train/transfer.h"

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

// The optimizer's tensors, the starts of pulls and, with a mean of the weights, the weights themselves. Called while the parameters hold the mean.
std::vector<std::pair<std::string, Tensor>> tensors_of(const Optimizer& optimizer, const std::vector<std::string>& names, const Ema* ema, const std::vector<Pull>& pulls) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Pull& p : pulls) all.emplace_back("start." + p.param.name(), p.start.to({}));
  for (const auto& [name, t] : optimizer.state()) all.emplace_back("optim." + name, t.detach().to({}));
  if (ema)
    for (std::size_t i = 0; i < names.size(); ++i) all.emplace_back("weight." + names[i], ema->shadows()[i].detach().to({}));
  return all;
}

// "; first log(f32[8,1]) gave ...; training images 5 and 17"
std::string where_from(const TrainStep::Diagnosis& d, const Loader& loader, std::int64_t epoch, std::int64_t batch) {
  std::string s = d.text.empty() ? "" : "; first " + d.text;
  if (d.places.empty()) return s;
  constexpr std::size_t kMost = 5;
  s += d.places.size() == 1 ? "; training image" : "; training images";
  for (std::size_t i = 0; i < std::min(kMost, d.places.size()); ++i) s += (i ? ", " : " ") + std::to_string(loader.image_at(epoch, batch, d.places[i]));
  return d.places.size() > kMost ? s + " and " + std::to_string(d.places.size() - kMost) + " more" : s;
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
      throw Error(Code::input, "training state 'start." + p.name + "' is missing or has another shape; leave optim.l2_sp in the run's config.toml as it was");
    pulls.push_back({p.tensor, it->second.to(p.tensor.device()), p.l2_sp});
  }
  return pulls;
}

void restore(const TrainState& from, Optimizer& optimizer, const std::vector<std::string>& names, Ema* ema) {
  std::vector<std::pair<std::string, Tensor>> optim;
  std::map<std::string, Tensor> weights;
  for (const auto& [name, t] : from.tensors) {
    if (name.starts_with("optim.")) optim.emplace_back(name.substr(6), t);
    else if (name.starts_with("weight.")) weights.emplace(name.substr(7), t);
    else if (name.starts_with("start.")) continue;  // pulls_of() reads them
    else throw Error(Code::input, "training state '" + name + "' is not known to this graft; go on with the one that wrote it");
  }
  optimizer.load_state(optim, from.optimizer_steps);
  if (weights.empty() != !ema) throw Error(Code::input, std::string("the checkpoint was written with") + (ema ? "out" : "") + " train.ema; leave the run's config.toml as it was");
  if (!ema) return;
  NoGrad off;
  Tensors params = optimizer.parameters();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto it = weights.find(names[i]);
    if (it == weights.end() || !(it->second.shape() == params[i].shape()))
      throw Error(Code::input, "training state 'weight." + names[i] + "' is missing or has another shape; the checkpoint is of another model");
    copy_into(params[i], it->second.to(params[i].device()));
  }
}

}  // namespace

TrainResult train(const Module& model, const Params& params, const Config& c, const Dataset& train_set, const Dataset& test_set, const Watch& watch,
                  const TrainState* from) {
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
  step_options.accumulate = c.get<std::int64_t>("train.accumulate");
  step_options.seed = seed;
  step_options.graph = graph == "true" || (graph == "auto" && current_queue().device().kind == DeviceKind::cuda);

  const TransferPlan plan = plan_transfer(c, params);
  Optimizer optimizer = plan.optimizer(c);
  step_options.pulls = pulls_of(plan, from);
  const Schedule schedule = make_schedule(c, steps, per_epoch);
  const Tensors trainable = optimizer.parameters();
  if (plan.last_opening() > (steps - 1) / per_epoch && watch.note)
    watch.note("init.unfreeze: the last tensors would train after " + std::to_string(plan.last_opening()) + " epochs, and the run ends before; they stay as they are");
  std::optional<Ema> ema;
  if (ema_decay > 0) ema.emplace(trainable, ema_decay);

  std::vector<std::string> names;
  for (const ParamGroup& g : optimizer.groups())
    for (const auto& [name, t] : g.params) names.push_back(name);
  TrainState state;
  if (from) {
    if (from->step > steps) throw Error(Code::input, "the checkpoint is of step " + std::to_string(from->step) + " but the run ends at " + std::to_string(steps));
    state = *from;
    restore(*from, optimizer, names, ema ? &*ema : nullptr);
    state.tensors.clear();
  }

  const bool skip = c.get<std::string>("train.on_nan") == "skip";
  int in_a_row = 0;  // skipped steps
  Feed feed(loader, current_queue());
  TrainStep one(model, optimizer, ema ? &*ema : nullptr, step_options);
  bool noted = !step_options.graph;

  TrainResult result;
  const double start = now() - state.seconds;
  double paused = 0;
  const auto seconds = [&] { return now() - start - paused; };
  const auto save = [&](bool best) {  // while the parameters are what is to be saved
    if (!watch.save) return;
    state.optimizer_steps = optimizer.steps();
    state.tensors = tensors_of(optimizer, names, ema ? &*ema : nullptr, step_options.pulls);
    watch.save(state, best);
    state.tensors.clear();
  };
  const auto judge = [&](std::int64_t epoch) {
    const double before = now();
    state.seconds = seconds();
    if (ema) ema->swap();
    const Evaluation e = evaluate(model, test, test_set, step_options.images);
    const bool best = !state.any_evaluation || e.accuracy > state.best_accuracy;
    state.accuracy = e.accuracy;
    state.test_loss = e.loss;
    if (best) state.best_accuracy = e.accuracy;
    state.any_evaluation = state.evaluated = true;
    state.eval_seconds += now() - before;
    paused += now() - before;
    if (watch.on_eval) watch.on_eval({epoch, state.step, e, best});
    save(best);
    if (ema) ema->swap();
  };
  // Is an evaluation due after `step` updates?
  const auto due = [&](std::int64_t step) { return step == steps || (step % per_epoch == 0 && step / per_epoch % eval_every == 0); };
  if (from && state.step > 0 && due(state.step) && !state.evaluated) judge((state.step + per_epoch - 1) / per_epoch);

  for (std::int64_t step = state.step; step < steps; ++step) {
    const std::int64_t epoch = step / per_epoch;
    if (plan.open(epoch)) one.forget_captured();
    const double before = now();
    const Batch batch = feed.get(epoch, step % per_epoch);
    state.data_seconds += now() - before;
    const double factor = schedule.factor(step);
    one.run(batch, step, factor, [&] {
      if (step + 1 == steps) return;
      const double ahead = now();
      feed.prefetch((step + 1) / per_epoch, (step + 1) % per_epoch);
      state.data_seconds += now() - ahead;
    });
    if (const double loss = one.loss(); one.finite() && std::isfinite(loss)) {
      state.loss = loss;
      in_a_row = 0;
    } else {
      const auto value = [](double v) { return std::isnan(v) ? std::string("nan") : std::to_string(v); };  // without the sign that it may have
      const std::string what = std::isfinite(loss) ? "the norm of the gradient is " + value(one.grad_norm()) : "the loss is " + value(loss);
      const std::string said = what + " at step " + std::to_string(step + 1) + where_from(one.diagnose(batch, step), loader, epoch, step % per_epoch);
      if (one.finite() || !skip || ++in_a_row == 10)
        throw Error(Code::diverged, said + (in_a_row == 10 ? "; so were the nine before" : "") + "; lower optim.lr, raise schedule.warmup or set train.clip_norm=1");
      ++result.skipped;
      if (watch.note) watch.note(said + "; the step is skipped");
    }
    result.replayed = one.replays();
    if (!noted && !one.why_no_graph().empty()) {
      if (watch.note) watch.note("train.graph: steps are not captured: " + one.why_no_graph());
      noted = true;
    }
    state.samples += batch.labels.numel();
    state.step = step + 1;
    state.evaluated = false;
    if (watch.on_step)
      watch.on_step({state.step, steps, epoch, state.loss, factor * c.get<double>("optim.lr"), one.grad_norm(), seconds(), state.data_seconds, state.samples});

    const bool epoch_ends = state.step % per_epoch == 0, end = state.step == steps;
    const bool stop = watch.stop && watch.stop(), asked_for = watch.checkpoint && watch.checkpoint();
    if (end || (due(state.step) && !stop)) {
      judge(epoch + 1);
    } else if (stop || asked_for || (every > 0 ? state.step % every == 0 : epoch_ends)) {
      state.seconds = seconds();
      if (ema) ema->swap();
      save(false);
      if (ema) ema->swap();
    }
    if (stop && !end) {
      result.stopped = true;
      break;
    }
  }
  result.accuracy = state.accuracy;
  result.best_accuracy = state.best_accuracy;
  result.loss = state.loss;
  result.test_loss = state.test_loss;
  result.steps = state.step;
  result.samples = state.samples;
  result.seconds = seconds();
  result.eval_seconds = state.eval_seconds;
  if (ema) ema->swap();  // what is left in the parameters is what was evaluated and saved
  return result;
}

}  // namespace graft
