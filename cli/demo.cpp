// graft demo: no file, no network, under three minutes on two cores. A CNN learns drawn digits; letters are then learned from 10 images of
// each, from scratch and from the digits' checkpoint, with several seeds and an interval; the kernels that did it are held against this
// machine's roofline. One page shows all of it.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "cli/compare.h"
#include "cli/experiment.h"
#include "cli/lab.h"
#include "cli/page.h"
#include "cli/run_folder.h"
#include "engine/base/file.h"
#include "engine/train/input.h"
#include "engine/train/trainer.h"
#include "weights/hash.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Digits {
  double accuracy = 0, seconds = 0, images_per_second = 0;
  std::int64_t steps = 0, images = 0, judged = 0;
  std::string hash;
  std::vector<PlotPoint> losses;
  Dataset seen;  // some of what was learned from, to show
};
Digits learn_digits(const std::string& seed, const fs::path& checkpoint, const Common& c) {
  Config config = Config::recipe("digits-cnn");
  for (const char* s : {"data.train_count=8000", "data.test_count=1000", "data.validation=0", "train.epochs=2", "eval.test=false"})
    config.set(s);
  config.set("train.seed=" + seed, Origin::flag("--seed"));
  const Data data = load_data(config, {true, true});
  config = settled(std::move(config), data.train);
  const Built built = build_model(config, data.train);
  Digits d;
  Watch watch;
  watch.on_step = [&](const StepReport& r) {
    if (r.step % 5 == 0) d.losses.push_back({static_cast<double>(r.step), r.loss});
    if (c.quiet || !isatty(2) || (r.step % 25 && r.step != r.steps)) return;
    std::fprintf(stderr, "\r\033[Kdigits, from scratch: step %lld of %lld, loss %.4f", static_cast<long long>(r.step),
                 static_cast<long long>(r.steps), r.loss);
  };
  watch.save = [&](const TrainState& state, bool) {
    if (state.step > 0) save_checkpoint(checkpoint, built, config, state.step);
  };
  watch.stop = interrupted;
  const TrainResult r = train(*built.model.module, built.params, config, data.train, {}, watch);
  if (r.stopped) throw stopped_within("the digits' network", data.train);
  const Evaluation e = evaluate(*built.model.module, Loader(data.test, judging_options(config)));
  d.accuracy = e.accuracy, d.seconds = r.seconds, d.steps = r.steps, d.images = data.train.size(), d.judged = e.images;
  d.images_per_second = static_cast<double>(r.samples) / r.seconds;
  d.hash = weights_hash(named_tensors(built.params));
  d.seen = take_first(data.train, 20);
  if (!c.quiet)
    std::fprintf(stderr, "%sdigits, from scratch: test accuracy %.4f after %lld steps, %.1f s\n", isatty(2) ? "\r\033[K" : "", d.accuracy,
                 static_cast<long long>(d.steps), d.seconds);
  return d;
}

