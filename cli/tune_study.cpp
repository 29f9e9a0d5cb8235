// A study from its first trial to its report. Who asks for work gets what a function of the trials says (`next`), so a study that was
// killed, and one that several processes share, ends as one that was not.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "cli/run_folder.h"
#include "cli/tune.h"
#include "engine/base/file.h"
#include "engine/train/asha.h"
#include "engine/train/lr_finder.h"
#include "engine/train/trainer.h"
#include "weights/hash.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

constexpr double kFailed = -std::numeric_limits<double>::infinity();
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// A study: what it is a function of.
struct Plan {
  std::string method, recipe;
  Config base;  // the default: without what is searched
  std::vector<std::string> search;
  std::int64_t trials = 0, budget = 0, seeds = 0, eta = 0, least = 0;
  bool test = false;
  std::vector<SearchKey> keys;
  std::vector<std::int64_t> rungs;  // steps of each

  std::int64_t seed() const { return base.get<std::int64_t>("train.seed"); }
};

// ---- a plan and its text ------------------------------------------------------------------------

std::int64_t steps_in(const std::string& text) {
  const std::string digits = text.ends_with("st") ? text.substr(0, text.size() - 2) : text;
  if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos || std::stoll(digits) < 1)
    throw Error(Code::usage, "--budget " + text + ": give the steps of a trial, 1 to 999999999, such as 300 or 300st");
  return std::stoll(digits);
}
void bound(const char* option, std::int64_t v, std::int64_t lo, std::int64_t hi) {
  if (v < lo || v > hi)
    throw Error(Code::usage,
                std::string(option) + " " + std::to_string(v) + ": must be " + std::to_string(lo) + " to " + std::to_string(hi));
}

