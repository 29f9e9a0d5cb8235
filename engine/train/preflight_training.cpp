// Does a step do what a step must: gradients for all, none left from before, weights that move, a loss that falls on one batch, and images
// it has not seen told better than by chance after some steps? And what will the run cost?
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/preflight_step.h"

namespace graft {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}
bool same(const Tensor& a, const Tensor& b, double factor = 1) {  // a == factor * b, to the last bit where the factor is a power of two
  NoGrad off;
  return all_true(eq(a, factor == 1 ? b : mul(b, factor))).item() != 0;
}
bool all_zero(const Tensor& x) {
  NoGrad off;
  return any_true(ne(x, Tensor::scalar(0, x.dtype()))).item() == 0;
}
// "fc1.weight, fc1.bias and 3 more"
std::string some(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 4;
  std::string s;
  for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) s += (i ? ", " : "") + names[i];
  return names.size() > kMost ? s + " and " + std::to_string(names.size() - kMost) + " more" : s;
}
std::string mib(std::int64_t bytes) { return std::to_string((bytes + (1 << 19)) >> 20) + " MiB"; }
std::string duration(double s) {
  char text[32];
  const auto whole = static_cast<long long>(s);
  if (s < 60) std::snprintf(text, sizeof text, "%.1f s", s);
  else std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

// What a few steps on one and the same batch make of the loss.
struct Course {
  std::vector<double> losses, seconds;
  double chance = 0;
  double start() const { return losses.front(); }
  double tail(double* deviation = nullptr) const {  // mean of the last quarter, at least two
    const std::size_t n = std::max<std::size_t>(2, losses.size() / 4), from = losses.size() > n ? losses.size() - n : 0;
    double sum = 0, squares = 0;
    for (std::size_t i = from; i < losses.size(); ++i) sum += losses[i];
    const double count = static_cast<double>(losses.size() - from), mean = sum / count;
    for (std::size_t i = from; i < losses.size(); ++i) squares += (losses[i] - mean) * (losses[i] - mean);
    if (deviation) *deviation = std::sqrt(squares / count);
    return mean;
  }
  // It left the scale of the task: not finite, or worse than the start by more than a model that knows nothing is worse than one that knows
  // all. Small steps cannot do that on the batch that they are computed from.
  bool burst() const {
    for (const double l : losses)
      if (!std::isfinite(l) || l > start() + chance) return true;
    return false;
  }
  // To a half, or, because dropout makes the loss waver, by two deviations of its last quarter.
  bool falls() const {
    double wavers = 0;
    const double end = tail(&wavers);
    return !burst() && (losses.back() < start() / 2 || end + 2 * wavers < start());
  }
};
Course one_batch(const Rig& rig, const Kept& kept, const Batch& batch, double scale, int steps) {
  kept.restore();
  kept.forget_gradients();
  Course c;
  c.chance = std::log(static_cast<double>(rig.classes));
  const Rig::Step step = rig.start(scale);
  for (int k = 0; k < steps; ++k) {
    const double before = now();
    c.losses.push_back(step(batch, k));
    c.seconds.push_back(now() - before);
    if (c.burst() || c.losses.back() < c.start() / 2) break;  // both are clear
  }
  return c;
}

struct Training {
  const Rig& rig;
  const DataVerdict& data;
  const Kept& kept;
  bool full;
  std::vector<Finding>& out;
  Batch batch;
  double step_seconds = 0, forward_seconds = 0;
  std::int64_t step_bytes = 0, lasting_bytes = 0,
               forward_bytes = 0;  // for the batch: memory of a step, of that what stays, of an evaluation

  void say(Level level, const char* check, const std::string& text) { out.push_back({level, check, text}); }
  bool trained(const Parameter& p) const { return p.trainable && p.tensor.requires_grad(); }

  // A layer that was drawn and never learns makes noise of everything before it.
  void frozen() {
    std::map<std::string, bool> drawn;
    for (const ParamSource& s : rig.params.sources()) drawn[s.name] = s.how != ParamSource::How::loaded;
    std::vector<std::string> names;
    std::int64_t trainable = 0;
    for (const Parameter& p : rig.params.all()) {
      trainable += trained(p);
      if (p.trainable && !p.tensor.requires_grad() && drawn[p.name]) names.push_back(p.name);
    }
    if (!names.empty() && trainable > 0)
      say(Level::fail, "gradients",
          some(names) + (names.size() == 1 ? " is" : " are") +
              " frozen but newly drawn: random for ever; freeze only what comes from a checkpoint (init.freeze)");
  }

  std::vector<std::size_t> without_gradient(const Batch& b) {
    std::vector<std::size_t> missing;
    Tensors leaves;
    std::vector<std::size_t> places;
    bool any = false;
    for (std::size_t i = 0; i < rig.params.all().size(); ++i)
      if (const Parameter& p = rig.params.all()[i]; trained(p)) {
        leaves.push_back(p.tensor), places.push_back(i);
        any = any || p.tensor.grad().defined();
      }
    Tensors asked;
    if (!any && !leaves.empty()) {  // a step that clears them at its end: they are computed here
      EnableGrad on;
      Run run{true, {0, stream_of("preflight"), 0}};
      const Tensor loss = cross_entropy(rig.forward(b.images, run), b.labels);
      if (loss.requires_grad()) asked = graft::gradients(loss, leaves);
    }
    for (std::size_t k = 0; k < leaves.size(); ++k)
      if (any ? !leaves[k].grad().defined() : asked.empty() || !asked[k].defined()) missing.push_back(places[k]);
    return missing;
  }

  // Two first steps from the same weights with one optimizer: gradients that differ come from the step before. Returns whether steps can be
  // trusted.
  bool steps() {
    frozen();
    Allocator& memory = Allocator::of(current_queue().device());
    const auto footprint = [&] { return memory.stats().in_use + memory.stats().cached; };
    kept.restore();
    kept.forget_gradients();
    memory.trim();
    std::int64_t before = footprint();
    {
      NoGrad off;
      Run run;
      const double t = now();
      rig.forward(batch.images, run).values();
      forward_seconds = now() - t;
    }
    forward_bytes = footprint() - before;
    memory.trim();
    before = footprint();
    const Rig::Step step = rig.start(1);
    const double first = step(batch, 0);
    step_bytes = footprint() - before;
    lasting_bytes = memory.stats().in_use - before;
    if (!std::isfinite(first)) {
      say(Level::fail, "updates",
          "the loss of the first step is not finite; look at the inputs, the weights it starts from and train.dtype");
      return false;
    }
    const auto& all = rig.params.all();
    const std::vector<std::size_t> missing = without_gradient(batch);
    Tensors once;
    for (const Parameter& p : all) {
      NoGrad off;
      once.push_back(p.tensor.grad().defined() ? clone(p.tensor.grad().detach()).detach() : Tensor());
    }
    kept.restore();
    step(batch, 0);
    bool repeats = true, doubled = true, any = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Tensor g = all[i].tensor.grad();
      if (!g.defined() || !once[i].defined() || all_zero(once[i])) continue;
      any = true;
      repeats = repeats && same(g, once[i]);
      doubled = doubled && same(g, once[i], 2);
    }

    if (missing.size() == rig.params.trainable().size()) {
      say(Level::fail, "gradients",
          "no gradient reaches any parameter: the loss is not connected to them (detach, NoGrad, or backward is not called)");
      return false;
    }
    std::vector<std::string> names;
    for (const std::size_t i : missing) names.push_back(all[i].name);
    if (!names.empty())
      say(Level::fail, "gradients",
          "no gradient reaches " + some(names) +
              ": the tape is cut after it (detach, NoGrad, values()), or the forward does not use it; it would never train");

    // Weights, after some more steps: an update may be smaller than what bf16 can show.
    kept.restore();
    for (int k = 0; k < 3; ++k) step(batch, k);
    std::vector<std::string> still, strayed, dead;
    std::size_t moved = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool learns = trained(all[i]);
      if (!learns && !all[i].trainable) continue;  // running statistics
      const bool went = kept.moved(i);
      moved += learns && went;
      if (learns && !went && once[i].defined() && !all_zero(once[i])) still.push_back(all[i].name);
      if (!learns && went) strayed.push_back(all[i].name);
      if (const Tensor g = all[i].tensor.grad(); learns && g.defined() && once[i].defined() && all_zero(once[i]) && all_zero(g))
        dead.push_back(all[i].name);
    }
    if (!strayed.empty()) say(Level::fail, "updates", some(strayed) + " is frozen but moves; the optimizer must not have it");
    if (moved == 0) {
      say(Level::fail, "updates",
          rig.lr == 0 ? "no weight moves: the learning rate is 0; set optim.lr"
                      : "no weight moves although gradients come: the optimizer updates other tensors (a copy of the parameters), its step "
                        "is not called, or the "
                        "learning rate is too small for the weights' format");
      return false;
    }
    if (!still.empty()) say(Level::fail, "updates", some(still) + " has a gradient but does not move: the optimizer was not given it");
    if (any && doubled) {
      say(Level::fail, "updates",
          "the gradient of a second step is exactly twice that of the first: gradients add up from step to step; call zero_grad before "
          "backward");
      return false;
    }
    if (!dead.empty())
      say(Level::warn, "gradients",
          "the gradient of " + some(dead) +
              " is exactly zero in the first steps: dead activations before it, or a product with zero after it");
    if (any && !repeats)
      say(Level::warn, "updates",
          "two steps from the same weights on the same batch have other gradients: the step keeps something, or draws random numbers that "
          "are no function of (seed, step)");
    if (missing.empty() && dead.empty())
      say(Level::ok, "gradients", "reach all " + std::to_string(rig.params.trainable().size()) + " trainable tensors");
    if (strayed.empty() && still.empty() && repeats)
      say(Level::ok, "updates", "weights move, frozen ones stay, nothing is left from step to step");
    return true;
  }

  // Returns whether the learning rate is one to train with.
  bool fits_one_batch() {
    const int steps = full ? 40 : 8;
    const Course c = one_batch(rig, kept, batch, 1, steps);
    step_seconds = median({c.seconds.begin() + (c.seconds.size() > 2 ? 1 : 0), c.seconds.end()});
    const std::string what = "one batch over and over: loss " + decimals(c.start()) + " to " + decimals(c.losses.back()) + " in " +
                             std::to_string(c.losses.size()) + " steps";
    if (c.falls()) {
      say(Level::ok, "one batch", what);
      return true;
    }
    if (!data.scaled) return false;  // a rate fits inputs of deviation 1; said already
    if (!full && !c.burst()) {
      say(Level::ok, "one batch", what + "; whether it falls shows later");
      return true;
    }
    for (const double scale : {0.1, 0.01, 0.001})
      if (const Course lower = one_batch(rig, kept, batch, scale, 12); lower.falls()) {
        say(Level::fail, "one batch",
            what + "; at " + decimals(rig.lr * scale) + " it falls: the learning rate " + decimals(rig.lr) +
                " is too high; lower optim.lr or raise schedule.warmup");
        return false;
      }
    if (!c.burst())
      for (const double scale : {10.0, 100.0})
        if (const Course higher = one_batch(rig, kept, batch, scale, 12); higher.falls()) {
          say(Level::warn, "one batch",
              what + "; at " + decimals(rig.lr * scale) + " it falls: the learning rate " + decimals(rig.lr) + " may be too small");
          return false;
        }
    say(Level::fail, "one batch",
        what +
            ", nor does it fall at other learning rates: the gradient is not that of this loss; look at the loss function and the model");
    return false;
  }

  // Where the model cannot be asked, the neighbours' word stands alone.
  void unsaid() {
    if (!data.signal)
      say(Level::warn, "signal", "neighbouring images do not share labels more than by chance; look at some pairs of image and label");
  }

  // Some steps on some batches; then images of the training set that were in none of them.
  void learns() {
    const std::int64_t batches = rig.train.batches, seen = std::min<std::int64_t>(48, batches * 3 / 4);
    if (seen < 1) return unsaid();
    kept.restore();
    kept.forget_gradients();
    const Rig::Step step = rig.start(1);
    for (int k = 0; k < 48; ++k)
      if (!std::isfinite(step(rig.train_batch(k % seen), k)))
        return say(Level::fail, "learning", "the loss is not finite after " + std::to_string(k + 1) + " steps; lower optim.lr");
    NoGrad off;
    std::vector<std::int64_t> guess, truth;
    for (std::int64_t i = seen; i < batches && guess.size() < 1024; ++i) {
      const Batch b = rig.train.batch(i).to(current_queue().device());
      Run run;
      for (const std::int64_t g : argmax(rig.forward(b.images, run), 1).host<std::int64_t>()) guess.push_back(g);
      for (const std::int64_t l : b.labels.host<std::int64_t>()) truth.push_back(l);
    }
    const Agreement a = agreement(guess, truth);
    const std::string what = std::to_string(a.hits) + " of " + std::to_string(a.samples) +
                             " held-out images right after 48 steps, chance " + decimals(a.expected);
    if (a.seen()) say(Level::ok, "learning", what);
    else if (!data.signal)
      say(Level::fail, "signal",
          "labels look shuffled: neither do neighbouring images share them, nor does the model learn them: " + what +
              "; look at how images and labels are put together");
    else if (a.telling())
      say(Level::warn, "learning",
          what +
              ": nothing general is learned yet, though similar images share labels; look at the learning rate and at what the model sees");
    else say(Level::ok, "learning", what + ": too few to tell");
  }

  void augmentation() {
    const auto moments = [](const Tensor& x, double& mean, double& deviation) {
      NoGrad off;
      mean = graft::mean(x).item();
      deviation = std::sqrt(graft::mean(square(sub(x, mean))).item());
    };
    double m0 = 0, d0 = 0, m1 = 0, d1 = 0;
    const Tensor plain = rig.train.batch(0).images, trained = batch.images.to({});
    if (!(plain.shape() == trained.shape()))
      return say(Level::ok, "augmentation", "trained on " + trained.str() + ", judged on " + plain.str());
    moments(plain, m0, d0), moments(trained, m1, d1);
    // One deviation takes the middle of the range to its edge, twice the deviation is four times the power: augmentation does not do that,
    // another normalisation does.
    const bool off = std::abs(m1 - m0) > d0 || d1 > 2 * d0 || d1 < d0 / 2;
    const std::string what =
        "mean " + decimals(m1) + ", deviation " + decimals(d1) + " in training, " + decimals(m0) + ", " + decimals(d0) + " in evaluation";
    say(off ? Level::warn : Level::ok, "augmentation", off ? what + ": the two are not normalised alike" : what);
  }

  void cost() {
    const MemoryStats m = Allocator::of(current_queue().device()).stats();
    const double per_image = 1 / static_cast<double>(batch.images.size(0));
    const std::int64_t eval_images =
        std::min(rig.eval_batch > 0 ? rig.eval_batch : batch.images.size(0), std::max<std::int64_t>(1, rig.validation.size()));
    const auto evaluation =
        static_cast<std::int64_t>(static_cast<double>(forward_bytes + batch.images.bytes()) * per_image * static_cast<double>(eval_images));
    const std::int64_t forecast = m.in_use - kept.bytes() + lasting_bytes + std::max(step_bytes - lasting_bytes, evaluation);
    const bool host = current_queue().device().kind != DeviceKind::cuda;
    const std::int64_t limit = m.limit > 0 ? m.limit
                               : host      ? static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE)
                                           : 0;
    const std::string what = "about " + mib(forecast) + " for tensors" + (limit > 0 ? " of " + mib(limit) : "") + ": a step takes " +
                             mib(step_bytes) + ", an evaluation " + mib(evaluation);
    if (limit > 0 && forecast > limit)
      say(Level::fail, "memory",
          what + "; lower " + (evaluation > step_bytes - lasting_bytes ? "train.eval_batch" : "train.batch, or raise train.accumulate"));
    else say(Level::ok, "memory", what);

    std::vector<double> times;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(5, rig.train.batches); ++i) {
      const double before = now();
      rig.train_batch(i);
      times.push_back(now() - before);
    }
    const double load = median(times), share = 100 * load / std::max(1e-9, load + step_seconds);
    char text[96];
    std::snprintf(text, sizeof text, "a batch is made in %.2f ms, a step takes %.2f ms: %.0f %% of the time", 1e3 * load,
                  1e3 * step_seconds, share);
    // What costs less than a minute in all is nobody's trouble.
    if (load > step_seconds && (rig.steps == 0 || static_cast<double>(rig.steps) * load > 60))
      say(Level::warn, "loader",
          std::string(text) + "; most of the run waits for data: more --threads, less augmentation, or smaller pictures on disk");
    else say(Level::ok, "loader", text);
    if (rig.steps == 0) return;
    const double training = static_cast<double>(rig.steps) * (step_seconds + load);
    const double judging =
        static_cast<double>(rig.evaluations) * static_cast<double>(rig.validation.size()) * (forward_seconds + load) * per_image;
    say(Level::ok, "time", std::to_string(rig.steps) + " steps in about " + duration(training) + ", evaluations " + duration(judging));
  }
};

}  // namespace

void check_training(const Rig& rig, const DataVerdict& data, const Kept& kept, bool full, std::vector<Finding>& out) {
  Training t{rig, data, kept, full, out, rig.train_batch(0)};
  const bool sound = t.steps() && t.fits_one_batch();
  if (full && sound) t.learns();
  else if (full) t.unsaid();
  if (full) t.augmentation();
  if (sound) t.cost();
}

}  // namespace graft
