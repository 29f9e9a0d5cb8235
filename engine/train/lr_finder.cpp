#include "engine/train/lr_finder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/data/feed.h"
#include "engine/train/input.h"
#include "engine/train/step.h"

namespace graft {
namespace {

constexpr std::size_t kLeast = 8;  // points of a curve
std::size_t half_width(std::size_t n) { return std::max<std::size_t>(2, n / 24); }

// Slope of y over x around i, by least squares.
double slope(const std::vector<double>& x, const std::vector<double>& y, std::size_t from, std::size_t to) {
  const double n = static_cast<double>(to - from);
  double mx = 0, my = 0, xy = 0, xx = 0;
  for (std::size_t i = from; i < to; ++i) mx += x[i] / n, my += y[i] / n;
  for (std::size_t i = from; i < to; ++i) xy += (x[i] - mx) * (y[i] - my), xx += (x[i] - mx) * (x[i] - mx);
  return xx > 0 ? xy / xx : 0;
}

}  // namespace

LrCurve lr_curve(std::vector<double> lr, std::vector<double> loss) {
  const std::size_t n = lr.size();
  if (n != loss.size() || n < kLeast)
    throw Error(Code::usage, "learning-rate curve: " + std::to_string(n) + " rates and " + std::to_string(loss.size()) +
                                 " losses; at least 8 of both are wanted");
  LrCurve c{std::move(lr), std::move(loss), {}, false, {}};
  const std::size_t w = half_width(n);
  const auto around = [&](std::size_t i) { return std::pair{i > w ? i - w : 0, std::min(n, i + w + 1)}; };
  for (std::size_t i = 0; i < n; ++i) {
    const auto [from, to] = around(i);
    double sum = 0;
    for (std::size_t k = from; k < to; ++k) sum += c.loss[k];
    c.smoothed.push_back(sum / static_cast<double>(to - from));
  }
  const std::size_t lowest = static_cast<std::size_t>(std::min_element(c.smoothed.begin(), c.smoothed.end()) - c.smoothed.begin());
  const double start = c.smoothed[0], fall = start - c.smoothed[lowest];
  double squares = 0;
  for (std::size_t i = 0; i <= lowest; ++i) squares += (c.loss[i] - c.smoothed[i]) * (c.loss[i] - c.smoothed[i]);
  const double error = std::sqrt(squares / static_cast<double>(lowest + 1) / static_cast<double>(2 * w + 1));
  if (lowest < 2 || !(fall > 5 * error)) return c;

  std::vector<double> x;
  for (const double r : c.lr) x.push_back(std::log(r));
  std::size_t steepest = 0;
  double most = 0;
  for (std::size_t i = 1; i < lowest; ++i) {
    const auto [from, to] = around(i);
    if (const double s = slope(x, c.smoothed, from, std::min(to, lowest + 1)); s < most) most = s, steepest = i;
  }
  std::size_t begins = 0;
  while (begins < lowest && c.smoothed[begins] > start - 0.1 * fall) ++begins;
  c.suggestion = {c.lr[steepest], c.lr[std::min(begins, steepest)], c.lr[lowest]};
  return c;
}

LrCurve find_lr(const Module& model, const Params& params, const Config& c, const Dataset& train_set, const LrFinderOptions& o,
                const std::function<bool()>& stop) {
  if (!(o.low > 0) || !(o.low < o.high) || !std::isfinite(o.high) || o.steps < static_cast<std::int64_t>(kLeast))
    throw Error(Code::usage, "learning-rate finder: the rates must rise from above 0, in at least 8 steps");
  const Loader loader(train_set, training_options(c));
  Optimizer optimizer = make_optimizer(c, params);
  if (optimizer.parameters().empty()) throw Error(Code::usage, "every parameter is frozen; look at init.freeze");
  const double base = c.get<double>("optim.lr");

  Feed feed(loader, current_queue());
  TrainStep one(model, optimizer, nullptr, step_options(c));
  std::vector<double> lr, loss;
  bool exploded = false;
  double lowest = 0;
  for (std::int64_t step = 0; step < o.steps; ++step) {
    const double rate = o.low * std::pow(o.high / o.low, static_cast<double>(step) / static_cast<double>(o.steps - 1));
    one.run(feed.get(step / loader.batches(), step % loader.batches()), step, rate / base, [&] {
      if (step + 1 < o.steps) feed.prefetch((step + 1) / loader.batches(), (step + 1) % loader.batches());
    });
    const double now = one.loss();
    exploded = !one.finite() || !std::isfinite(now);
    if (exploded) break;
    lr.push_back(rate), loss.push_back(now);
    const std::size_t w = half_width(static_cast<std::size_t>(o.steps));
    if (loss.size() >= w) {
      double mean = 0;
      for (std::size_t i = loss.size() - w; i < loss.size(); ++i) mean += loss[i] / static_cast<double>(w);
      if (loss.size() == w || mean < lowest) lowest = mean;
      exploded = mean > o.explode * lowest;
      if (exploded) break;
    }
    if (stop && stop()) break;
  }
  if (exploded && loss.size() < kLeast)
    throw Error(Code::diverged, "learning-rate finder: the loss explodes at step " + std::to_string(loss.size() + 1) + ", at a rate of " +
                                    std::to_string(o.low) + "; look at the images and data.normalize");
  if (loss.size() < kLeast) return {std::move(lr), loss, loss, false, {}};  // stopped
  LrCurve curve = lr_curve(std::move(lr), std::move(loss));
  curve.exploded = exploded;
  return curve;
}

}  // namespace graft
