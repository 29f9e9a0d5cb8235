#include <algorithm>
#include <cstdio>
#include <map>

#include "cli/advise.h"
#include "cli/page.h"

namespace graft::cli {

std::string advice_text(const Advice& a) {
  std::string s = a.verdict + "\n\n";
  char line[200];
  std::snprintf(line, sizeof line, "%-28s %10s  %-18s %8s %9s\n", "route", "predicted", "80 % interval", "slope", "seconds");
  s += line;
  for (const Route& r : a.routes) {
    std::snprintf(line, sizeof line, "%-28s %8.2f %%  %6.2f to %-6.2f %% %8.2f %9.3g\n", r.name.c_str(), 100 * r.full->accuracy,
                  100 * r.full->low, 100 * r.full->high, r.slope, r.full_seconds);
    s += line;
  }
  s += '\n';
  for (const std::string& x : a.crossings) s += x + "\n";
  for (const auto& [name, text] : a.factors) s += name + ": " + text + "\n";
  std::snprintf(line, sizeof line, "%.0f s of %.0f s, %lld steps a run\n", a.seconds, a.time, static_cast<long long>(a.steps));
  return s + line;
}

Json advice_json(const Advice& a) {
  Json routes = Json::array(), factors = Json::object();
  for (const Route& r : a.routes) {
    Json runs = Json::array();
    for (std::size_t i = 0; i < r.points.size(); ++i)
      runs.push_back({{"images", r.points[i].images}, {"accuracy", r.points[i].accuracy}, {"seconds", r.seconds[i]}});
    routes.push_back({{"route", r.name},
                      {"arm", r.arm},
                      {"from", r.from},
                      {"predicted", r.full->accuracy},
                      {"low", r.full->low},
                      {"high", r.full->high},
                      {"slope", r.slope},
                      {"full_seconds", r.full_seconds},
                      {"runs", runs}});
  }
  for (const auto& [name, text] : a.factors) factors[name] = text;
  return {{"verb", "advise"},
          {"command", a.command},
          {"recipe", a.recipe},
          {"recommended", a.chosen ? Json(a.routes[*a.chosen].name) : Json("not enough evidence")},
          {"confidence", a.confidence},
          {"verdict", a.verdict},
          {"images", a.images},
          {"judged", a.judged},
          {"steps", a.steps},
          {"recipe_steps", a.wanted_steps},
          {"seeds", a.seeds},
          {"seconds", a.seconds},
          {"time", a.time},
          {"routes", routes},
          {"crossover", a.crossings},
          {"factors", factors}};
}

std::string advice_html(const Advice& a) {
  std::string s =
      page_head("Which way to begin?") + "<p class=\"" + (a.chosen ? "better" : "quiet") + "\">" + escaped(a.verdict) + "</p><ul>";
  for (const std::string& x : a.crossings) s += "<li>" + escaped(x) + "</li>";
  s += "</ul><h2>Accuracy on held-out images, percent: runs on parts of the data, and what all " + number("%.0f", a.images) +
       " images would give (80 % interval)</h2>";
  std::vector<PlotSeries> series;
  for (std::size_t i = 0; i < a.routes.size(); ++i) {
    const Route& r = a.routes[i];
    PlotSeries one{r.name, {}, static_cast<int>(i % 6)};
    std::map<double, std::vector<double>> by_size;
    for (const CurvePoint& p : r.points) by_size[p.images].push_back(100 * p.accuracy);
    for (const auto& [images, values] : by_size) {  // the runs of one size: their mean and range
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      PlotPoint p{images, 0, *low, *high};
      for (const double v : values) p.y += v / static_cast<double>(values.size());
      one.points.push_back(p);
    }
    one.points.push_back({a.images, 100 * r.full->accuracy, 100 * r.full->low, 100 * r.full->high});
    series.push_back(std::move(one));
  }
  s += plot(series, {"training images", true, false, true});
  s += "<h2>Routes</h2><div class=\"scroll\"><table><tr><th class=\"t\">route</th><th>predicted</th><th>80 % interval</th><th>slope of "
       "log(error)</th><th>seconds of a full run</th></tr>";
  for (const Route& r : a.routes)
    s += "<tr><td class=\"t\">" + escaped(r.name) + "</td><td>" + number("%.2f %%", 100 * r.full->accuracy) + "</td><td>" +
         number("%.2f", 100 * r.full->low) + " to " + number("%.2f", 100 * r.full->high) + "</td><td>" + number("%.2f", r.slope) +
         "</td><td>" + number("%.3g", r.full_seconds) + "</td></tr>";
  s += "</table></div><h2>What decides it</h2><table>";
  for (const auto& [name, text] : a.factors)
    s += "<tr><th class=\"t\">" + escaped(name) + "</th><td class=\"t\" style=\"white-space:normal\">" + escaped(text) + "</td></tr>";
  return s + "</table><p class=\"quiet\">" + number("%.0f s", a.seconds) + " of " + number("%.0f s", a.time) + ", " +
         std::to_string(a.steps) + " of the recipe's " + std::to_string(a.wanted_steps) + " steps a run, " + std::to_string(a.seeds) +
         " seeds<br><code>" + escaped(a.command) + "</code></p></html>\n";
}

}  // namespace graft::cli
