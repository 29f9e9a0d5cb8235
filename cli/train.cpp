// graft train RECIPE|FILE.toml [key=value ...]; graft finetune is the same with --from, which sets init.from. graft resume RUN goes on with
// either.
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "cli/preflight.h"
#include "cli/run_folder.h"
#include "cli/train_report.h"
#include "cli/transfer_report.h"
#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/input.h"
#include "engine/train/trainer.h"
#include "weights/formats/safetensors.h"
#include "weights/hash.h"
#include "weights/import.h"
#include "weights/torch_optimizer.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

std::string clock(double s) {
  char t[32];
  std::snprintf(t, sizeof t, "%d:%02d", static_cast<int>(s) / 60, static_cast<int>(s) % 60);
  return t;
}

// All that a run is made of. `from`: where it goes on; nullptr: it begins.
struct Job {
  Config config;
  Data data;
  Built built;
  std::optional<TrainState> from;
};
std::vector<std::string> classes_of(const fs::path& checkpoint) {
  return checkpoint.empty() ? std::vector<std::string>{} : classes_of_checkpoint((checkpoint / "model.safetensors").string());
}
Job prepare(const Config& config, const fs::path& checkpoint = {}) {
  Config source = config;
  std::optional<TrainState> from;
  if (!checkpoint.empty()) {
    source = without_origin(std::move(source));
    source.set("init.from=" + (checkpoint / "model.safetensors").string(), Origin::flag("the checkpoint"));
    source.set("init.head=keep", Origin::flag("the checkpoint"));
    from = read_train_state(checkpoint);
  }
  Data data = load_data(config, {true, false, classes_of(checkpoint)});
  if (config.get<bool>("eval.test")) want_test_part(config, ", or train without: eval.test=false");  // asked for at the end, said before
  const Config whole = settled(config, data.train);
  source = settled(std::move(source), data.train);
  Built built = build_model(source, data.train, from ? read_adapters(checkpoint) : std::vector<std::pair<std::string, Tensor>>{});
  if (from) built.account.clear();  // every tensor is its own
  return {whole, std::move(data), std::move(built), std::move(from)};
}

// The state of a PyTorch optimizer that stands beside the weights of init.from, by the names of the parameters that train here. Torch
// numbers parameters in the order of its modules, which is that of the state dict without its buffers.
OptimizerStart optimizer_of_origin(const Config& config, const Built& built) {
  const std::shared_ptr<const Source> source = open_source(config.get<std::string>("init.from"));
  std::vector<WeightMap> own;
  const Mapping mapping(source, choose_map(*source, config.get<std::string>("init.map"), own));
  const auto optimizer = config.get<std::string>("optim.name");
  std::vector<std::string> names;
  for (std::size_t i = 0; i < source->tensors.size(); ++i)
    for (const MappedTensor& t : mapping.tensors()) {
      if (t.from.empty() || t.from[0] != i || t.how == "tied") continue;
      const auto is_parameter = [&](const Parameter& p) { return p.name == t.name && p.trainable; };
      if (std::none_of(built.params.all().begin(), built.params.all().end(), is_parameter)) continue;
      if (t.rule && t.rule->kind != MapRule::Kind::rename)
        throw Error(Code::usage, "init.optimizer: " + t.name + " lies otherwise in " + source->path +
                                     ", and its optimizer's state is not turned with it; train without init.optimizer");
      names.push_back(t.name);
    }
  TorchOptimizer torch = read_torch_optimizer(*source, names, optimizer == "adam" || optimizer == "adamw" ? optimizer : "");
  for (const TorchOptimizerGroup& g : torch.groups)
    if (g.options.name != optimizer)
      throw Error(Code::input, source->path + ": holds the state of " + g.options.name + " and optim.name is " + optimizer +
                                   "; set optim.name=" + g.options.name + ", or train without init.optimizer");
  // What is drawn anew or stays frozen has no use for it.
  const TransferPlan plan = plan_transfer(config, built.params);
  std::set<std::string> goes_on;
  for (const ParamSource& s : built.params.sources())
    if (s.how == ParamSource::How::loaded) goes_on.insert(s.name);
  for (const ParamPlan& p : plan.params)
    if (p.frozen_until == kForEver) goes_on.erase(p.name);
  OptimizerStart start{{}, torch.steps};
  for (auto& [name, t] : torch.state)
    if (goes_on.count(name.substr(0, name.rfind('.')))) start.state.emplace_back(name, std::move(t));
  return start;
}

