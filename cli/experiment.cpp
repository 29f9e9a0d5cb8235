#include "cli/experiment.h"

#include <chrono>
#include <cmath>

#include "engine/base/flops.h"
#include "engine/train/input.h"
#include "engine/train/probe.h"
#include "engine/train/trainer.h"

namespace graft::cli {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
std::string text_of(double v) {
  char t[32];
  std::snprintf(t, sizeof t, "%.6g", v);
  return t;
}

}  // namespace

Error stopped_within(const std::string& what, const Dataset& data) {
  return Error(Code::stopped,
               "stopped within a training of " + what + " on " + std::to_string(data.size()) + " images; nothing is kept: run it again");
}

const std::vector<std::string_view>& arms() {
  static const std::vector<std::string_view> all = {"scratch", "knn", "probe", "frozen", "lora", "full"};
  return all;
}

Budget parse_budget(const std::string& text) {
  const auto number = [&](std::size_t unit) {
    char* end = nullptr;
    const double v = std::strtod(text.c_str(), &end);
    if (end != text.c_str() + text.size() - unit || !(v > 0) || !std::isfinite(v))
      throw Error(Code::usage,
                  "--budget " + text + ": give steps (300st), a time (30s, 10m) or floating point operations (1e12flop), of one run");
    return v;
  };
  if (text.ends_with("flop")) return {Budget::Kind::flops, number(4)};
  if (text.ends_with("st")) {
    const double v = number(2);
    if (v != std::floor(v) || v > 1e9) throw Error(Code::usage, "--budget " + text + ": steps are a whole number up to 1e9");
    return {Budget::Kind::steps, v};
  }
  return {Budget::Kind::seconds, parse_duration(text, "--budget")};
}

Trained Experiment::run(const std::string& arm, const Dataset& data, const Dataset& test, double lr, std::uint64_t seed) const {
  Config c = config_;
  const auto set = [&](const std::string& assignment) { c.set(assignment, Origin::flag("compare")); };
  set("optim.lr=" + text_of(lr));
  set("train.seed=" + std::to_string(seed));
  set("train.batch=" + std::to_string(std::min(c.get<std::int64_t>("train.batch"), data.size())));
  if (arm != "scratch") set("init.from=" + from_);
  Trained one = arm == "knn" ? knn(c, data, test) : arm == "probe" ? probe(c, data, test) : trained(c, arm, data, test);
  if (interrupted()) throw stopped_within(arm, data);
  return one;
}

double Experiment::tuned(const std::string& arm, const Dataset& data, std::int64_t count, std::vector<std::pair<double, double>>& tried,
                         const std::function<void()>& progress) const {
  // Every arm may choose among the same learning rates, by images that are held out of its own. The test images have no say.
  const std::int64_t held = data.size() / 5;
  if (count <= 1 || held < 2 || !learns(arm)) return lr();
  std::vector<std::int64_t> learn, judge;
  for (std::int64_t i = 0; i < data.size(); ++i) (i < held ? judge : learn).push_back(i);
  const Dataset learned = subset(data, learn), judged = subset(data, judge);
  double best = -1, chosen = lr();
  for (std::int64_t t = 0; t < count; ++t) {
    const double rate = lr() * std::pow(10.0, 0.5 * static_cast<double>(t - 1));
    double accuracy = 0;
    try {
      accuracy = share(right_of(run(arm, learned, judged, rate, seed()).predictions, judged));
    } catch (const Error& e) {
      if (e.code() != Code::diverged) throw;  // a rate that is too high is an answer: it is not chosen
    }
    tried.emplace_back(rate, accuracy);
    if (accuracy > best) best = accuracy, chosen = rate;
    if (progress) progress();
  }
  return chosen;
}

// The schedule ends where the budget does; warm-up takes at most a tenth of it.
Config Experiment::with_steps(Config c, std::int64_t steps) const {
  c.set("train.steps=" + std::to_string(steps), Origin::flag("compare"));
  if (c.why_unused("schedule.warmup").empty())
    c.set("schedule.warmup=" + std::to_string(std::min(c.get<std::int64_t>("schedule.warmup"), steps / 10)), Origin::flag("compare"));
  return c;
}
std::int64_t Experiment::steps_for(double seconds_each, double flops_each, double seconds_before, double flops_before) const {
  double steps = budget_.value;
  if (budget_.kind == Budget::Kind::seconds) steps = (budget_.value - seconds_before) / seconds_each;
  if (budget_.kind == Budget::Kind::flops) steps = (budget_.value - flops_before) / flops_each;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(steps), 1, 1000000000);
}

