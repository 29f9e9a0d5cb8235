// graft demo: no file, no network. A CNN learns drawn digits; its checkpoint then learns drawn letters from 10 images of each, beside the same
// network from scratch. The answer to "from scratch or from a checkpoint?" for this small case.
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "cli/run_folder.h"
#include "engine/train/trainer.h"
#include "weights/hash.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

struct Outcome {
  double accuracy = 0, seconds = 0;
  std::int64_t steps = 0;
  std::string hash;
};
Outcome train_one(const Config& wanted, const Data& data, const std::string& title, const std::string& save_to, const Common& c) {
  const Config config = settled(wanted, data.train);
  Built built = build_model(config, data.train);
  Watch watch;
  watch.on_step = [&](const StepReport& r) {
    if (c.quiet || (r.step % 50 && r.step != r.steps) || !isatty(2)) return;
    std::fprintf(stderr, "\r\033[K%s  %lld/%lld  loss %.4f", title.c_str(), static_cast<long long>(r.step), static_cast<long long>(r.steps), r.loss);
  };
  watch.save = [&](const TrainState& state, bool best) {
    if (best && !save_to.empty()) save_checkpoint(save_to, built, config, state.step);
  };
  watch.stop = interrupted;
  const TrainResult r = train(*built.model.module, built.params, config, data.train, data.test, watch);
  if (r.stopped) throw Error(Code::stopped, "demo: stopped");
  if (!c.quiet)
    std::fprintf(stderr, "%s%s: test accuracy %.4f after %lld steps, %.1f s\n", isatty(2) ? "\r\033[K" : "", title.c_str(), r.best_accuracy, static_cast<long long>(r.steps), r.seconds);
  return {r.best_accuracy, r.seconds, r.steps, weights_hash(named_tensors(built.params))};
}

int demo_verb(const Common& c) {
  Session session(c);
  watch_signals();
  const fs::path folder = new_run_folder(c.out, "demo");
  const std::string seed = std::to_string(c.seed.value_or(1)), checkpoint = (folder / "digits").string();

  Config digits = Config::recipe("digits-cnn");
  for (const char* s : {"data.train_count=8000", "data.test_count=1000", "train.epochs=2"}) digits.set(s);
  digits.set("train.seed=" + seed, Origin::flag("--seed"));
  const Outcome first = train_one(digits, load_data(digits, {true, true}), "digits, from scratch", checkpoint, c);

  Config letters = Config::recipe("letters-cnn");
  for (const char* s : {"data.per_class=10", "data.train_count=2600", "data.test_count=1300", "train.steps=300", "train.batch=32", "eval.every=1000"}) letters.set(s);
  letters.set("train.seed=" + seed, Origin::flag("--seed"));
  const Data task = load_data(letters, {true, true});
  const Outcome scratch = train_one(letters, task, "letters (10 of each), from scratch", "", c);
  letters.set("init.from=" + checkpoint, Origin::flag("--from"));
  const Outcome tuned = train_one(letters, task, "letters (10 of each), from the digits", (folder / "letters").string(), c);

  if (c.json) {
    const auto one = [](const Outcome& o) { return Json{{"accuracy", o.accuracy}, {"seconds", o.seconds}, {"steps", o.steps}, {"weights_hash", o.hash}}; };
    std::printf("%s\n", Json{{"verb", "demo"}, {"digits", one(first)}, {"letters", {{"scratch", one(scratch)}, {"finetuned", one(tuned)}, {"difference", tuned.accuracy - scratch.accuracy}}}}
                            .dump(2).c_str());
    return 0;
  }
  std::printf("\ndigits, 8000 images, from scratch      %.4f\n", first.accuracy);
  std::printf("letters, 10 of each, from scratch      %.4f\n", scratch.accuracy);
  std::printf("letters, 10 of each, fine-tuned        %.4f\n", tuned.accuracy);
  std::printf("difference                            %+.4f\n", tuned.accuracy - scratch.accuracy);
  std::printf("checkpoints in %s\n", folder.c_str());
  return 0;
}

}  // namespace

void add_demo(CLI::App& app, Action& run) {
  auto* sub = app.add_subcommand("demo", "learn drawn digits, then letters from 10 images of each: from scratch and from the checkpoint");
  auto c = std::make_shared<Common>();
  sub->add_option("--seed", c->seed, "seed (default 1)");
  sub->add_option("--threads", c->threads, "threads on the CPU");
  sub->add_option("-o,--out", c->out, "folder for the checkpoints (default runs/demo-k)");
  sub->add_flag("--json", c->json, "one JSON document on stdout");
  sub->add_flag("-q,--quiet", c->quiet, "no progress");
  sub->callback([=, &run] { run = [=] { return demo_verb(*c); }; });
}

}  // namespace graft::cli