// The parameters of a checkpoint into those of the model; with adapters (read_adapters) these and the weights without them.
void put_back(const fs::path& checkpoint, const Params& params) {
  NoGrad off;
  const std::vector<std::pair<std::string, Tensor>> apart = read_adapters(checkpoint);
  const Checkpoint file = open_checkpoint((checkpoint / "model.safetensors").string());
  const auto put = [&](const std::string& name, Tensor t) {
    const auto it = std::find_if(apart.begin(), apart.end(), [&](const auto& x) { return x.first == name; });
    const SafetensorsEntry* e = it == apart.end() ? file.find(name) : nullptr;
    if (it == apart.end() && !e) throw Error(Code::input, file.path + ": has no '" + name + "'");
    copy_into(t, (e ? load(*e) : it->second).to(t.device()));
  };
  for (const Parameter& p : params.all()) put(p.name, p.tensor);
  for (const Params::Adapted& a : params.adapted()) put(a.adapter.a.name(), a.adapter.a), put(a.adapter.b.name(), a.adapter.b);
}

// `called`: the run by the name that it has where graft was started, which the user can type again.
int train_in(RunFolder run, const Common& c, const Job& job, double limit, const std::string& called) {
  const auto& [config, data, built, from] = job;
  const fs::path& folder = run.path();
  const std::int64_t first = from ? from->step : 0;
  watch_signals();  // before anything shows that the run has begun
  run.open_logs(first);
  if (!c.quiet) {
    std::fprintf(stderr, "%s: %lld training and %lld held-out images, %zu parameter tensors, %d threads%s\n", folder.c_str(),
                 static_cast<long long>(data.train.size()), static_cast<long long>(data.validation.size()), built.params.all().size(),
                 current_queue().threads(), from ? (", on from step " + std::to_string(first)).c_str() : "");
    for (const auto& w : built.warnings) std::fprintf(stderr, "graft: warning: %s\n", w.c_str());
    for (const auto& [tensor, how] : built.account) std::fprintf(stderr, "  %-16s %s\n", tensor.c_str(), how.c_str());
  }

  const Json checked = from ? Json() : preflight_before(c, config, data, built);
  const bool terminal = isatty(2) && !c.quiet, finetune = !config.get<std::string>("init.from").empty();
  const TransferPlan plan = plan_transfer(config, built.params);
  const FrozenProof proof(plan);
  if (finetune && !c.quiet && !from) print_parameters(plan, config);
  const std::int64_t log_every = config.get<std::int64_t>("train.log_every");
  Checkpoints checkpoints(run.checkpoints(), config.get<std::int64_t>("train.keep"));
  if (from) checkpoints.clear_after(first), checkpoints.set_links(first, from->best_step);
  const std::string resume = "graft resume " + shell_quoted(called);
  bool timed_out = false, saved = from.has_value();
  double elapsed = 0;
  const double before = from ? from->seconds : 0;
  Watch watch;
  watch.on_step = [&](const StepReport& r) {
    run.began();
    elapsed = r.seconds - before;
    if (r.step % log_every != 0 && r.step != r.steps) return;
    run.log(r);
    if (c.quiet) return;
    const double rate = static_cast<double>(r.samples) / std::max(1e-9, r.seconds);
    const double left = elapsed / static_cast<double>(r.step - first) * static_cast<double>(r.steps - r.step);
    const int bar = static_cast<int>(20 * r.step / r.steps);
    const double in_data = 100 * r.data_seconds / std::max(1e-9, r.seconds);
    if (terminal)
      std::fprintf(stderr, "\r\033[K[%.*s%*s] %lld/%lld  loss %.4f  %.0f img/s  data %.0f %%  ETA %s", bar, "####################",
                   20 - bar, "", static_cast<long long>(r.step), static_cast<long long>(r.steps), r.loss, rate, in_data,
                   clock(left).c_str());
    else if (r.step % (10 * log_every) == 0 || r.step == r.steps)
      std::fprintf(stderr, "step %lld/%lld  loss %.4f  lr %.2e  %.0f img/s  data %.0f %%  ETA %s\n", static_cast<long long>(r.step),
                   static_cast<long long>(r.steps), r.loss, r.lr, rate, in_data, clock(left).c_str());
  };
  watch.note = [&](const std::string& text) { std::fprintf(stderr, "%sgraft: %s\n", terminal ? "\r\033[K" : "", text.c_str()); };
  watch.on_eval = [&](const EpochReport& r) {
    run.log(r);
    if (!c.quiet)
      std::fprintf(stderr, "%sepoch %lld  validation accuracy %.4f  loss %.4f%s\n", terminal ? "\r\033[K" : "",
                   static_cast<long long>(r.epoch), r.held_out.accuracy, r.held_out.loss, r.best ? "  (best)" : "");
  };
  watch.save = [&](const TrainState& state, bool best) {
    run.flush();  // before the checkpoint, so that a log never ends before the step that is gone on from
    try {
      checkpoints.save(state.step, checkpoint_parts(built, config, state), best);
      saved = true;
    } catch (const Error& e) {
      if (e.code() != Code::stopped || !saved) throw;
      throw Error(Code::stopped, std::string(e.what()) + ": " + resume);
    }
  };
  watch.stop = [&] {
    if (limit > 0 && elapsed >= limit) timed_out = true;
    return timed_out || interrupted();
  };
  watch.checkpoint = checkpoint_asked;
  watch.rollback = [&]() -> std::optional<TrainState> {
    std::vector<std::string> damage;
    const auto found = checkpoints.newest_whole(damage);
    if (!found) return std::nullopt;
    put_back(found->folder, built.params);
    TrainState state = read_train_state(found->folder);
    run.open_logs(state.step);
    return state;
  };
  std::optional<OptimizerStart> begin;
  if (!from && finetune && config.get<bool>("init.optimizer")) {
    begin = optimizer_of_origin(config, built);
    if (!c.quiet)
      std::fprintf(stderr, "the optimizer goes on from %zu tensors of %lld updates\n", begin->state.size(),
                   static_cast<long long>(begin->steps));
  }
  const TrainResult r = train(*built.model.module, built.params, config, data.train, data.validation, watch, from ? &*from : nullptr,
                              begin ? &*begin : nullptr);
  const Json frozen = proof.check();
  const std::string hash = weights_hash(named_tensors(built.params));
  const double rate = static_cast<double>(r.samples) / std::max(1e-9, r.seconds);
  // Both as objects and under the flat names that metrics.csv uses.
  Json report{{"verb", finetune ? "finetune" : "train"},
              {"run", folder.string()},
              {"train", {{"loss", r.loss}}},
              {"train.loss", r.loss},
              {"steps", r.steps},
              {"seconds", r.seconds},
              {"samples_per_second", rate},
              {"peak_rss_bytes", peak_rss_bytes()},
              {"weights_hash", hash},
              {"threads", current_queue().threads()},
              {"replayed_steps", r.replayed},
              {"skipped_steps", r.skipped},
              {"rollbacks", r.rollbacks},
              {"ended_early", r.early}};
  if (data.validation.size() > 0) {
    report["validation"] = {{"accuracy", r.accuracy}, {"loss", r.held_out_loss}, {"images", data.validation.size()}};
    report["validation.accuracy"] = r.accuracy;
    report["best.accuracy"] = r.best_accuracy;
  }
  // The last look is at the best weights: at the test images where they were asked for, else once more at those that were held out.
  Judged judged;
  if (!r.stopped) {
    put_back(run.checkpoints() / "best", built.params);
    const bool test = config.get<bool>("eval.test");
    if (test) judged.set = load_data(config, {false, true, built.class_names}).test;
    else judged.set = data.validation;
    judged.name = test ? "test" : "validation";
    if (judged.set.size() > 0) {
      judged.by = evaluate(*built.model.module, Loader(judged.set, judging_options(config)), image_dtype(config),
                           loader_workers(config, judged.set));
      want_finite(judged.by);
    }
    if (test) {
      report["test"] = {{"accuracy", judged.by.accuracy}, {"loss", judged.by.loss}, {"images", judged.by.images}, {"weights", "best"}};
      report["test.accuracy"] = judged.by.accuracy;
    }
  }
  if (from) report["resumed_from"] = first;
  if (finetune) {
    report["parameters"] = parameters_json(plan, config);
    report["frozen"] = frozen;
    if (!plan.frozen.empty() && !c.quiet) std::fprintf(stderr, "%s\n", proof.line().c_str());
  }
  if (!checked.is_null()) report["preflight"] = checked;
  if (!built.account.empty()) {
    Json import = Json::array();
    for (const auto& [tensor, how] : built.account) import.push_back({{"tensor", tensor}, { "how", how }});
    report["import"] = import;
  }
  if (c.json) print_json(report);
  else if (!r.stopped) {
    if (r.early)
      std::printf("ended early: no better evaluation in %lld\n", static_cast<long long>(config.get<std::int64_t>("train.patience")));
    if (judged.by.images > 0)
      std::printf("%s accuracy %.4f, loss %.4f (best weights, %lld images)\n", judged.name.c_str(), judged.by.accuracy, judged.by.loss,
                  static_cast<long long>(judged.by.images));
    std::printf("last training loss %.4f, %lld steps in %.1f s, %.0f images/s\nweights %s\ncheckpoint %s\n", r.loss,
                static_cast<long long>(r.steps), r.seconds, rate, hash.c_str(), (folder / "checkpoints/best").c_str());
  }
  // After the result: where the disk is full it is the report that is missing, and not the answer.
  try {
    run.report(report, training_html(run.log_text(), judged, report, config));
  } catch (const Error& e) {
    std::fflush(stdout);
    throw Error(e.code(), std::string(e.what()) + ": " + resume);
  }
  if (r.stopped) {
    std::fprintf(stderr, "graft: stopped after step %lld; the weights are in %s; go on with: %s\n", static_cast<long long>(r.steps),
                 (folder / "checkpoints/last").c_str(), resume.c_str());
    return timed_out ? static_cast<int>(Code::stopped) : 128 + interrupt_signal();
  }
  return 0;
}

