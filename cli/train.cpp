// graft train RECIPE|FILE.toml [key=value ...]; graft finetune is the same with --from, which sets init.from.
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/common.h"
#include "engine/base/file.h"
#include "engine/train/trainer.h"
#include "weights/hash.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

// runs/NAME-k with the first free k, made here. A folder that was named must be new.
fs::path make_run_folder(const Common& c, const std::string& name) {
  std::error_code ec;
  if (!c.out.empty()) {
    if (fs::exists(c.out)) throw Error(Code::usage, "--out " + c.out + ": is there already; runs are never overwritten");
    fs::create_directories(c.out, ec);
    if (ec) throw Error(Code::input, c.out + ": cannot make the folder: " + ec.message());
    return c.out;
  }
  fs::create_directories("runs", ec);
  for (int k = 1;; ++k) {
    const fs::path p = fs::path("runs") / (name + "-" + std::to_string(k));
    if (fs::create_directory(p, ec)) return p;
    if (ec) throw Error(Code::input, p.string() + ": cannot make the folder: " + ec.message());
  }
}

// `link` names `target` from now on, in one step.
void point(const fs::path& link, const std::string& target) {
  const fs::path fresh = link.string() + ".new";
  fs::remove(fresh);
  fs::create_directory_symlink(target, fresh);
  fs::rename(fresh, link);
}

Json environment() {
  utsname u{};
  uname(&u);
  return {{"graft", GRAFT_VERSION}, {"system", std::string(u.sysname) + " " + u.release}, {"machine", u.machine}, {"device", name_of(current_queue().device())}, {"threads", current_queue().threads()},
          {"compiler", __VERSION__}};
}

std::string clock(double s) {
  char t[32];
  std::snprintf(t, sizeof t, "%d:%02d", static_cast<int>(s) / 60, static_cast<int>(s) % 60);
  return t;
}

