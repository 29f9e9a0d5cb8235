// graft compare RECIPE --from CHECKPOINT: from scratch or from a checkpoint? Every arm gets the same images, seeds, budget and tuning; the test images are
// looked at once per run, at its end; differences are paired and come with intervals, and "no evidence" is an answer.
#include "cli/compare.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "cli/run_folder.h"
#include "engine/base/file.h"
#include "engine/base/flops.h"
#include "engine/train/probe.h"
#include "engine/train/trainer.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string_view> kArms = {"scratch", "probe", "frozen", "full"};

struct Options {
  std::string from, budget = "300st";
  std::vector<std::string> arms = {"scratch", "probe", "frozen", "full"}, fractions = {"0.01", "0.1", "1"};
  std::int64_t seeds = 3, tune = 4;
};

// Equal for all arms: so many steps, or as many as fit into so many seconds or FLOPs.
struct Budget {
  enum class Kind { steps, seconds, flops } kind = Kind::steps;
  double value = 0;
};
Budget parse_budget(const std::string& text) {
  const auto number = [&](std::size_t unit) {
    char* end = nullptr;
    const double v = std::strtod(text.c_str(), &end);
    if (end != text.c_str() + text.size() - unit || !(v > 0) || !std::isfinite(v))
      throw Error(Code::usage, "--budget " + text + ": give steps (300st), a time (30s, 10m) or floating point operations (1e12flop), of one run");
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

struct Trained {
  std::vector<std::int64_t> predictions;
  double seconds = 0, flops = 0;
  std::int64_t steps = 0;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
std::string text_of(double v) {
  char t[32];
  std::snprintf(t, sizeof t, "%.6g", v);
  return t;
}

class Experiment {
 public:
  Experiment(Config config, const Options& o) : config_(std::move(config)), from_(o.from), budget_(parse_budget(o.budget)) {}
  double lr() const { return config_.get<double>("optim.lr"); }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(config_.get<std::int64_t>("train.seed")); }

  // One training of an arm on `data`, judged on `test`.
  Trained run(const std::string& arm, const Dataset& data, const Dataset& test, double lr, std::uint64_t seed) const {
    Config c = config_;
    const auto set = [&](const std::string& assignment) { c.set(assignment, Origin::flag("compare")); };
    set("optim.lr=" + text_of(lr));
    set("train.seed=" + std::to_string(seed));
    set("train.batch=" + std::to_string(std::min(c.get<std::int64_t>("train.batch"), data.size())));
    if (arm != "scratch") set("init.from=" + from_);
    return arm == "probe" ? probe(c, data, test) : trained(c, arm, data, test);
  }

 private:
  // The schedule ends where the budget does; warm-up takes at most a tenth of it.
  Config with_steps(Config c, std::int64_t steps) const {
    c.set("train.steps=" + std::to_string(steps), Origin::flag("compare"));
    c.set("schedule.warmup=" + std::to_string(std::min(c.get<std::int64_t>("schedule.warmup"), steps / 10)), Origin::flag("compare"));
    return c;
  }
  std::int64_t steps_for(double seconds_each, double flops_each, double seconds_before = 0, double flops_before = 0) const {
    double steps = budget_.value;
    if (budget_.kind == Budget::Kind::seconds) steps = (budget_.value - seconds_before) / seconds_each;
    if (budget_.kind == Budget::Kind::flops) steps = (budget_.value - flops_before) / flops_each;
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(steps), 1, 1000000000);
  }
  void freeze(Config& c, const Dataset& data) const {  // all but the last layer
    const Built b = build_model(c, data);
    std::string names;
    for (const Parameter& p : b.params.all())
      if (p.trainable && !p.name.starts_with(b.model.head + ".")) names += (names.empty() ? "\"" : ", \"") + p.name + "\"";
    c.set("init.freeze=[" + names + "]", Origin::flag("compare"));
  }

  Trained trained(Config c, const std::string& arm, const Dataset& data, const Dataset& test) const {
    if (arm == "frozen") freeze(c, data);
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
      if (r.stopped) throw Error(Code::stopped, "compare: stopped");
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

  Trained probe(const Config& c, const Dataset& data, const Dataset& test) const {
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

  Config config_;
  std::string from_;
  Budget budget_;
};

std::vector<std::int8_t> right_of(const std::vector<std::int64_t>& predictions, const Dataset& test) {
  std::vector<std::int8_t> right;
  for (std::size_t i = 0; i < predictions.size(); ++i) right.push_back(predictions[i] == test.labels.data<std::int64_t>()[i]);
  return right;
}
double share(const std::vector<std::int8_t>& right) {
  double n = 0;
  for (const std::int8_t r : right) n += r;
  return right.empty() ? 0 : n / static_cast<double>(right.size());
}

// "0.1", or "10pc": images of each class.
double fraction_in(const std::string& text, const Dataset& pool) {
  char* end = nullptr;
  const double v = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  if (unit == "pc" && v >= 1 && v == std::floor(v)) {
    const double f = v * static_cast<double>(pool.classes) / static_cast<double>(pool.size());
    if (f <= 1) return f;
    throw Error(Code::usage, "--fractions " + text + ": " + pool.name + " has " + std::to_string(pool.size()) + " images of " + std::to_string(pool.classes) + " classes");
  }
  if (end == text.c_str() || !unit.empty() || !(v > 0 && v <= 1))
    throw Error(Code::usage, "--fractions " + text + ": give parts of the training images (above 0, at most 1) or images of each class (10pc)");
  return v;
}

int compare_verb(const Common& c, const Options& o) {
  if (o.from.empty()) throw Error(Code::usage, "compare: --from CHECKPOINT is missing: there is nothing to compare training from scratch with");
  if (o.seeds < 1 || o.seeds > 100) throw Error(Code::usage, "--seeds " + std::to_string(o.seeds) + ": must be 1 to 100");
  if (o.tune < 1 || o.tune > 9) throw Error(Code::usage, "--tune " + std::to_string(o.tune) + ": must be 1 (the recipe's learning rate) to 9");
  for (std::size_t i = 0; i < o.arms.size(); ++i) {
    if (std::find(kArms.begin(), kArms.end(), o.arms[i]) == kArms.end()) {
      const std::string near = nearest(o.arms[i], kArms);
      throw Error(Code::usage, "--arms " + o.arms[i] + ": there is scratch, probe, frozen and full" + (near.empty() ? "" : "; did you mean " + near + "?"));
    }
    if (std::find(o.arms.begin(), o.arms.begin() + static_cast<std::ptrdiff_t>(i), o.arms[i]) != o.arms.begin() + static_cast<std::ptrdiff_t>(i))
      throw Error(Code::usage, "--arms names " + o.arms[i] + " twice");
  }
  if (o.arms.size() < 2) throw Error(Code::usage, "--arms: two are wanted, such as scratch,full");
  parse_budget(o.budget);
  Config config = make_config(c, c.words, true);
  if (!config.get<std::string>("init.from").empty()) throw Error(Code::usage, "compare: init.from is set; the checkpoint is named by --from");
  config.set("eval.every=1000000", Origin::flag("compare"));
  config.set("train.checkpoint_every=1000000000", Origin::flag("compare"));
  config.set("eval.train_count=0", Origin::flag("compare"));

  Session session(c);
  watch_signals();
  config.set("data.validation=0", Origin::flag("compare"));  // it holds out its own
  const Data data = load_data(config, {true, true});
  config = settled(std::move(config), data.train);
  {  // the checkpoint fits or is refused before anything is trained
    Config probe = config;
    probe.set("init.from=" + o.from, Origin::flag("--from"));
    build_model(probe, data.train);
  }
  Comparison all;
  all.recipe = c.words.empty() || c.words[0].find('=') != std::string::npos ? "run" : fs::path(c.words[0]).stem().string();
  all.from = o.from;
  all.budget = o.budget;
  all.arms = o.arms;
  all.seeds = o.seeds;
  all.tune = o.tune;
  all.test_images = data.test.size();
  all.baseline = std::find(o.arms.begin(), o.arms.end(), "scratch") != o.arms.end() ? "scratch" : o.arms[0];
  all.command = command_line();
  std::vector<double> fractions;
  for (const std::string& f : o.fractions) fractions.push_back(fraction_in(f, data.train));
  std::sort(fractions.begin(), fractions.end());

  const fs::path folder = new_run_folder(c.out, "compare-" + all.recipe);
  const Experiment experiment(config, o);
  const std::int64_t runs = static_cast<std::int64_t>(fractions.size() * o.arms.size()) * (o.seeds + (o.tune > 1 ? o.tune : 0));
  std::int64_t done = 0;
  const double begun = now();
  const auto progress = [&](const std::string& what) {
    ++done;
    if (!c.quiet) {
      const double left = (now() - begun) / static_cast<double>(done) * static_cast<double>(runs - done);
      std::fprintf(stderr, "%s%lld/%lld  %s  ETA %d:%02d%s", isatty(2) ? "\r\033[K" : "", static_cast<long long>(done), static_cast<long long>(runs), what.c_str(),
                   static_cast<int>(left) / 60, static_cast<int>(left) % 60, isatty(2) && done < runs ? "" : "\n");
    }
  };
  for (const double f : fractions) {
    SizeResult size;
    size.fraction = f;
    std::vector<Dataset> subsets;
    for (std::int64_t s = 0; s < o.seeds; ++s) subsets.push_back(fraction_of(data.train, f, experiment.seed() + static_cast<std::uint64_t>(s)));
    size.images = subsets[0].size();
    for (const std::string& arm : o.arms) {
      ArmResult r;
      r.arm = arm;
      r.lr = experiment.lr();
      // Every arm may choose among the same learning rates, by images that are held out of the first seed's subset. The test images have no say.
      const std::int64_t held = size.images / 5;
      if (o.tune > 1 && held >= 2) {
        std::vector<std::int64_t> learn, judge;
        for (std::int64_t i = 0; i < size.images; ++i) (i < held ? judge : learn).push_back(i);
        const Dataset learned = subset(subsets[0], learn), judged = subset(subsets[0], judge);
        double best = -1;
        for (std::int64_t t = 0; t < o.tune; ++t) {
          const double lr = experiment.lr() * std::pow(10.0, 0.5 * static_cast<double>(t - 1));
          double accuracy = 0;
          try {
            accuracy = share(right_of(experiment.run(arm, learned, judged, lr, experiment.seed()).predictions, judged));
          } catch (const Error& e) {
            if (e.code() != Code::diverged) throw;  // a rate that is too high is an answer: it is not chosen
          }
          r.tuning.emplace_back(lr, accuracy);
          if (accuracy > best) best = accuracy, r.lr = lr;
          progress(std::to_string(size.images) + " images, " + arm + ", tuning");
        }
      } else {
        done += o.tune > 1 ? o.tune : 0;
      }
      for (std::int64_t s = 0; s < o.seeds; ++s) {
        const Trained one = experiment.run(arm, subsets[static_cast<std::size_t>(s)], data.test, r.lr, experiment.seed() + static_cast<std::uint64_t>(s));
        r.right.push_back(right_of(one.predictions, data.test));
        r.accuracy.push_back(share(r.right.back()));
        r.seconds += one.seconds / static_cast<double>(o.seeds);
        r.flops += one.flops / static_cast<double>(o.seeds);
        r.steps = one.steps;
        progress(std::to_string(size.images) + " images, " + arm + ", seed " + std::to_string(s + 1));
      }
      size.arms.push_back(std::move(r));
    }
    const auto base = std::find_if(size.arms.begin(), size.arms.end(), [&](const ArmResult& a) { return a.arm == all.baseline; });
    for (ArmResult& a : size.arms) {
      if (a.arm == all.baseline) continue;
      std::vector<std::vector<std::int8_t>> difference = a.right;
      for (std::size_t s = 0; s < difference.size(); ++s)
        for (std::size_t i = 0; i < difference[s].size(); ++i) difference[s][i] = static_cast<std::int8_t>(difference[s][i] - base->right[s][i]);
      a.gain = paired_bootstrap(difference);
    }
    all.sizes.push_back(std::move(size));
  }
  const Json report = comparison_json(all);
  write_atomically(folder / "report.json", report.dump(2) + "\n");
  write_atomically(folder / "report.html", comparison_html(all));
  if (c.json) std::printf("%s\n", report.dump(2).c_str());
  else std::printf("%s%s\n", comparison_table(all).c_str(), (folder / "report.html").c_str());
  return 0;
}

}  // namespace

void add_compare(CLI::App& app, Action& run) {
  auto* sub = app.add_subcommand("compare", "from scratch or from a checkpoint? Arms with equal images, seeds, budget and tuning, and a verdict for each size");
  auto c = std::make_shared<Common>();
  auto o = std::make_shared<Options>();
  add_common(*sub, *c);
  sub->add_option("--from", o->from, "checkpoint: a .safetensors file or a folder with one");
  sub->add_option("--arms", o->arms, "of scratch, probe (a last layer on fixed features), frozen (the same, with dropout and augmentation), full (default all)")->delimiter(',');
  sub->add_option("--fractions", o->fractions, "parts of the training images, or 10pc: images of each class (default 0.01,0.1,1)")->delimiter(',');
  sub->add_option("--seeds", o->seeds, "runs of each arm; a seed draws images, weights and order (default 3)");
  sub->add_option("--tune", o->tune, "learning rates that every arm may choose from: a third of the recipe's, it, 3, 10, ... times it (default 4)");
  sub->add_option("--budget", o->budget, "of each run: 300st, 30s or 1e12flop (default 300st)");
  sub->callback([=, &run] { run = [=] { return compare_verb(*c, *o); }; });
}

}  // namespace graft::cli