Comparison learn_letters(const std::string& seed, const fs::path& checkpoint, const Common& c, Dataset& seen) {
  Config config = Config::recipe("letters-cnn");
  for (const char* s : {"data.train_count=2600", "data.test_count=1300", "train.batch=32", "eval.test=false"}) config.set(s);
  config.set("train.seed=" + seed, Origin::flag("--seed"));
  only_the_end(config, "demo");
  const Data data = load_data(config, {true, true});
  config = settled(std::move(config), data.train);
  Comparison all;
  all.recipe = "letters-cnn", all.from = checkpoint.string(), all.budget = "150st", all.baseline = "scratch", all.command = command_line();
  all.seeds = 3, all.tune = 1, all.test_images = data.test.size();
  all.arms = {"scratch", "probe", "full"};
  const Experiment experiment(config, checkpoint.string(), {Budget::Kind::steps, 150});
  SizeResult size;
  size.fraction = 0.1, size.images = 260;
  for (const std::string& arm : all.arms) size.arms.push_back({arm, {}, {}, experiment.lr(), 0, 0, 0, {}, {}});
  for (std::int64_t s = 0; s < all.seeds; ++s) {
    const std::uint64_t own = experiment.seed() + static_cast<std::uint64_t>(s);
    const Dataset few = per_class(data.train, 10, own);
    if (s == 0) seen = take_first(few, 26);
    for (ArmResult& a : size.arms) {
      const Trained one = experiment.run(a.arm, few, data.test, a.lr, own);
      a.right.push_back(right_of(one.predictions, data.test));
      a.accuracy.push_back(share(a.right.back()));
      a.seconds += one.seconds / static_cast<double>(all.seeds), a.flops += one.flops / static_cast<double>(all.seeds), a.steps = one.steps;
      if (!c.quiet)
        std::fprintf(stderr, "letters, 10 of each, %s, seed %lld: test accuracy %.4f\n",
                     a.arm == "scratch" ? "from scratch"
                     : a.arm == "probe" ? "a last layer on the digits' features"
                                        : "all of the digits' network",
                     static_cast<long long>(s + 1), a.accuracy.back());
    }
  }
  for (ArmResult& a : size.arms)
    if (a.arm != all.baseline) a.gain = paired_bootstrap(differences(a.right, size.arms[0].right));
  all.sizes.push_back(std::move(size));
  return all;
}

std::string roofline_html(const lab::Document& d) {
  std::string s = "<h2>The kernels behind it, on this machine: " + escaped(d.machine.device) + ", " + std::to_string(d.threads) +
                  " threads, " + number("%.0f GFLOP/s", d.flops_f32 * 1e-9) +
                  " f32</h2><div class=\"scroll\"><table><tr><th class=\"t\">kernel</th><th "
                  "class=\"t\">shape</th><th>time</th><th>GFLOP/s</th><th>GB/s</th><th>of the roofline</th></tr>";
  for (const lab::Result& r : d.rows) {
    s += "<tr><td class=\"t\">" + escaped(r.family + "/" + r.variant) + "</td><td class=\"t\">" + escaped(r.shape) + "</td>";
    if (!r.caught.empty()) {
      s += "<td class=\"t\" colspan=\"4\">" + escaped(r.caught) + "</td></tr>";
      continue;
    }
    s += "<td>" + number("%.3g ms", r.median * 1e3) + "</td><td>" + number("%.1f", r.flops_rate * 1e-9) + "</td><td>" +
         number("%.1f", r.bytes_rate * 1e-9) + "</td><td>" + (r.of_roofline ? number("%.0f %%", 100 * *r.of_roofline) : std::string()) +
         "</td></tr>";
  }
  return s + "</table></div>";
}
std::string sheet(const Dataset& d) {
  std::string s = "<div class=\"sheet\">";
  for (std::int64_t i = 0; i < d.size(); ++i) s += thumbnail(d.image(i));
  return s + "</div>";
}

