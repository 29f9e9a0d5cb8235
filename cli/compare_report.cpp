// A comparison as a table, as JSON and as a page with two plots: accuracy over images, and what is gained over the baseline with its interval.
#include <algorithm>
#include <cmath>

#include "cli/compare.h"

namespace graft::cli {
namespace {

std::string format(const char* f, double v) {
  char t[64];
  std::snprintf(t, sizeof t, f, v);
  return t;
}
double points(double share) { return 100 * share; }
std::string seeds_text(const ArmResult& a) {
  if (a.accuracy.size() < 2) return "";
  const auto [low, high] = std::minmax_element(a.accuracy.begin(), a.accuracy.end());
  return format("%.2f", points(*low)) + " to " + format("%.2f", points(*high));
}
std::string gain_text(const Interval& g) { return format("%+.2f", points(g.mean)) + " [" + format("%+.2f", points(g.low)) + ", " + format("%+.2f", points(g.high)) + "]"; }
std::string flops_text(double f) {
  if (f >= 1e12) return format("%.3g TFLOP", f * 1e-12);
  return f >= 1e9 ? format("%.3g GFLOP", f * 1e-9) : format("%.3g MFLOP", f * 1e-6);
}
// What one point of accuracy over the baseline cost, where there is any.
std::string cost_text(const ArmResult& a) {
  if (!a.gain || !(a.gain->mean > 0)) return "";
  return format("%.3g s", a.seconds / points(a.gain->mean)) + ", " + flops_text(a.flops / points(a.gain->mean));
}
std::string escaped(const std::string& text) {
  std::string s;
  for (const char c : text) s += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return s;
}
std::string at(const char* name, double v) { return std::string(" ") + name + "=\"" + format("%.2f", v) + "\""; }

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
    else if (x.images) x.text = "is ahead of " + c.baseline + " up to about " + format("%.0f", *x.images) + " images";
    else if (gain(c.sizes.size() - 1).low > 0) x.text = "is better than " + c.baseline + " up to " + most + " images; no crossover was seen";
    else x.text = "is better than " + c.baseline + " at some sizes; at " + most + " images there is no evidence";
    all.push_back(std::move(x));
  }
  return all;
}

std::string comparison_table(const Comparison& c) {
  std::string s = "test accuracy in percent on " + std::to_string(c.test_images) + " images, " + std::to_string(c.seeds) + " seeds, budget " + c.budget + " per run; gains over " +
                  c.baseline + " with 95 % intervals\n\n";
  char line[256];
  std::snprintf(line, sizeof line, "%8s  %-8s %9s  %-16s  %-24s %-12s %9s %7s %8s  %s\n", "images", "arm", "accuracy", "seeds", "gain", "verdict", "lr", "steps", "seconds",
                "cost of a point gained");
  s += line;
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms) {
      std::snprintf(line, sizeof line, "%8lld  %-8s %9.2f  %-16s  %-24s %-12s %9.2g %7lld %8.2f  %s\n", static_cast<long long>(z.images), a.arm.c_str(), points(a.mean()),
                    seeds_text(a).c_str(), a.gain ? gain_text(*a.gain).c_str() : "", a.gain ? a.gain->verdict().c_str() : "", a.lr, static_cast<long long>(a.steps), a.seconds,
                    cost_text(a).c_str());
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
      Json r{{"images", z.images}, {"fraction", z.fraction}, {"arm", a.arm}, {"accuracy", a.accuracy}, {"mean", a.mean()}, {"lr", a.lr}, {"steps", a.steps},
             {"seconds", a.seconds}, {"flops", a.flops}};
      if (a.gain) {
        r["gain"] = {{"over", c.baseline}, {"mean", a.gain->mean}, {"low", a.gain->low}, {"high", a.gain->high}, {"verdict", a.gain->verdict()}};
        r["seconds_per_point"] = a.gain->mean > 0 ? Json(a.seconds / points(a.gain->mean)) : Json();
        r["flops_per_point"] = a.gain->mean > 0 ? Json(a.flops / points(a.gain->mean)) : Json();
      }
      for (const auto& [lr, accuracy] : a.tuning) r["tuning"].push_back({{"lr", lr}, {"validation.accuracy", accuracy}});
      rows.push_back(std::move(r));
    }
  for (const Crossover& x : crossovers(c)) cross.push_back({{"arm", x.arm}, {"images", x.images ? Json(*x.images) : Json()}, {"text", x.text}});
  return {{"verb", "compare"}, {"command", c.command}, {"recipe", c.recipe}, {"from", c.from}, {"budget", c.budget}, {"seeds", c.seeds}, {"tune", c.tune}, {"test_images", c.test_images},
          {"baseline", c.baseline}, {"rows", rows}, {"crossover", cross}};
}

