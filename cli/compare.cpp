// graft compare RECIPE --from CHECKPOINT: from scratch or from a checkpoint? Every arm gets the same images, seeds, budget and tuning; the
// test images are looked at once per run, at its end; differences are paired and come with intervals, and "no evidence" is an answer.
#include "cli/compare.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "cli/experiment.h"
#include "cli/run_folder.h"
#include "engine/base/file.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

struct Options {
  std::string from, budget = "300st";
  std::vector<std::string> arms = {"scratch", "probe", "frozen", "full"}, fractions = {"0.01", "0.1", "1"};
  std::int64_t seeds = 3, tune = 4;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// "0.1", or "10pc": images of each class.
double fraction_in(const std::string& text, const Dataset& pool) {
  char* end = nullptr;
  const double v = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  if (unit == "pc" && v >= 1 && v == std::floor(v)) {
    const double f = v * static_cast<double>(pool.classes) / static_cast<double>(pool.size());
    if (f <= 1) return f;
    throw Error(Code::usage, "--fractions " + text + ": " + pool.name + " has " + std::to_string(pool.size()) + " images of " +
                                 std::to_string(pool.classes) + " classes");
  }
  if (end == text.c_str() || !unit.empty() || !(v > 0 && v <= 1))
    throw Error(Code::usage,
                "--fractions " + text + ": give parts of the training images (above 0, at most 1) or images of each class (10pc)");
  return v;
}

int compare_verb(const Common& c, const Options& o) {
  if (o.from.empty())
    throw Error(Code::usage, "compare: --from CHECKPOINT is missing: there is nothing to compare training from scratch with");
  if (o.seeds < 1 || o.seeds > 100) throw Error(Code::usage, "--seeds " + std::to_string(o.seeds) + ": must be 1 to 100");
  if (o.tune < 1 || o.tune > 9)
    throw Error(Code::usage, "--tune " + std::to_string(o.tune) + ": must be 1 (the recipe's learning rate) to 9");
  for (std::size_t i = 0; i < o.arms.size(); ++i) {
    if (std::find(arms().begin(), arms().end(), o.arms[i]) == arms().end()) {
      const std::string near = nearest(o.arms[i], arms());
      throw Error(Code::usage, "--arms " + o.arms[i] + ": there is scratch, knn, probe, frozen, lora and full" +
                                   (near.empty() ? "" : "; did you mean " + near + "?"));
    }
    if (std::find(o.arms.begin(), o.arms.begin() + static_cast<std::ptrdiff_t>(i), o.arms[i]) !=
        o.arms.begin() + static_cast<std::ptrdiff_t>(i))
      throw Error(Code::usage, "--arms names " + o.arms[i] + " twice");
  }
  if (o.arms.size() < 2) throw Error(Code::usage, "--arms: two are wanted, such as scratch,full");
  const Budget budget = parse_budget(o.budget);
  Config config = make_config(c, c.words, true);
  if (!config.get<std::string>("init.from").empty())
    throw Error(Code::usage, "compare: init.from is set; the checkpoint is named by --from");
  only_the_end(config, "compare");

  Session session(c);
  watch_signals();
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

  const Experiment experiment(config, o.from, budget);
  const std::int64_t runs = static_cast<std::int64_t>(fractions.size() * o.arms.size()) * (o.seeds + (o.tune > 1 ? o.tune : 0));
  if (c.dry_run) {
    std::vector<std::int64_t> images;
    std::string sizes;
    for (const double f : fractions) {
      images.push_back(fraction_of(data.train, f, experiment.seed()).size());
      sizes += (sizes.empty() ? "" : ", ") + std::to_string(images.back());
    }
    return tell_plan(c, "compare",
                     {{"images", images},
                      {"arms", o.arms},
                      {"seeds", o.seeds},
                      {"tune", o.tune},
                      {"runs", runs},
                      {"budget", o.budget},
                      {"test_images", all.test_images}},
                     std::to_string(runs) + " runs of " + o.budget + " each: " + std::to_string(o.arms.size()) + " arms on " + sizes +
                         " images with " + std::to_string(o.seeds) + " seeds" +
                         (o.tune > 1 ? " and " + std::to_string(o.tune) + " learning rates to choose from" : "") + ", judged on " +
                         std::to_string(all.test_images) + " test images");
  }
  NewRun run(c.out, "compare-" + all.recipe);
  const fs::path& folder = run.path();
  std::int64_t done = 0;
  const double begun = now();
  const auto progress = [&](const std::string& what) {
    ++done;
    if (!c.quiet) {
      const double left = (now() - begun) / static_cast<double>(done) * static_cast<double>(runs - done);
      std::fprintf(stderr, "%s%lld/%lld  %s  ETA %d:%02d%s", isatty(2) ? "\r\033[K" : "", static_cast<long long>(done),
                   static_cast<long long>(runs), what.c_str(), static_cast<int>(left) / 60, static_cast<int>(left) % 60,
                   isatty(2) && done < runs ? "" : "\n");
    }
  };
  for (const double f : fractions) {
    SizeResult size;
    size.fraction = f;
    std::vector<Dataset> subsets;
    for (std::int64_t s = 0; s < o.seeds; ++s)
      subsets.push_back(fraction_of(data.train, f, experiment.seed() + static_cast<std::uint64_t>(s)));
    size.images = subsets[0].size();
    for (const std::string& arm : o.arms) {
      ArmResult r;
      r.arm = arm;
      r.lr = experiment.tuned(arm, subsets[0], o.tune, r.tuning,
                              [&] { progress(std::to_string(size.images) + " images, " + arm + ", tuning"); });
      if (o.tune > 1) done += o.tune - static_cast<std::int64_t>(r.tuning.size());
      for (std::int64_t s = 0; s < o.seeds; ++s) {
        const Trained one =
            experiment.run(arm, subsets[static_cast<std::size_t>(s)], data.test, r.lr, experiment.seed() + static_cast<std::uint64_t>(s));
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
      a.gain = paired_bootstrap(differences(a.right, base->right));
    }
    all.sizes.push_back(std::move(size));
  }
  const Json report = comparison_json(all);
  write_atomically(folder / "report.json", json_text(report) + "\n");
  write_atomically(folder / "report.html", comparison_html(all));
  run.keep();
  if (c.json) print_json(report);
  else std::printf("%s%s\n", comparison_table(all).c_str(), (folder / "report.html").c_str());
  return 0;
}

}  // namespace

void add_compare(const Verb& app) {
  const Verb sub = app.verb(
      "compare", "from scratch or from a checkpoint? Arms with equal images, seeds, budget and tuning, and a verdict for each size");
  auto c = std::make_shared<Common>();
  auto o = std::make_shared<Options>();
  add_common(sub, *c);
  add_dry_run(sub, *c);
  sub.option("--from", o->from, "checkpoint: a .safetensors file or a folder with one");
  sub.option("--arms", o->arms,
             "of scratch, knn (neighbours among features), probe (a last layer on fixed features), frozen (the same, with dropout and "
             "augmentation), lora (low-rank additions), full (default scratch,probe,frozen,full)")
      .by_commas();
  sub.option("--fractions", o->fractions, "parts of the training images, or 10pc: images of each class (default 0.01,0.1,1)").by_commas();
  sub.option("--seeds", o->seeds, "runs of each arm; a seed draws images, weights and order (default 3)");
  sub.option("--tune", o->tune,
             "learning rates that every arm may choose from: a third of the recipe's, it, 3, 10, ... times it (default 4)");
  sub.option("--budget", o->budget, "of each run: 300st, 30s or 1e12flop (default 300st)");
  sub.does([=] { return unless_stopped([&] { return compare_verb(*c, *o); }); });
}

}  // namespace graft::cli