int train_verb(const Common& c, const std::string& from, bool finetune, const std::string& max_time, bool only_check) {
  const std::vector<std::string>& words = c.words;
  watch_usr1();
  const Error no_origin(Code::usage, "finetune: --from CHECKPOINT is missing; to train from scratch use graft train");
  if (finetune && from.empty() && words.empty() && c.files.empty()) throw no_origin;
  const Config config = make_config(c, words, true, from);
  if (finetune && config.get<std::string>("init.from").empty()) throw no_origin;
  const double limit = seconds_of(max_time);
  Session session(c);
  const Job job = prepare(config);  // what is wrong with data or weights is said before a folder is made
  if (only_check) return run_preflight(c, job.config, job.data, job.built);
  const std::string name = words.empty() || words[0].find('=') != std::string::npos ? "run" : fs::path(words[0]).stem().string();
  RunFolder run = RunFolder::make(c, job.config, name);
  const std::string called = run.path().string();
  return train_in(std::move(run), c, job, limit, called);
}

int resume_verb(const Common& c, const std::string& path, const std::string& max_time) {
  watch_usr1();
  const double limit = seconds_of(max_time);
  RunFolder run = RunFolder::open(path);
  const Config config = run.config();
  std::error_code ec;
  if (const fs::path folder = run.started_in(); !folder.empty() && fs::is_directory(folder, ec))
    fs::current_path(folder, ec);  // where data.path begins
  Session session(c);
  std::vector<std::string> damage;
  const auto found = Checkpoints(run.checkpoints(), 1).newest_whole(damage);
  for (const std::string& d : damage) std::fprintf(stderr, "graft: %s; an older checkpoint is used\n", d.c_str());
  if (!found && !damage.empty()) throw Error(Code::input, run.checkpoints().string() + ": no checkpoint is whole; train anew");
  if (c.dry_run) {
    prepare(config, found ? found->folder : fs::path());
    return tell_plan(c, "resume",
                     {{"run", path}, {"checkpoint", found ? Json(found->folder.string()) : Json()}, {"step", found ? found->step : 0}},
                     path + (found ? " would go on after step " + std::to_string(found->step) + ", from " + found->folder.string()
                                   : " would begin anew: it has no checkpoint yet"));
  }
  return train_in(std::move(run), c, prepare(config, found ? found->folder : fs::path()), limit,
                  path);  // not found: it was stopped before its first checkpoint
}