namespace {

constexpr const char* kStyle = R"(
:root { --ground: #fff; --ink: #1b1f24; --quiet: #656d76; --line: #d0d7de; --a0: #656d76; --a1: #b35900; --a2: #2f6fb7; --a3: #1a7f4b; --good: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --ground: #14171b; --ink: #e2e6ea; --quiet: #95a0ab; --line: #363d45; --a0: #95a0ab; --a1: #e8a04c; --a2: #5b9be0; --a3: #4fbf86; --good: #4fbf86; --bad: #f2857c; } }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 1.8rem 0 .3rem; } .quiet { color: var(--quiet); } code { word-break: break-all; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; } td.t, th.t { text-align: left; }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
svg { width: 100%; min-width: 34rem; height: auto; display: block; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .grid { stroke: var(--line); } svg .zero { stroke: var(--ink); }
)";

struct Axis {
  double low, high, from, to;
  double operator()(double v) const { return high > low ? from + (to - from) * (v - low) / (high - low) : (from + to) / 2; }
};
std::string color(std::size_t k) { return "var(--a" + std::to_string(k % 4) + ")"; }

// One line per arm over log(images). `value` gives middle, low and high of an arm in percent, or nothing.
template <class F>
std::string plot(const Comparison& c, bool zero, F&& value) {
  double low = zero ? 0 : 100, high = 0;
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms)
      if (const auto v = value(a)) low = std::min(low, v->low), high = std::max(high, v->high);
  const double pad = std::max(0.5, (high - low) * 0.08);
  low -= pad, high += pad;
  const Axis x{std::log(static_cast<double>(c.sizes.front().images)), std::log(static_cast<double>(c.sizes.back().images)), 60, 640}, y{low, high, 250, 15};
  std::string s = "<svg viewBox=\"0 0 780 290\" role=\"img\">";
  const double range = high - low, raw = range / 5, power = std::pow(10, std::floor(std::log10(raw))), step = raw / power > 5 ? 10 * power : raw / power > 2 ? 5 * power : 2 * power;
  for (double v = std::ceil(low / step) * step; v <= high; v += step)
    s += "<line class=\"" + std::string(zero && std::abs(v) < step / 1e6 ? "zero" : "grid") + "\"" + at("x1", 60) + at("x2", 640) + at("y1", y(v)) + at("y2", y(v)) + "/><text" +
         at("x", 52) + at("y", y(v) + 4) + " text-anchor=\"end\">" + format("%g", std::abs(v) < step / 1e6 ? 0 : v) + "</text>";
  for (const SizeResult& z : c.sizes) {
    const double px = x(std::log(static_cast<double>(z.images)));
    s += "<text" + at("x", px) + at("y", 272) + " text-anchor=\"middle\">" + std::to_string(z.images) + "</text>";
  }
  s += "<text" + at("x", 350) + at("y", 288) + " text-anchor=\"middle\">training images</text>";
  double last_label = -1e9;
  std::vector<std::pair<double, std::size_t>> labels;
  for (std::size_t k = 0; k < c.arms.size(); ++k) {
    std::string path;
    double end = NAN;
    const double shift = 3 * (static_cast<double>(k) - static_cast<double>(c.arms.size() - 1) / 2);
    for (const SizeResult& z : c.sizes) {
      const auto v = value(z.arms[k]);
      if (!v) continue;
      const double px = x(std::log(static_cast<double>(z.images))) + shift;
      path += (path.empty() ? "M" : "L") + format("%.2f", px) + " " + format("%.2f", y(v->mean));
      s += "<line stroke=\"" + color(k) + "\" stroke-width=\"2\"" + at("x1", px) + at("x2", px) + at("y1", y(v->low)) + at("y2", y(v->high)) + "/><circle fill=\"" + color(k) +
           "\"" + at("cx", px) + at("cy", y(v->mean)) + " r=\"3.5\"/>";
      end = y(v->mean);
    }
    if (path.empty()) continue;
    s += "<path fill=\"none\" stroke=\"" + color(k) + "\" stroke-width=\"1.5\" d=\"" + path + "\"/>";
    labels.emplace_back(end, k);
  }
  std::sort(labels.begin(), labels.end());
  for (const auto& [end, k] : labels) {
    last_label = std::max(end, last_label + 15);
    s += "<text style=\"fill:" + color(k) + "\"" + at("x", 654) + at("y", last_label + 4) + ">" + escaped(c.arms[k]) + "</text>";
  }
  return s + "</svg>";
}

}  // namespace