Trained Experiment::trained(Config c, const std::string& arm, const Dataset& data, const Dataset& test) const {
  if (arm == "frozen") c.set("init.freeze=[\"backbone\"]", Origin::flag("compare"));
  if (arm == "lora") c.set("peft.method=lora", Origin::flag("compare"));
  Trained out;
  const auto once = [&](std::int64_t steps, const Dataset& judge) {
    const Config chosen = with_steps(c, steps);
    const Built built = build_model(chosen, data);
    Watch watch;
    const double before = counted_flops();
    double flops = 0, first = 0, begun = 0;
    watch.on_step = [&](const StepReport& r) {
      flops = counted_flops() - before;
      if (r.step == 1) first = flops;
      if (r.step == 2) begun = r.seconds;  // the first ones make what lasts
      if (r.step > 2) out.seconds = (r.seconds - begun) / static_cast<double>(r.step - 2);
    };
    watch.on_eval = [&](const EpochReport& r) { out.predictions = r.held_out.predictions; };
    watch.stop = interrupted;
    const TrainResult r = train(*built.model.module, built.params, chosen, data, judge, watch);
    if (r.stopped) throw stopped_within(arm, data);
    out.flops = r.replayed ? first * static_cast<double>(r.steps) : flops;  // replays are not counted
    return r;
  };
  std::int64_t steps = steps_for(1, 1);
  if (budget_.kind != Budget::Kind::steps) {
    const TrainResult r = once(8, take_first(test, 1));  // what a step costs
    steps = steps_for(out.seconds, out.flops / static_cast<double>(r.steps));
  }
  const TrainResult r = once(steps, test);
  out.seconds = r.seconds;
  out.steps = r.steps;
  return out;
}

Trained Experiment::probe(const Config& c, const Dataset& data, const Dataset& test) const {
  const Built built = build_model(c, data);
  const double begun = now(), flops_before = counted_flops();
  const Tensor features = features_of(*built.model.module, data, c);
  const double feature_seconds = now() - begun, feature_flops = counted_flops() - flops_before;
  std::int64_t steps = steps_for(1, 1);
  if (budget_.kind != Budget::Kind::steps) {
    const double at = now(), flops_at = counted_flops();
    train_probe(features, data, with_steps(c, 20), 20);
    steps = steps_for((now() - at) / 20, (counted_flops() - flops_at) / 20, feature_seconds, feature_flops);
  }
  const double at = now(), flops_at = counted_flops();
  const Probe p = train_probe(features, data, with_steps(c, steps), steps);
  Trained out{{}, feature_seconds + now() - at, feature_flops + counted_flops() - flops_at, steps};  // what judging costs is nobody's
  out.predictions = p.predict(features_of(*built.model.module, test, c));
  return out;
}

Trained Experiment::knn(const Config& c, const Dataset& data, const Dataset& test) const {
  const Built built = build_model(c, data);
  const double at = now(), flops_at = counted_flops();
  const Tensor features = features_of(*built.model.module, data, c);
  Trained out{{}, now() - at, counted_flops() - flops_at, 0};
  out.predictions = knn_predict(features, data.labels.host<std::int64_t>(), data.classes, features_of(*built.model.module, test, c),
                                std::min<std::int64_t>(20, std::max<std::int64_t>(1, data.size() / data.classes)));
  return out;
}

void only_the_end(Config& config, const std::string& verb) {
  for (const char* off : {"eval.every=1000000", "train.checkpoint_every=1000000000", "eval.train_count=0", "eval.every_steps=0",
                          "train.patience=0", "train.preflight=false"})
    config.set(off, Origin::flag(verb));
  config.set("data.validation=0", Origin::flag(verb));  // it holds out its own
}

std::vector<std::int8_t> right_of(const std::vector<std::int64_t>& predictions, const Dataset& test) {
  std::vector<std::int8_t> right;
  for (std::size_t i = 0; i < predictions.size(); ++i) right.push_back(predictions[i] == test.labels.data<std::int64_t>()[i]);
  return right;
}
std::vector<std::vector<std::int8_t>> differences(const std::vector<std::vector<std::int8_t>>& a,
                                                  const std::vector<std::vector<std::int8_t>>& b) {
  std::vector<std::vector<std::int8_t>> d = a;
  for (std::size_t s = 0; s < d.size(); ++s)
    for (std::size_t i = 0; i < d[s].size(); ++i) d[s][i] = static_cast<std::int8_t>(d[s][i] - b[s][i]);
  return d;
}
double share(const std::vector<std::int8_t>& right) {
  double n = 0;
  for (const std::int8_t r : right) n += r;
  return right.empty() ? 0 : n / static_cast<double>(right.size());
}

}  // namespace graft::cli