void complete(Plan& p) {
  bound("--trials", p.trials, 1, 100000);
  bound("--seeds-noise", p.seeds, 2, 100);
  bound("--eta", p.eta, 2, 100);
  bound("--budget", p.budget, 1, 999999999);
  static const std::vector<std::string_view> methods = {"lr", "random", "asha", "tpe"};
  if (std::find(methods.begin(), methods.end(), p.method) == methods.end()) {
    const std::string near = nearest(p.method, methods);
    throw Error(Code::usage,
                "--method " + p.method + ": there is lr, random, asha and tpe" + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  if (p.method == "lr") {
    if (!p.search.empty())
      throw Error(Code::usage, "--method lr finds optim.lr and nothing else; leave --search out, or use random, asha or tpe");
    p.keys = parse_search({"optim.lr=log(" + std::to_string(LrFinderOptions().low) + "," + std::to_string(LrFinderOptions().high) + ")"},
                          p.base);
    p.trials = 1;
  } else {
    if (p.search.empty())
      throw Error(Code::usage,
                  "tune: nothing is searched; give keys and their ranges, such as --search 'optim.lr=log(1e-4,1e-1)', or use --method lr");
    p.keys = parse_search(p.search, p.base);
  }
  if (p.least != 0 && p.method != "asha")
    throw Error(Code::usage, "--least " + std::to_string(p.least) + ": is of --method asha; leave it out");
  if (p.method == "asha") {
    if (p.least < 0 || p.least > p.budget)
      throw Error(Code::usage, "--least " + std::to_string(p.least) + ": must be 1 to the budget, " + std::to_string(p.budget));
    p.rungs = asha_rungs(p.least ? p.least : std::max<std::int64_t>(1, p.budget / p.eta / p.eta), p.budget, p.eta);
  } else {
    p.rungs = {p.budget};
  }
}

Plan plan_of(const Common& c, const TuneOptions& o) {
  Plan p;
  p.base = make_config(c, c.words, true);
  p.method = o.method, p.search = o.search, p.trials = o.trials, p.seeds = o.seeds, p.eta = o.eta, p.least = o.least, p.test = o.test;
  p.recipe = c.words.empty() || c.words[0].find('=') != std::string::npos ? "run" : fs::path(c.words[0]).stem().string();
  const std::int64_t steps = p.base.get<std::int64_t>("train.steps");
  p.budget = !o.budget.empty() ? steps_in(o.budget) : steps > 0 ? steps : 300;
  p.base.set("train.steps=" + std::to_string(p.budget), Origin::flag("--budget"));
  // A recipe's warm-up is made for its own length.
  if (const auto warmup = p.base.get<std::int64_t>("schedule.warmup");
      warmup > p.budget / 10 && p.base.origin("schedule.warmup").layer <= Layer::recipe)
    p.base.set("schedule.warmup=" + std::to_string(p.budget / 10), {Layer::recipe, 1, "recipe, shortened with --budget"});
  p.base.check();
  complete(p);
  return p;
}

// What decides the numbers, as text: equal text, equal study.
std::string text_of(const Plan& p) {
  Json settings = Json::array();
  for (const Key& k : schema())
    if (const Origin& o = p.base.origin(k.name); o.layer != Layer::standard)
      settings.push_back({std::string(k.name) + "=" + p.base.value_text(k.name), static_cast<int>(o.layer), o.where});
  const Json all{{"method", p.method}, {"recipe", p.recipe}, {"search", p.search}, {"trials", p.trials}, {"budget", p.budget},
                 {"seeds", p.seeds},   {"eta", p.eta},       {"least", p.least},   {"test", p.test},     {"settings", settings}};
  return json_text(all, 1);
}
Plan plan_from(const std::string& text, const std::string& where) {
  Plan p;
  try {
    const Json j = read_json_in_order(text);
    p.method = j.at("method"), p.recipe = j.at("recipe"), p.search = j.at("search").get<std::vector<std::string>>(),
    p.trials = j.at("trials"), p.budget = j.at("budget");
    p.seeds = j.at("seeds"), p.eta = j.at("eta"), p.least = j.at("least"), p.test = j.at("test");
    for (const Json& s : j.at("settings")) {
      const int layer = s.at(1);
      if (layer < static_cast<int>(Layer::recipe) || layer > static_cast<int>(Layer::flag))
        throw Error(Code::input, "a setting of no layer");
      p.base.set(s.at(0).get<std::string>(), {static_cast<Layer>(layer), 0, s.at(2).get<std::string>()});
    }
    complete(p);
  } catch (const std::exception& e) {
    throw Error(Code::input, where + ": its settings cannot be read (" + e.what() + "); begin a new study");
  }
  return p;
}

// ---- what to train next -------------------------------------------------------------------------

bool busy(const Trial& t) { return t.state == "running" || t.state == "open"; }
bool finished(const Trial& t) { return t.state == "done" || t.state == "pruned"; }
double score_of(const Trial& t) { return finished(t) && !std::isnan(t.score) ? t.score : kFailed; }

// Of those that came furthest the best one; of equals the first.
std::optional<Trial> best_of(const std::vector<Trial>& trials) {
  std::optional<Trial> best;
  for (const Trial& t : trials)
    if (t.kind == "search" && finished(t) && (!best || t.rung > best->rung || (t.rung == best->rung && score_of(t) > score_of(*best))))
      best = t;
  return best;
}

Trial search_trial(const Plan& p, std::int64_t configuration, std::int64_t rung, Point values) {
  Trial t;
  t.configuration = configuration, t.rung = rung, t.values = std::move(values), t.seed = p.seed();
  t.steps = p.method == "lr" ? LrFinderOptions().steps : p.rungs[static_cast<std::size_t>(rung)];
  return t;
}
Point suggestion(const Plan& p, const std::vector<Trial>& search, std::int64_t number) {
  const Space space = space_of(p.keys);
  const auto seed = static_cast<std::uint64_t>(p.seed()), n = static_cast<std::uint64_t>(number);
  Point at;
  if (p.method == "lr") return {std::nan("")};
  if (p.method == "tpe") {
    std::vector<Observation> history;  // what others are training counts as bad, so that nobody tries the same
    for (const Trial& t : search) history.push_back({t.values, score_of(t)});
    at = tpe_point(space, history, seed, n);
  } else {
    at = random_point(space, seed, n);
  }
  for (std::size_t i = 0; i < at.size(); ++i) at[i] = p.keys[i].rounded(at[i]);
  with_values(p.base, p.keys, at);
  return at;
}

NextTrial next_of(const Plan& p, const std::vector<Trial>& all) {
  using Kind = NextTrial::Kind;
  std::vector<Trial> search;
  bool searching = false, others = false;
  for (const Trial& t : all) {
    if (t.values.size() != p.keys.size())
      throw Error(Code::input, "trial " + std::to_string(t.id) +
                                   " has another number of values than keys are searched; the study is damaged: begin a new one");
    for (std::size_t i = 0; i < p.keys.size(); ++i)
      if (const Dimension& d = p.keys[i].dimension; d.kind == Dimension::Kind::choice && !std::isnan(t.values[i]) &&
                                                    !(t.values[i] >= 0 && t.values[i] < static_cast<double>(d.choices)))
        throw Error(Code::input, "trial " + std::to_string(t.id) + " has a value that " + d.name +
                                     " is not searched for; the study is damaged: begin a new one");
    if (t.rung < 0 || t.rung >= static_cast<std::int64_t>(p.rungs.size()))
      throw Error(Code::input, "trial " + std::to_string(t.id) + " is of no rung; the study is damaged: begin a new one");
    if (t.kind == "search") search.push_back(t), searching |= busy(t);
    else others |= busy(t);
  }
  std::int64_t begun = 0;
  std::vector<RungScore> scores;
  std::vector<std::vector<std::int64_t>> on(p.rungs.size());
  for (const Trial& t : search) {
    begun += t.rung == 0;
    on[static_cast<std::size_t>(t.rung)].push_back(t.configuration);
    if (!busy(t)) scores.push_back({t.configuration, t.rung, score_of(t)});
  }
  if (const auto up = asha_promotion(scores, on, p.eta)) {
    const auto same = std::find_if(search.begin(), search.end(), [&](const Trial& t) { return t.configuration == up->configuration; });
    return {Kind::work, search_trial(p, up->configuration, up->rung, same->values)};
  }
  if (begun < p.trials) return {Kind::work, search_trial(p, begun, 0, suggestion(p, search, begun))};
  if (searching) return {Kind::wait, {}};
  const std::optional<Trial> best = best_of(search);
  if (!best) return {};

  const auto there = [&](const std::string& kind, std::int64_t seed) {
    return std::any_of(all.begin(), all.end(), [&](const Trial& t) { return t.kind == kind && t.seed == seed; });
  };
  const auto last = [&](const std::string& kind, std::int64_t seed) {
    Trial t = search_trial(p, best->configuration, static_cast<std::int64_t>(p.rungs.size()) - 1, best->values);
    t.kind = kind, t.seed = seed, t.steps = p.budget;
    if (kind == "default") t.configuration = -1, t.values.assign(p.keys.size(), std::nan(""));
    return NextTrial{Kind::work, t};
  };
  for (std::int64_t s = 1; s <= p.seeds; ++s)  // other seeds than the search's: with that one the winner was lucky
    for (const char* kind : {"default", "winner"})
      if (!there(kind, p.seed() + s)) return last(kind, p.seed() + s);
  if (p.test && !there("test", p.seed())) return last("test", p.seed());
  return {others ? Kind::wait : Kind::done, {}};
}

// ---- one trial ----------------------------------------------------------------------------------

struct Abandoned {};

// Images to learn from and to be judged by. The test images are loaded only where --test asks for them. What the recipe leaves to the data
// is then settled in p.base, once for all trials: they learn from the same images.
Data images_of(Plan& p) {
  Data d = load_data(p.base, {});
  if (p.test) want_test_part(p.base, ", or leave --test out");
  if (d.validation.size() == 0) {
    const Dataset all = fraction_of(d.train, 1, static_cast<std::uint64_t>(p.base.get<std::int64_t>("data.seed")));
    const std::int64_t held = all.size() / 5;
    if (held < 1)
      throw Error(Code::usage, "tune: " + std::to_string(all.size()) +
                                   " training images are too few to hold some out; set data.validation or more images");
    std::vector<std::int64_t> learn, judge;
    for (std::int64_t i = 0; i < all.size(); ++i) (i < held ? judge : learn).push_back(i);
    d.train = subset(all, learn);
    d.validation = subset(all, judge);
  }
  p.base = settled(std::move(p.base), d.train);
  return d;
}

// A shorter rung has the same schedule in less time.
Config config_of(const Plan& p, const Trial& t, Point& values) {
  Config c = with_values(p.base, p.keys, values);
  c.check();
  const auto set = [&](const std::string& what) { c.set(what, Origin::flag("tune")); };
  if (t.steps < p.budget) set("schedule.warmup=" + std::to_string(c.get<std::int64_t>("schedule.warmup") * t.steps / p.budget));
  set("train.steps=" + std::to_string(t.steps));
  set("train.seed=" + std::to_string(t.seed));
  set("eval.every=1000000");
  set("eval.every_steps=0");
  set("eval.train_count=0");
  set("eval.test=false");
  set("train.patience=0");
  set("train.preflight=false");
  set("train.checkpoint_every=1000000000");
  return c;
}

void train_one(const Plan& p, const Data& data, Trial& t, const std::function<bool()>& stop) {
  const double begun = now();
  const Config c = config_of(p, t, t.values);
  Built built = build_model(c, data.train);
  if (p.method == "lr" && t.kind == "search") {
    bool stopped = false;
    const LrCurve curve = find_lr(*built.model.module, built.params, c, data.train, {}, [&] { return stopped = stop(); });
    if (stopped) throw Abandoned();
    if (!curve.suggestion)
      throw Error(Code::diverged, "the loss falls at no rate from " + p.keys[0].text(p.keys[0].dimension.lo) + " to " +
                                      p.keys[0].text(p.keys[0].dimension.hi));
    t.values = {p.keys[0].rounded(curve.suggestion->lr)};
    t.loss = *std::min_element(curve.smoothed.begin(), curve.smoothed.end());
    t.detail = json_text({{"lr", curve.lr},
                          {"loss", curve.loss},
                          {"smoothed", curve.smoothed},
                          {"low", curve.suggestion->low},
                          {"high", curve.suggestion->high}},
                         -1);
  } else {
    const Dataset judge = t.kind == "test" ? load_data(p.base, {false, true, data.train.class_names}).test : data.validation;
    std::vector<std::int64_t> predictions;
    Watch watch;
    watch.on_eval = [&](const EpochReport& r) { predictions = r.held_out.predictions; };
    watch.stop = stop;
    const TrainResult r = train(*built.model.module, built.params, c, data.train, judge, watch);
    if (r.stopped) throw Abandoned();
    t.score = r.accuracy, t.loss = r.held_out_loss;
    if (t.kind != "search")
      for (std::size_t i = 0; i < predictions.size(); ++i) t.right += predictions[i] == judge.labels.data<std::int64_t>()[i] ? '1' : '0';
    t.weights_hash = weights_hash(named_tensors(built.params));
  }
  t.seconds = now() - begun;
  t.state = "done";
}

// ---- the report ---------------------------------------------------------------------------------

TuneReport report_of(const Plan& p, const std::map<std::string, std::string>& study, std::vector<Trial> all, const Data& data,
                     const std::string& folder) {
  TuneReport r{study.at("command"),
               folder,
               p.recipe,
               p.method,
               p.budget,
               data.validation.size(),
               data.train.size(),
               p.seeds,
               p.keys,
               std::move(all),
               {},
               {},
               {},
               {},
               {}};
  r.best = best_of(r.trials);
  const auto n = static_cast<std::size_t>(data.validation.size());
  std::vector<std::vector<std::int8_t>> difference(static_cast<std::size_t>(p.seeds), std::vector<std::int8_t>(n, 0));
  for (const Trial& t : r.trials) {
    if (t.kind == "test") r.test_accuracy = t.state == "done" ? t.score : 0;
    if (t.kind != "default" && t.kind != "winner") continue;
    const bool winner = t.kind == "winner";
    const std::int64_t s = t.seed - p.seed() - 1;
    if (s < 0 || s >= p.seeds || (t.state == "done" && t.right.size() != n))
      throw Error(Code::input, folder + ": training " + std::to_string(t.id) +
                                   " does not fit the study; it is damaged, or the images are others: begin a new one");
    (winner ? r.winners : r.defaults).push_back(t.state == "done" ? t.score : 0);  // what diverged was never right
    for (std::size_t i = 0; i < t.right.size(); ++i)
      difference[static_cast<std::size_t>(s)][i] =
          static_cast<std::int8_t>(difference[static_cast<std::size_t>(s)][i] + (winner ? 1 : -1) * (t.right[i] == '1'));
  }
  r.gain = paired_bootstrap(difference);
  return r;
}

// `called`: the folder by the name that it has where graft was started.
int work(const Common& c, const TuneOptions& o, const Plan& p, Trials& trials, const Data& data, const fs::path& folder,
         const std::string& called) {
  const double begun = now(), limit = seconds_of(o.max_time);
  const std::string resume = "graft tune --resume " + shell_quoted(called);
  bool timed_out = false;
  const auto stop = [&] {
    timed_out = timed_out || (limit > 0 && now() - begun >= limit);
    return timed_out || interrupted();
  };
  if (!c.quiet)
    std::fprintf(stderr, "%s: %s, %lld configurations of %zu keys, %lld steps, judged by %lld images that are held out of %lld\n",
                 folder.c_str(), p.method.c_str(), static_cast<long long>(p.trials), p.keys.size(), static_cast<long long>(p.budget),
                 static_cast<long long>(data.validation.size()), static_cast<long long>(data.validation.size() + data.train.size()));
  double best = kFailed;
  for (bool done = false; !done;) {
    NextTrial n =
        stop() ? NextTrial{NextTrial::Kind::wait, {}} : trials.claim([&](const std::vector<Trial>& all) { return next_of(p, all); });
    done = n.kind == NextTrial::Kind::done;
    Trial& t = n.trial;
    bool abandoned = stop();
    if (n.kind == NextTrial::Kind::work && !abandoned) {
      t.score = t.loss = std::nan("");
      try {
        train_one(p, data, t, stop);
      } catch (const Abandoned&) {
        abandoned = true;
      } catch (const Error& e) {  // a configuration that does not train is an answer: it is not chosen
        if (e.code() != Code::diverged && e.code() != Code::usage && e.code() != Code::memory) throw;
        t.state = "failed", t.note = e.what(), t.score = t.loss = std::nan(""), t.right.clear();
      }
      if (!abandoned) {
        trials.finish(t);
        if (t.kind == "search") best = std::max(best, score_of(t));
        if (!c.quiet) {
          const std::string what = t.kind == "search" ? "trial " + std::to_string(t.configuration + 1) + "/" + std::to_string(p.trials)
                                                      : t.kind + ", seed " + std::to_string(t.seed);
          const std::string values = assignments(p.keys, t.values);
          char came[96];
          if (t.state == "failed") std::snprintf(came, sizeof came, "failed");
          else if (std::isnan(t.score)) std::snprintf(came, sizeof came, "found");
          else std::snprintf(came, sizeof came, "accuracy %.4f%s", t.score, t.kind == "search" && t.score >= best ? " (best)" : "");
          std::fprintf(stderr, "%s  %lld steps  %s  %s  %.1f s%s%s\n", what.c_str(), static_cast<long long>(t.steps), values.c_str(), came,
                       t.seconds, t.note.empty() ? "" : ": ", t.note.c_str());
        }
      }
    }
    if (abandoned && !done) {
      if (n.kind == NextTrial::Kind::work) trials.give_back(t.id);
      std::fprintf(stderr, "graft: stopped; what is finished is kept; go on with: %s\n", resume.c_str());
      return timed_out ? static_cast<int>(Code::stopped) : 128 + interrupt_signal();
    }
    if (n.kind == NextTrial::Kind::wait) std::this_thread::sleep_for(std::chrono::milliseconds(100));  // other processes have the rest
  }

  std::vector<Trial> all = trials.all();
  if (const auto won = best_of(all); !won) {
    const std::string first = all.empty() ? "" : "; the first: " + all[0].note;
    throw Error(Code::diverged, "tune: no configuration could be trained" + first);
  } else {  // of successive halving, those that did not go on
    std::vector<std::int64_t> lost;
    for (const Trial& t : all)
      if (t.kind == "search" && t.state == "done" && t.rung < won->rung && std::none_of(all.begin(), all.end(), [&](const Trial& u) {
            return u.kind == "search" && u.configuration == t.configuration && u.rung > t.rung;
          }))
        lost.push_back(t.id);
    if (!lost.empty()) trials.prune(lost), all = trials.all();
  }
  const TuneReport r = report_of(p, trials.study(), std::move(all), data, folder.lexically_proximate(fs::current_path()).string());
  Point values = r.best->values;
  write_atomically(folder / "winner.toml", with_values(p.base, p.keys, values).text());
  const Json report = tune_json(r);
  write_atomically(folder / "report.html", tune_html(r));
  write_atomically(folder / "report.json", json_text(report) + "\n");
  if (c.json) print_json(report);
  else std::printf("%s%s\n", tune_table(r).c_str(), (folder.lexically_proximate(fs::current_path()) / "report.html").c_str());
  return 0;
}

int go_on(const Common& c, const TuneOptions& o) {
  const TuneOptions standard;
  if (!c.words.empty() || !c.files.empty() || !c.out.empty() || c.seed || !o.search.empty() || !o.budget.empty() ||
      o.method != standard.method || o.trials != standard.trials || o.seeds != standard.seeds || o.eta != standard.eta ||
      o.least != standard.least || o.test)
    throw Error(
        Code::usage,
        "--resume takes the study as it was asked for; leave recipe, key=value, --config, --seed, --out and the options of the search out");
  const fs::path folder = fs::absolute(o.resume).lexically_normal();
  Trials trials(folder / "study.db");
  const auto& study = trials.study();
  for (const char* name : {"plan", "command", "folder"})
    if (!study.contains(name))
      throw Error(Code::input, (folder / "study.db").string() + ": says nothing of its " + name + "; it is damaged: begin a new study");
  Plan p = plan_from(study.at("plan"), (folder / "study.db").string());
  std::error_code ec;
  if (fs::is_directory(study.at("folder"), ec)) fs::current_path(study.at("folder"), ec);  // where data.path begins
  Session session(c);
  watch_signals();
  const Data data = images_of(p);
  return work(c, o, p, trials, data, folder, o.resume);
}

}  // namespace

int tune_verb(const Common& c, const TuneOptions& o) {
  seconds_of(o.max_time);
  if (!o.resume.empty()) {
    if (c.dry_run) throw Error(Code::usage, "tune --resume: a study that goes on has its plan; --dry-run is for a new one");
    return go_on(c, o);
  }
  const Plan asked = plan_of(c, o);
  const std::string text = text_of(asked);
  Plan p = plan_from(text, "tune");  // what a resumed one would work by
  Session session(c);
  watch_signals();
  const Data data = images_of(p);
  build_model(p.base, data.train);  // what is wrong with data or weights is said before a folder is made
  if (c.dry_run) {
    const std::vector<std::int64_t> steps = p.method == "lr" ? std::vector{LrFinderOptions().steps} : p.rungs;
    return tell_plan(c, "tune",
                     {{"method", p.method},
                      {"search", p.search},
                      {"trials", p.trials},
                      {"steps", steps},
                      {"seeds", p.seeds},
                      {"training_images", data.train.size()},
                      {"validation_images", data.validation.size()}},
                     p.method + ", " + std::to_string(p.trials) + (p.trials == 1 ? " trial" : " trials") + " of at most " +
                         std::to_string(steps.back()) + " steps on " + std::to_string(data.train.size()) + " images, scored on " +
                         std::to_string(data.validation.size()) + " others");
  }
  std::error_code ec;
  const auto joins = [&] {
    return !c.out.empty() && (fs::exists(fs::path(c.out) / "study.db", ec) || (fs::is_directory(c.out, ec) && fs::is_empty(c.out, ec)));
  };
  const auto folder_to_use = [&]() -> fs::path {
    if (joins()) return c.out;
    try {
      return new_run_folder(c.out, "tune-" + p.recipe);
    } catch (const Error&) {
      if (!joins()) throw;
      return c.out;  // another process of the study has made it meanwhile
    }
  };
  const fs::path folder = fs::absolute(folder_to_use()).lexically_normal();
  Json space = Json::array();
  for (const std::string& s : p.search) space.push_back(s);
  Trials trials(folder / "study.db", {{"space", json_text(space, -1)},
                                      {"objective", "validation accuracy"},
                                      {"seed", std::to_string(p.seed())},
                                      {"command", command_line()},
                                      {"config", p.base.text()},
                                      {"plan", text},
                                      {"folder", fs::current_path(ec).string()}});
  if (!trials.study().contains("plan") || trials.study().at("plan") != text)
    throw Error(Code::usage, "--out " + c.out + ": holds the study of another command (" +
                                 (trials.study().contains("command") ? trials.study().at("command") : "unknown") +
                                 "); choose another folder");
  return work(c, o, p, trials, data, folder, folder.lexically_proximate(fs::current_path()).string());
}

}  // namespace graft::cli