int demo_verb(const Common& c) {
  Session session(c);
  watch_signals();
  const double begun = now();
  NewRun run(c.out, "demo");
  const fs::path &folder = run.path(), checkpoint = folder / "digits";
  const std::string seed = std::to_string(c.seed.value_or(1));
  const Digits digits = learn_digits(seed, checkpoint, c);
  Dataset letters_seen;
  const Comparison letters = learn_letters(seed, checkpoint, c, letters_seen);
  const lab::Document kernels = quick_bench({"matmul", "conv", "pool", "softmax", "bias_act", "optim"}, 0.1);
  const double seconds = now() - begun;

  std::string page =
      page_head("graft demo") + "<p class=\"quiet\">computed here in " + number("%.0f s", seconds) +
      ", without a file and without a network</p><h2>Drawn digits, from scratch: " + number("%.1f %%", 100 * digits.accuracy) + " of " +
      std::to_string(digits.judged) + " new images after " + number("%.1f s", digits.seconds) + "</h2>" + sheet(digits.seen) +
      plot({{"training loss", digits.losses, 2}}, {"step"}) +
      "<h2>Drawn letters, 10 images of each: from scratch, or from the digits?</h2>" + sheet(letters_seen) +
      "<div class=\"scroll\"><table><tr><th class=\"t\">route</th><th>accuracy</th><th>gained over scratch (95 %)</th><th "
      "class=\"t\">verdict</th><th>seconds</th></tr>";
  for (const ArmResult& a : letters.sizes[0].arms) {
    const std::string verdict = a.gain ? a.gain->verdict() : "";
    page += "<tr><td class=\"t\">" + escaped(a.arm) + "</td><td>" + number("%.1f %%", 100 * a.mean()) + "</td><td>" +
            (a.gain ? number("%+.1f", 100 * a.gain->mean) + " [" + number("%+.1f", 100 * a.gain->low) + ", " +
                          number("%+.1f", 100 * a.gain->high) + "]"
                    : std::string()) +
            "</td><td class=\"t " + verdict + "\">" + verdict + "</td><td>" + number("%.1f", a.seconds) + "</td></tr>";
  }
  page += "</table></div>" + roofline_html(kernels) + "<p class=\"quiet\"><code>" + escaped(command_line()) + "</code></p></html>\n";
  write_atomically(folder / "report.html", page);
  const Json arms = comparison_json(letters)["rows"];
  const Json report{{"verb", "demo"},
                    {"run", folder.string()},
                    {"seconds", seconds},
                    {"digits",
                     {{"accuracy", digits.accuracy},
                      {"seconds", digits.seconds},
                      {"steps", digits.steps},
                      {"samples_per_second", digits.images_per_second},
                      {"weights_hash", digits.hash}}},
                    {"letters", arms},
                    {"kernels", lab::json_of(kernels)}};
  write_atomically(folder / "report.json", json_text(report) + "\n");
  run.keep();
  if (c.json) {
    print_json(report);
    return 0;
  }
  std::printf("\ndigits, %lld images, from scratch: %.1f %%, %.0f images/s\n", static_cast<long long>(digits.images), 100 * digits.accuracy,
              digits.images_per_second);
  std::printf("letters, 10 of each:\n");
  for (const ArmResult& a : letters.sizes[0].arms) {
    std::printf("  %-8s %5.1f %%", a.arm.c_str(), 100 * a.mean());
    if (a.gain)
      std::printf("   %+5.1f points [%+.1f, %+.1f] over scratch: %s", 100 * a.gain->mean, 100 * a.gain->low, 100 * a.gain->high,
                  a.gain->verdict().c_str());
    std::printf("\n");
  }
  std::printf("kernels, f32, share of this machine's roofline:\n");
  for (const lab::Result& r : kernels.rows)
    if (r.caught.empty() && r.of_roofline)
      std::printf("  %-34s %8.3g ms  %3.0f %%\n", (r.family + "/" + r.variant).c_str(), r.median * 1e3, 100 * *r.of_roofline);
  std::printf("%.0f s; all of it in %s\n", seconds, (folder / "report.html").c_str());
  return 0;
}

}  // namespace

void add_demo(const Verb& app) {
  const Verb sub =
      app.verb("demo", "learn drawn digits, then letters from 10 images of each, from scratch and from the checkpoint; ends with one page");
  auto c = std::make_shared<Common>();
  add_seed(sub, c->seed, "seed (default 1)");
  add_threads(sub, c->threads, "threads on the CPU");
  sub.option("-o,--out", c->out, "folder for the page and the checkpoint (default runs/demo-k)");
  sub.flag("--json", c->json, "one JSON document on stdout");
  sub.flag("-q,--quiet", c->quiet, "no progress");
  sub.does([=] { return unless_stopped([&] { return demo_verb(*c); }); });
}

}  // namespace graft::cli
