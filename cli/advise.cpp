// graft advise RECIPE --from CHECKPOINT... --time 20m: which way to begin will be best with all the data? Each route is trained on parts of
// the training images and judged on others of them; curves give what all images would reach, with an interval. The test images stay locked.
#include "cli/advise.h"

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

constexpr std::int64_t kFolds = 5;

struct Options {
  std::vector<std::string> from;
  std::string time = "10m";
  std::int64_t seeds = 0;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
std::string percent(double share) {
  char t[32];
  std::snprintf(t, sizeof t, "%.1f %%", 100 * share);
  return t;
}
std::string about(double v) {
  char t[32];
  std::snprintf(t, sizeof t, "%.3g", v);
  return t;
}

std::string data_factor(const Dataset& d) {
  std::vector<std::int64_t> of(static_cast<std::size_t>(d.classes), 0);
  for (std::int64_t i = 0; i < d.size(); ++i) ++of[static_cast<std::size_t>(d.labels.data<std::int64_t>()[i])];
  const auto [least, most] = std::minmax_element(of.begin(), of.end());
  std::string s = std::to_string(d.size()) + " training images of " + std::to_string(d.classes) + " classes, " + std::to_string(*least) +
                  " to " + std::to_string(*most) + " of each";
  if (*most > 4 * std::max<std::int64_t>(1, *least)) s += "; they are far from balanced, so accuracy hides the small classes";
  return s + "; graft data check looks for duplicates, leaks and wrong labels";
}

// What the numbers say of the four things that decide it.
void argue(Advice& a, const Dataset& data) {
  a.factors.emplace_back("data", data_factor(data));
  const Route& scratch = a.routes[0];
  std::string compute = "a run of " + std::to_string(a.wanted_steps) + " steps with all images takes about " + about(scratch.full_seconds) +
                        " s from scratch";
  for (std::size_t i = 1; i < a.routes.size(); ++i) compute += ", " + about(a.routes[i].full_seconds) + " s by " + a.routes[i].name;
  if (a.steps < a.wanted_steps)
    compute += "; here each had " + std::to_string(a.steps) + " steps, so what is predicted holds for that many";
  a.factors.emplace_back("compute", compute);
  const Route* probe = nullptr;
  const Route* full = nullptr;
  for (const Route& r : a.routes) {
    if (r.arm == "probe" && (!probe || r.full->accuracy > probe->full->accuracy)) probe = &r;
    if (r.arm == "full" && (!full || r.full->accuracy > full->full->accuracy)) full = &r;
  }
  if (probe && full)
    a.factors.emplace_back("expertise",
                           surely_better(full->points, probe->points, a.images) > 0.9
                               ? "tuning all weights is worth it over a last layer on fixed features (" + percent(full->full->accuracy) +
                                     " against " + percent(probe->full->accuracy) + "): its learning rate and schedule deserve graft tune"
                               : "a last layer on fixed features does as well as tuning all weights (" + percent(probe->full->accuracy) +
                                     " against " + percent(full->full->accuracy) + "), with hardly a setting to get wrong");
  if (probe)
    a.factors.emplace_back(
        "task", "the checkpoint's features alone reach " + percent(probe->full->accuracy) + ", chance is " + percent(1 / a.classes) +
                    ", scratch " + percent(scratch.full->accuracy) +
                    (probe->full->accuracy > scratch.full->accuracy ? ": the task is near the one that it was trained for"
                                                                    : ": the task is not the one that it was trained for"));
}

int advise_verb(const Common& c, const Options& o) {
  if (o.from.empty())
    throw Error(Code::usage,
                "advise: --from CHECKPOINT is missing (it may come several times): without one there is only training from scratch");
  if (o.seeds != 0 && (o.seeds < 2 || o.seeds > 20))
    throw Error(Code::usage, "--seeds " + std::to_string(o.seeds) + ": must be 2 to 20; the spread between seeds is part of the answer");
  const double time = parse_duration(o.time, "--time");
  if (!(time > 0)) throw Error(Code::usage, "--time " + o.time + ": must be above 0");
  Config config = make_config(c, c.words, true);
  if (!config.get<std::string>("init.from").empty()) throw Error(Code::usage, "advise: init.from is set; checkpoints are named by --from");
  only_the_end(config, "advise");
  Session session(c);
  watch_signals();
  const double begun = now();
  const Dataset all = load_data(config, {true, false}).train;
  config = settled(std::move(config), all);
  const auto batch = config.get<std::int64_t>("train.batch");
  Advice a;
  a.recipe = c.words.empty() || c.words[0].find('=') != std::string::npos ? "run" : fs::path(c.words[0]).stem().string();
  a.command = command_line();
  a.images = static_cast<double>(all.size());
  a.classes = static_cast<double>(all.classes);
  a.time = time;
  a.wanted_steps = config.get<std::int64_t>("train.steps");
  if (a.wanted_steps == 0) a.wanted_steps = config.get<std::int64_t>("train.epochs") * ((all.size() + batch - 1) / batch);

  // Each seed holds out another fifth of the images, at most 2,000, to judge by; quarters of the rest are learned from.
  const Dataset mixed = fraction_of(all, 1, static_cast<std::uint64_t>(config.get<std::int64_t>("data.seed")));
  const std::int64_t held = std::min<std::int64_t>(2000, mixed.size() / 5);
  if (held < 20)
    throw Error(Code::usage, "advise: " + std::to_string(mixed.size()) +
                                 " training images are too few to judge by a fifth of them; at least 100 are wanted");
  struct Fold {
    Dataset pool, judged;
  };
  std::vector<Fold> folds;
  for (std::int64_t f = 0; f < kFolds; ++f) {
    std::vector<std::int64_t> learn, judge;
    for (std::int64_t i = 0; i < mixed.size(); ++i) (i >= f * held && i < (f + 1) * held ? judge : learn).push_back(i);
    folds.push_back({subset(mixed, learn), subset(mixed, judge)});
  }
  a.judged = static_cast<double>(held);
  a.routes.push_back({"scratch", "scratch", "", {}, {}, {}, 0, 0});
  for (const std::string& f : o.from) {
    const std::string of = o.from.size() > 1 ? " from " + f : "";
    for (const char* arm : {"probe", "full"}) a.routes.push_back({arm + of, arm, f, {}, {}, {}, 0, 0});
    Config probe = config;  // a checkpoint that does not fit is refused before anything is trained
    probe.set("init.from=" + f, Origin::flag("--from"));
    build_model(probe, folds[0].pool);
  }

  if (c.dry_run) {
    std::vector<std::string> routes;
    std::string names;
    for (const Route& r : a.routes) {
      routes.push_back(r.name);
      names += (names.empty() ? "" : ", ") + r.name;
    }
    return tell_plan(
        c, "advise", {{"routes", routes}, {"images", all.size()}, {"judged_by", held}, {"steps_wanted", a.wanted_steps}, {"seconds", time}},
        names + " on a quarter, a half and all of " + std::to_string(mixed.size() - held) + " images, judged on " + std::to_string(held) +
            " others, runs shortened from " + std::to_string(a.wanted_steps) + " steps to fit " + o.time);
  }
  NewRun made(c.out, "advise-" + a.recipe);
  const fs::path& folder = made.path();
  // What a step costs decides how many steps each run may have; seeds are added while there is time.
  const std::vector<double> parts = {0.25, 0.5, 1};
  const auto trained = static_cast<double>((1 + o.from.size()) * parts.size());  // runs of a seed that cost something
  const auto run = [&](const Route& r, const Fold& fold, const Dataset& data, std::int64_t steps, std::uint64_t seed) {
    const Experiment e(config, r.from, {Budget::Kind::steps, static_cast<double>(steps)});
    const Trained t = e.run(r.arm, data, fold.judged, e.lr(), seed);
    return std::pair{share(right_of(t.predictions, fold.judged)), t.seconds};
  };
  const std::int64_t least = o.seeds > 0 ? o.seeds : 2, most = o.seeds > 0 ? o.seeds : kFolds;
  const double at = now();
  const std::int64_t few = std::min<std::int64_t>(10, a.wanted_steps);
  const double training = run(a.routes[0], folds[0], folds[0].pool, few, 1).second;
  const double each = training / static_cast<double>(few), judging = now() - at - training;
  const double share_of_run = (time - (now() - begun)) / (trained * static_cast<double>(least));
  const double affordable = (share_of_run - 2 * judging) / (1.1 * each);  // the probe's features cost about what judging costs
  a.steps = std::clamp<std::int64_t>(static_cast<std::int64_t>(std::max(1.0, affordable)), 1, a.wanted_steps);
  const auto seed = static_cast<std::uint64_t>(config.get<std::int64_t>("train.seed"));
  const double first = now();
  for (a.seeds = 0; a.seeds < most; ++a.seeds) {
    const double spent = now() - first, next = a.seeds > 0 ? spent / static_cast<double>(a.seeds) : 0;
    if (a.seeds >= least && now() - begun + next > time) break;
    const auto s = static_cast<std::uint64_t>(a.seeds);
    const Fold& fold = folds[s % kFolds];
    for (const double part : parts) {
      const Dataset data = fraction_of(fold.pool, part, seed + s);
      for (Route& r : a.routes) {
        const auto [accuracy, seconds] = run(r, fold, data, a.steps, seed + s);
        r.points.push_back({static_cast<double>(data.size()), accuracy, a.judged});
        r.seconds.push_back(seconds);
        if (!c.quiet)
          std::fprintf(stderr, "%sseed %lld, %lld images, %s: %s%s", isatty(2) ? "\r\033[K" : "", static_cast<long long>(a.seeds + 1),
                       static_cast<long long>(data.size()), r.name.c_str(), percent(accuracy).c_str(), isatty(2) ? "" : "\n");
      }
    }
  }
  if (!c.quiet && isatty(2)) std::fprintf(stderr, "\n");

  std::vector<LearningCurve> curves;
  for (Route& r : a.routes) {
    curves.emplace_back(r.points);
    r.full = curves.back().at(a.images, a.judged);
    r.slope = curves.back().slope();
    r.full_seconds = r.seconds.back() * (r.arm == "probe" ? a.images / static_cast<double>(folds[0].pool.size())
                                                          : static_cast<double>(a.wanted_steps) / static_cast<double>(a.steps));
  }
  std::vector<std::size_t> order(a.routes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return a.routes[x].full->accuracy > a.routes[y].full->accuracy; });
  // Between beginning anew and beginning from a checkpoint: routes of one kind do not make each other doubtful.
  const auto scratch_first = order[0] == 0;
  const std::size_t rival = scratch_first ? order[1] : 0;
  a.confidence = surely_better(a.routes[order[0]].points, a.routes[rival].points, a.images);
  const Route &best = a.routes[order[0]], &other = a.routes[rival];
  if (a.confidence >= 0.9) {
    a.chosen = order[0];
    a.verdict = best.name + ": " + percent(best.full->accuracy) + " is to be expected with all images (80 %: " + percent(best.full->low) +
                " to " + percent(best.full->high) + "), " + other.name + " " + percent(other.full->accuracy);
  } else {
    a.verdict = "not enough evidence: " + best.name + " " + percent(best.full->accuracy) + " and " + other.name + " " +
                percent(other.full->accuracy) +
                " are too near to each other to tell; more time or more seeds may tell them apart, and the cheaper one may do";
  }
  for (std::size_t i = 1; i < a.routes.size(); ++i) {
    const double n = curves[0].meets(curves[i]);
    const bool ahead = a.routes[i].full->accuracy > a.routes[0].full->accuracy;
    if (n > a.images / 32 && n < a.images * 32 && curves[0].slope() < curves[i].slope())
      a.crossings.push_back(a.routes[i].name + " is ahead of scratch up to about " + about(n) + " images");
    else
      a.crossings.push_back(a.routes[i].name + (ahead ? " stays ahead of scratch" : " is not ahead of scratch") +
                            " anywhere near this number of images");
  }
  argue(a, all);
  a.seconds = now() - begun;
  const Json report = advice_json(a);
  write_atomically(folder / "report.json", json_text(report) + "\n");
  write_atomically(folder / "report.html", advice_html(a));
  made.keep();
  if (c.json) print_json(report);
  else std::printf("%s%s\n", advice_text(a).c_str(), (folder / "report.html").c_str());
  return 0;
}

}  // namespace

void add_advise(const Verb& app) {
  const Verb sub = app.verb(
      "advise",
      "which way to begin will be best with all the data? Learning curves on parts of it, with intervals; the test images stay locked");
  auto c = std::make_shared<Common>();
  auto o = std::make_shared<Options>();
  add_common(sub, *c);
  add_dry_run(sub, *c);
  sub.option("--from", o->from, "checkpoint (may come several times)").repeated();
  sub.option("--time", o->time, "for all of it, such as 20m (default 10m): runs are shortened to fit");
  sub.option("--seeds", o->seeds, "runs of each route and size, each judged on other images (default: as many as the time allows, 2 to 5)");
  sub.does([=] { return unless_stopped([&] { return advise_verb(*c, *o); }); });
}

}  // namespace graft::cli
