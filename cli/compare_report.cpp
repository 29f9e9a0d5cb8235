// A comparison as a table, as JSON and as a page with two plots: accuracy over images, and what is gained over the baseline with its
// interval.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/compare.h"
#include "cli/page.h"

namespace graft::cli {
namespace {

double points(double share) { return 100 * share; }
std::string seeds_text(const ArmResult& a) {
  if (a.accuracy.size() < 2) return "";
  const auto [low, high] = std::minmax_element(a.accuracy.begin(), a.accuracy.end());
  return number("%.2f", points(*low)) + " to " + number("%.2f", points(*high));
}
std::string gain_text(const Interval& g) {
  return number("%+.2f", points(g.mean)) + " [" + number("%+.2f", points(g.low)) + ", " + number("%+.2f", points(g.high)) + "]";
}
std::string flops_text(double f) {
  if (f >= 1e12) return number("%.3g TFLOP", f * 1e-12);
  return f >= 1e9 ? number("%.3g GFLOP", f * 1e-9) : number("%.3g MFLOP", f * 1e-6);
}
// What one point of accuracy over the baseline cost, where the gain is one.
bool gained(const ArmResult& a) { return a.gain && a.gain->low > 0; }
std::string cost_text(const ArmResult& a) {
  if (!gained(a)) return "";
  return number("%.3g s", a.seconds / points(a.gain->mean)) + ", " + flops_text(a.flops / points(a.gain->mean));
}

}  // namespace

double ArmResult::mean() const {
  double sum = 0;
  for (const double a : accuracy) sum += a;
  return accuracy.empty() ? 0 : sum / static_cast<double>(accuracy.size());
}

std::vector<Crossover> crossovers(const Comparison& c) {
  std::vector<Crossover> all;
  for (std::size_t k = 0; k < c.arms.size(); ++k) {
    if (c.arms[k] == c.baseline) continue;
    Crossover x;
    x.arm = c.arms[k];
    const auto gain = [&](std::size_t i) { return *c.sizes[i].arms[k].gain; };
    bool ever = false;
    for (std::size_t i = 0; i < c.sizes.size(); ++i) {
      ever |= gain(i).low > 0;
      if (i == 0 || !(gain(i - 1).mean > 0) || gain(i).mean > 0) continue;
      const double a = std::log(static_cast<double>(c.sizes[i - 1].images)), b = std::log(static_cast<double>(c.sizes[i].images));
      x.images = std::exp(a + (b - a) * gain(i - 1).mean / (gain(i - 1).mean - gain(i).mean));
    }
    const std::string most = std::to_string(c.sizes.back().images);
    if (!ever) x.images.reset(), x.text = "is better than " + c.baseline + " at no size";
    else if (x.images) x.text = "is ahead of " + c.baseline + " up to about " + number("%.0f", *x.images) + " images";
    else if (gain(c.sizes.size() - 1).low > 0)
      x.text = "is better than " + c.baseline + " up to " + most + " images; no crossover was seen";
    else x.text = "is better than " + c.baseline + " at some sizes; at " + most + " images there is no evidence";
    all.push_back(std::move(x));
  }
  return all;
}

std::string comparison_table(const Comparison& c) {
  std::string s = "test accuracy in percent on " + std::to_string(c.test_images) + " images, " + std::to_string(c.seeds) +
                  " seeds, budget " + c.budget + " per run; gains over " + c.baseline + " with 95 % intervals\n\n";
  char line[256];
  std::snprintf(line, sizeof line, "%8s  %-8s %9s  %-16s  %-24s %-12s %9s %7s %8s  %s\n", "images", "arm", "accuracy", "seeds", "gain",
                "verdict", "lr", "steps", "seconds", "cost of a point gained");
  s += line;
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms) {
      std::snprintf(line, sizeof line, "%8lld  %-8s %9.2f  %-16s  %-24s %-12s %9.2g %7lld %8.2f  %s\n", static_cast<long long>(z.images),
                    a.arm.c_str(), points(a.mean()), seeds_text(a).c_str(), a.gain ? gain_text(*a.gain).c_str() : "",
                    a.gain ? a.gain->verdict().c_str() : "", a.lr, static_cast<long long>(a.steps), a.seconds, cost_text(a).c_str());
      s += line;
    }
  s += '\n';
  for (const Crossover& x : crossovers(c)) s += x.arm + " " + x.text + "\n";
  return s;
}