int train_verb(const Common& c, const std::string& from, bool finetune, const std::string& max_time) {
  std::vector<std::string> words = c.words;
  if (finetune && from.empty()) throw Error(Code::usage, "finetune: --from CHECKPOINT is missing; to train from scratch use graft train");
  const Config config = make_config(c, words, true, from);
  const double limit = max_time.empty() ? 0 : parse_duration(max_time, "--max-time");
  Session session(c);
  const Data data = load_data(config);
  Built built = build_model(config, data.train);
  const std::string name = words.empty() || words[0].find('=') != std::string::npos ? "run" : fs::path(words[0]).stem().string();
  const fs::path folder = make_run_folder(c, name);
  write_atomically(folder / "config.toml", config.text());
  write_atomically(folder / "env.json", environment().dump(2) + "\n");
  std::ofstream log(folder / "log.jsonl"), metrics(folder / "metrics.csv");
  metrics << "step,epoch,train.loss,lr,test.accuracy,test.loss\n";
  if (!c.quiet) {
    std::fprintf(stderr, "%s: %lld training and %lld test images, %zu parameters tensors, %d threads -> %s\n", name.c_str(), static_cast<long long>(data.train.size()),
                 static_cast<long long>(data.test.size()), built.params.all().size(), current_queue().threads(), folder.c_str());
    for (const auto& [tensor, how] : built.account) std::fprintf(stderr, "  %-16s %s\n", tensor.c_str(), how.c_str());
  }

  watch_signals();
  const bool terminal = isatty(2) && !c.quiet;
  const std::int64_t log_every = config.get<std::int64_t>("train.log_every");
  std::string last, best;
  bool timed_out = false;
  double elapsed = 0;
  Watch watch;
  watch.on_step = [&](const StepReport& r) {
    elapsed = r.seconds;
    if (r.step % log_every != 0 && r.step != r.steps) return;
    const double rate = static_cast<double>(r.samples) / std::max(1e-9, r.seconds), left = r.seconds / static_cast<double>(r.step) * static_cast<double>(r.steps - r.step);
    log << Json{{"step", r.step}, {"epoch", r.epoch + 1}, {"train.loss", r.loss}, {"lr", r.lr}, {"grad_norm", r.grad_norm}, {"seconds", r.seconds}}.dump() << '\n';
    metrics << r.step << ',' << r.epoch + 1 << ',' << r.loss << ',' << r.lr << ",,\n";
    if (c.quiet) return;
    const int bar = static_cast<int>(20 * r.step / r.steps);
    const double in_data = 100 * r.data_seconds / std::max(1e-9, r.seconds);
    if (terminal)
      std::fprintf(stderr, "\r\033[K[%.*s%*s] %lld/%lld  loss %.4f  %.0f img/s  data %.0f %%  ETA %s", bar, "####################", 20 - bar, "",
                   static_cast<long long>(r.step), static_cast<long long>(r.steps), r.loss, rate, in_data, clock(left).c_str());
    else if (r.step % (10 * log_every) == 0 || r.step == r.steps)
      std::fprintf(stderr, "step %lld/%lld  loss %.4f  lr %.2e  %.0f img/s  data %.0f %%  ETA %s\n", static_cast<long long>(r.step), static_cast<long long>(r.steps), r.loss,
                   r.lr, rate, in_data, clock(left).c_str());
  };
  watch.note = [&](const std::string& text) { std::fprintf(stderr, "%sgraft: %s\n", terminal ? "\r\033[K" : "", text.c_str()); };
  watch.on_eval = [&](const EpochReport& r) {
    log << Json{{"step", r.step}, {"epoch", r.epoch}, {"test.accuracy", r.test.accuracy}, {"test.loss", r.test.loss}, {"best", r.best}}.dump() << std::endl;
    metrics << r.step << ',' << r.epoch << ",,," << r.test.accuracy << ',' << r.test.loss << std::endl;
    if (!c.quiet)
      std::fprintf(stderr, "%sepoch %lld  test accuracy %.4f  loss %.4f%s\n", terminal ? "\r\033[K" : "", static_cast<long long>(r.epoch), r.test.accuracy, r.test.loss,
                   r.best ? "  (best)" : "");
  };
  watch.save = [&](std::int64_t step, bool is_best) {
    char id[32];
    std::snprintf(id, sizeof id, "step-%08lld", static_cast<long long>(step));
    const fs::path checkpoints = folder / "checkpoints";
    save_checkpoint((checkpoints / id).string(), built.params, config, step);
    const std::string before = last;
    last = id;
    point(checkpoints / "last", last);
    if (is_best || best.empty()) {
      if (!best.empty() && best != last && best != before) fs::remove_all(checkpoints / best);
      best = last;
      point(checkpoints / "best", best);
    }
    if (!before.empty() && before != best && before != last) fs::remove_all(checkpoints / before);
  };
  watch.stop = [&] {
    if (limit > 0 && elapsed >= limit) timed_out = true;
    return timed_out || interrupted();
  };
  const TrainResult r = train(*built.model.module, built.params, config, data.train, data.test, watch);
  const std::string hash = weights_hash(named_tensors(built.params));
  const double rate = static_cast<double>(r.samples) / std::max(1e-9, r.seconds);
  // Both as objects and under the flat names that metrics.csv uses.
  Json report{{"verb", finetune ? "finetune" : "train"}, {"run", folder.string()}, {"test", {{"accuracy", r.accuracy}, {"loss", r.test_loss}}},
              {"train", {{"loss", r.loss}}}, {"test.accuracy", r.accuracy}, {"train.loss", r.loss}, {"best.accuracy", r.best_accuracy}, {"steps", r.steps},
              {"seconds", r.seconds}, {"samples_per_second", rate}, {"peak_rss_bytes", peak_rss_bytes()}, {"weights_hash", hash}, {"threads", current_queue().threads()}, {"replayed_steps", r.replayed}};
  if (!built.account.empty()) {
    Json import = Json::array();
    for (const auto& [tensor, how] : built.account) import.push_back({{"tensor", tensor}, {"how", how}});
    report["import"] = import;
  }
  write_atomically(folder / "report.json", report.dump(2) + "\n");
  if (c.json) std::printf("%s\n", report.dump(2).c_str());
  else if (!r.stopped)
    std::printf("test accuracy %.4f (best %.4f), last loss %.4f, %lld steps in %.1f s, %.0f images/s\nweights %s\ncheckpoint %s\n", r.accuracy, r.best_accuracy, r.loss,
                static_cast<long long>(r.steps), r.seconds, rate, hash.c_str(), (folder / "checkpoints/best").c_str());
  if (r.stopped) {
    std::fprintf(stderr, "graft: stopped after step %lld; the weights are in %s\n", static_cast<long long>(r.steps), (folder / "checkpoints/last").c_str());
    return timed_out ? static_cast<int>(Code::stopped) : 128 + interrupt_signal();
  }
  return 0;
}

void add_one(CLI::App& app, Action& run, const char* name, const char* text, bool finetune) {
  auto* sub = app.add_subcommand(name, text);
  auto c = std::make_shared<Common>();
  auto from = std::make_shared<std::string>(), max_time = std::make_shared<std::string>();
  add_common(*sub, *c);
  sub->add_option("--from", *from, "checkpoint: a .safetensors file or a folder with one (init.from)");
  sub->add_option("--max-time", *max_time, "stop after this much training, such as 30m, with a checkpoint; exit code 75");
  sub->callback([=, &run] { run = [=] { return train_verb(*c, *from, finetune, *max_time); }; });
}

}  // namespace

void add_train(CLI::App& app, Action& run) {
  add_one(app, run, "train", "train a recipe or FILE.toml; key=value overrides", false);
  add_one(app, run, "finetune", "train from a checkpoint; every tensor is accounted for", true);
}

}  // namespace graft::cli