constexpr const char* kMaxTime = "stop after this much training, such as 30m, with a checkpoint; exit code 75";

void add_one(const Verb& app, const char* name, const char* text, bool finetune) {
  const Verb sub = app.verb(name, text);
  auto c = std::make_shared<Common>();
  auto from = std::make_shared<std::string>(), max_time = std::make_shared<std::string>();
  auto only_check = std::make_shared<bool>(false);
  add_common(sub, *c);
  sub.option("--from", *from, "checkpoint: a .safetensors file or a folder with one (init.from)");
  sub.option("--max-time", *max_time, kMaxTime);
  sub.flag("--preflight,--dry-run", *only_check,
           "check data, model, step and cost in seconds, and train nothing; exit code 1 when a check failed");
  sub.does([=] { return train_verb(*c, *from, finetune, *max_time, *only_check); });
}

void add_resume(const Verb& app) {
  const Verb sub = app.verb("resume", "go on with a run from its newest whole checkpoint, as if it had never stopped");
  auto c = std::make_shared<Common>();
  auto path = std::make_shared<std::string>(), max_time = std::make_shared<std::string>();
  sub.option("run", *path, "run folder, such as runs/mnist-cnn-1").required();
  add_execution(sub, *c);
  add_dry_run(sub, *c);
  sub.option("--max-time", *max_time, kMaxTime);
  sub.does([=] { return resume_verb(*c, *path, *max_time); });
}
}  // namespace

void add_train(const Verb& app) {
  add_one(app, "train", "train a recipe or FILE.toml; key=value overrides", false);
  add_one(app, "finetune", "train from a checkpoint; every tensor is accounted for", true);
  add_resume(app);
}

}  // namespace graft::cli