Json comparison_json(const Comparison& c) {
  Json rows = Json::array(), cross = Json::array();
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms) {
      Json r{{"images", z.images}, {"fraction", z.fraction}, {"arm", a.arm},         {"accuracy", a.accuracy}, {"mean", a.mean()},
             {"lr", a.lr},         {"steps", a.steps},       {"seconds", a.seconds}, {"flops", a.flops}};
      if (a.gain) {
        r["gain"] = {
            {"over", c.baseline}, {"mean", a.gain->mean}, {"low", a.gain->low}, {"high", a.gain->high}, {"verdict", a.gain->verdict()}};
        r["seconds_per_point"] = gained(a) ? Json(a.seconds / points(a.gain->mean)) : Json();
        r["flops_per_point"] = gained(a) ? Json(a.flops / points(a.gain->mean)) : Json();
      }
      for (const auto& [lr, accuracy] : a.tuning) r["tuning"].push_back({{"lr", lr}, {"validation.accuracy", accuracy}});
      rows.push_back(std::move(r));
    }
  for (const Crossover& x : crossovers(c))
    cross.push_back({{"arm", x.arm}, {"images", x.images ? Json(*x.images) : Json()}, {"text", x.text}});
  return {{"verb", "compare"},      {"command", c.command}, {"recipe", c.recipe}, {"from", c.from},
          {"budget", c.budget},     {"seeds", c.seeds},     {"tune", c.tune},     {"test_images", c.test_images},
          {"baseline", c.baseline}, {"rows", rows},         {"crossover", cross}};
}

namespace {

// One series per arm over log(images). `value` gives middle, low and high of an arm in percent, or nothing.
template <class F>
std::string plot_arms(const Comparison& c, bool zero, F&& value) {
  std::vector<PlotSeries> all;
  for (std::size_t k = 0; k < c.arms.size(); ++k) {
    PlotSeries one{c.arms[k], {}, static_cast<int>(k)};
    for (const SizeResult& z : c.sizes)
      if (const std::optional<Interval> v = value(z.arms[k]))
        one.points.push_back({static_cast<double>(z.images), v->mean, v->low, v->high});
    all.push_back(std::move(one));
  }
  return plot(all, {"training images", true, zero, true});
}

}  // namespace

std::string comparison_html(const Comparison& c) {
  std::string s = page_head("From scratch or from a checkpoint?") + "<p class=\"quiet\">" + escaped(c.recipe) + " from " + escaped(c.from) +
                  ", budget " + escaped(c.budget) + " per run, " + std::to_string(c.seeds) + " seeds, " + std::to_string(c.tune) +
                  " learning rates for every arm, " + std::to_string(c.test_images) + " test images</p><ul>";
  for (const Crossover& x : crossovers(c)) s += "<li><b>" + escaped(x.arm) + "</b> " + escaped(x.text) + "</li>";
  s += "</ul><h2>Test accuracy, percent: mean and range of the seeds</h2>";
  s += plot_arms(c, false, [](const ArmResult& a) -> std::optional<Interval> {
    const auto [low, high] = std::minmax_element(a.accuracy.begin(), a.accuracy.end());
    return Interval{points(a.mean()), points(*low), points(*high)};
  });
  s += "<h2>Gained over " + escaped(c.baseline) + ", points: mean and 95 % interval (paired bootstrap over seeds and test images)</h2>";
  s += plot_arms(c, true, [](const ArmResult& a) -> std::optional<Interval> {
    if (!a.gain) return {};
    return Interval{points(a.gain->mean), points(a.gain->low), points(a.gain->high)};
  });
  s += "<h2>All runs</h2><div class=\"scroll\"><table><tr><th>images</th><th "
       "class=\"t\">arm</th><th>accuracy</th><th>seeds</th><th>gain</th><th class=\"t\">verdict</th>"
       "<th>learning rate</th><th>steps</th><th>seconds</th><th>operations</th><th>a point cost</th></tr>";
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms) {
      const std::string verdict = a.gain ? a.gain->verdict() : "";
      s += "<tr><td>" + std::to_string(z.images) + "</td><td class=\"t\">" + escaped(a.arm) + "</td><td>" +
           number("%.2f", points(a.mean())) + "</td><td>" + seeds_text(a) + "</td><td>" + (a.gain ? gain_text(*a.gain) : "") +
           "</td><td class=\"t " + verdict + "\">" + verdict + "</td><td>" + number("%.2g", a.lr) + "</td><td>" + std::to_string(a.steps) +
           "</td><td>" + number("%.2f", a.seconds) + "</td><td>" + flops_text(a.flops) + "</td><td>" + cost_text(a) + "</td></tr>";
    }
  return s + "</table></div><p class=\"quiet\"><code>" + escaped(c.command) + "</code></p></html>\n";
}

}  // namespace graft::cli