std::string comparison_html(const Comparison& c) {
  std::string s = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>graft compare " +
                  escaped(c.recipe) + "</title><style>" + kStyle + "</style><h1>From scratch or from a checkpoint?</h1><p class=\"quiet\">" + escaped(c.recipe) + " from " +
                  escaped(c.from) + ", budget " + escaped(c.budget) + " per run, " + std::to_string(c.seeds) + " seeds, " + std::to_string(c.tune) +
                  " learning rates for every arm, " + std::to_string(c.test_images) + " test images</p><ul>";
  for (const Crossover& x : crossovers(c)) s += "<li><b>" + escaped(x.arm) + "</b> " + escaped(x.text) + "</li>";
  s += "</ul><h2>Test accuracy, percent: mean and range of the seeds</h2>";
  s += "<div class=\"scroll\">" + plot(c, false, [](const ArmResult& a) -> std::optional<Interval> {
    const auto [low, high] = std::minmax_element(a.accuracy.begin(), a.accuracy.end());
    return Interval{points(a.mean()), points(*low), points(*high)};
  }) + "</div>";
  s += "<h2>Gained over " + escaped(c.baseline) + ", points: mean and 95 % interval (paired bootstrap over seeds and test images)</h2>";
  s += "<div class=\"scroll\">" + plot(c, true, [](const ArmResult& a) -> std::optional<Interval> {
    if (!a.gain) return {};
    return Interval{points(a.gain->mean), points(a.gain->low), points(a.gain->high)};
  }) + "</div>";
  s += "<h2>All runs</h2><div class=\"scroll\"><table><tr><th>images</th><th class=\"t\">arm</th><th>accuracy</th><th>seeds</th><th>gain</th><th class=\"t\">verdict</th>"
       "<th>learning rate</th><th>steps</th><th>seconds</th><th>operations</th><th>a point cost</th></tr>";
  for (const SizeResult& z : c.sizes)
    for (const ArmResult& a : z.arms) {
      const std::string verdict = a.gain ? a.gain->verdict() : "";
      s += "<tr><td>" + std::to_string(z.images) + "</td><td class=\"t\">" + escaped(a.arm) + "</td><td>" + format("%.2f", points(a.mean())) + "</td><td>" + seeds_text(a) +
           "</td><td>" + (a.gain ? gain_text(*a.gain) : "") + "</td><td class=\"t " + verdict + "\">" + verdict + "</td><td>" + format("%.2g", a.lr) + "</td><td>" +
           std::to_string(a.steps) + "</td><td>" + format("%.2f", a.seconds) + "</td><td>" + flops_text(a.flops) + "</td><td>" + cost_text(a) + "</td></tr>";
    }
  return s + "</table></div><p class=\"quiet\"><code>" + escaped(c.command) + "</code></p></html>\n";
}

}  // namespace graft::cli
