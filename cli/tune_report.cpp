// A study as a table, as JSON and as a page: the best trials, score by trial, score over each key, and whether the winner is more than the
// luck of a seed.
#include <algorithm>
#include <cmath>
#include <map>

#include "cli/page.h"
#include "cli/tune.h"

namespace graft::cli {
namespace {

double points(double share) { return 100 * share; }
std::string gain_text(const Interval& g) {
  return number("%+.2f", points(g.mean)) + " [" + number("%+.2f", points(g.low)) + ", " + number("%+.2f", points(g.high)) + "]";
}
double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}
double deviation(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += (x - mean(v)) * (x - mean(v));
  return v.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(v.size() - 1));
}

// The search by what came of it: rungs from the highest, then scores; of a configuration the rung it came to.
std::vector<const Trial*> ranked(const TuneReport& r) {
  std::map<std::int64_t, const Trial*> last;
  for (const Trial& t : r.trials)
    if (t.kind == "search") {
      const Trial*& at = last[t.configuration];
      if (!at || t.rung > at->rung) at = &t;
    }
  std::vector<const Trial*> all;
  for (const auto& [configuration, t] : last) all.push_back(t);
  const auto score = [](const Trial* t) { return t->state == "failed" || std::isnan(t->score) ? -1.0 : t->score; };
  std::stable_sort(all.begin(), all.end(),
                   [&](const Trial* a, const Trial* b) { return a->rung != b->rung ? a->rung > b->rung : score(a) > score(b); });
  return all;
}
std::string score_text(const Trial& t) {
  return t.state == "failed" ? "failed" : std::isnan(t.score) ? "" : number("%.2f", points(t.score));
}

std::string verdict_line(const TuneReport& r) {
  const std::string noise = "; the seed alone moves the default by " + number("%.2f", points(deviation(r.defaults))) +
                            " and the winner by " + number("%.2f", points(deviation(r.winners))) + " (standard deviations over " +
                            std::to_string(r.seeds) + " seeds)";
  const std::string gain = "the winner gains " + gain_text(r.gain) + " points over the default, " +
                           number("%.2f", points(mean(r.defaults))) + " to " + number("%.2f", points(mean(r.winners))) + " %";
  if (r.verdict() == "better") return "better: " + gain + noise;
  if (r.verdict() == "worse") return "worse: " + gain + "; keep the default" + noise;
  return "within noise: " + gain + "; there is no evidence that it is better" + noise;
}
// The curve of a range test, or null: the file may have been damaged.
Json curve_of(const TuneReport& r) {
  if (r.method != "lr") return {};
  Json j = read_json_in_order(r.best->detail);
  const auto numbers = [&](const char* name) {
    return j.contains(name) && j[name].is_array() &&
           std::all_of(j[name].begin(), j[name].end(), [](const Json& v) { return v.is_number(); });
  };
  const auto is_number = [&](const char* name) { return j.contains(name) && j[name].is_number(); };
  return j.is_object() && numbers("lr") && numbers("loss") && numbers("smoothed") && is_number("low") && is_number("high") ? j : Json();
}
// What the interval cannot know.
constexpr const char* kCaution =
    "Seeds are other ones than the search's, but the images are those by which the winner was chosen, which flatters it somewhat; --test "
    "asks images that it "
    "was not chosen by.";

}  // namespace

std::string tune_table(const TuneReport& r) {
  std::string s = "validation accuracy in percent on " + std::to_string(r.validation_images) + " held-out images, budget " +
                  std::to_string(r.budget) + " steps\n\n";
  char line[128];
  std::snprintf(line, sizeof line, "%6s %9s %7s %8s  %s\n", "trial", "accuracy", "steps", "seconds", "values");
  s += line;
  const auto all = ranked(r);
  constexpr std::size_t kMost = 10;
  for (std::size_t i = 0; i < std::min(kMost, all.size()); ++i) {
    std::snprintf(line, sizeof line, "%6lld %9s %7lld %8.2f  ", static_cast<long long>(all[i]->configuration + 1),
                  score_text(*all[i]).c_str(), static_cast<long long>(all[i]->steps), all[i]->seconds);
    s += line + assignments(r.keys, all[i]->values) + "\n";
  }
  if (all.size() > kMost) s += "       and " + std::to_string(all.size() - kMost) + " more\n";
  s += "\nwinner: " + assignments(r.keys, r.best->values) + "\n" + verdict_line(r) + "\n";
  if (const Json curve = curve_of(r); curve.is_object()) {
    s += "usable rates: " + number("%.2g", curve.value("low", 0.0)) + " to " + number("%.2g", curve.value("high", 0.0)) + "\n";
  }
  if (r.test_accuracy) s += "test accuracy of the winner: " + number("%.2f", points(*r.test_accuracy)) + " %\n";
  return s;
}

Json tune_json(const TuneReport& r) {
  const auto value = [](double v) { return std::isnan(v) ? Json() : Json(v); };
  Json trials = Json::array();
  for (const Trial& t : r.trials) {
    Json values = Json::object();
    for (std::size_t i = 0; i < r.keys.size(); ++i)
      if (const std::string text = r.keys[i].text(t.values[i]); !text.empty())
        values[r.keys[i].key] = r.keys[i].dimension.kind == Dimension::Kind::choice ? Json(text) : Json(t.values[i]);
    Json one{{"id", t.id},
             {"kind", t.kind},
             {"trial", t.configuration + 1},
             {"rung", t.rung},
             {"steps", t.steps},
             {"seed", t.seed},
             {"values", values},
             {"state", t.state},
             {"validation.accuracy", value(t.score)},
             {"loss", value(t.loss)},
             {"seconds", t.seconds},
             {"weights_hash", t.weights_hash}};
    if (t.kind == "default") one.erase("trial");
    if (t.kind == "test") one["test.accuracy"] = one["validation.accuracy"], one.erase("validation.accuracy");
    if (!t.note.empty()) one["note"] = t.note;
    trials.push_back(std::move(one));
  }
  Json search = Json::object();
  for (const SearchKey& k : r.keys) {
    const Dimension& d = k.dimension;
    search[k.key] = d.kind == Dimension::Kind::choice
                        ? Json{{"choice", k.choices}}
                        : Json{{"kind", d.kind == Dimension::Kind::whole ? "int" : "real"}, {"low", d.lo}, {"high", d.hi}, {"log", d.log}};
  }
  Json j{{"verb", "tune"},
         {"command", r.command},
         {"run", r.folder},
         {"recipe", r.recipe},
         {"method", r.method},
         {"objective", "validation accuracy"},
         {"budget", r.budget},
         {"training_images", r.training_images},
         {"validation_images", r.validation_images},
         {"search", search},
         {"winner",
          {{"trial", r.best->configuration + 1},
           {"assignments", assignments(r.keys, r.best->values)},
           {"search.accuracy", value(r.best->score)},
           {"accuracy", r.winners},
           {"mean", mean(r.winners)},
           {"deviation", deviation(r.winners)}}},
         {"default", {{"accuracy", r.defaults}, {"mean", mean(r.defaults)}, {"deviation", deviation(r.defaults)}}},
         {"gain", {{"mean", r.gain.mean}, {"low", r.gain.low}, {"high", r.gain.high}}},
         {"verdict", r.verdict()}};
  if (Json curve = curve_of(r); curve.is_object()) j["curve"] = std::move(curve);
  if (r.test_accuracy) j["test.accuracy"] = *r.test_accuracy;
  j["trials"] = std::move(trials);
  return j;
}

std::string tune_html(const TuneReport& r) {
  const std::string verdict = r.verdict();
  std::string s = page_head("Tuning " + r.recipe) + "<p class=\"quiet\">" + escaped(r.method) + ", budget " + std::to_string(r.budget) +
                  " steps, validation accuracy on " + std::to_string(r.validation_images) + " images held out of " +
                  std::to_string(r.validation_images + r.training_images) + "</p><p><span class=\"" + verdict + "\">" +
                  escaped(verdict_line(r)) + "</span></p><p><code>" + escaped(assignments(r.keys, r.best->values)) + "</code></p>";
  if (r.test_accuracy) s += "<p>Test accuracy of the winner: " + number("%.2f %%", points(*r.test_accuracy)) + "</p>";
  const Json curve = curve_of(r);
  const auto all = ranked(r);
  if (curve.is_object()) {
    PlotSeries raw{"a step", {}, 0, true}, smooth{"smoothed", {}, 2};
    const auto column = [&](const char* name) { return curve.value(name, std::vector<double>()); };
    const auto lr = column("lr"), loss = column("loss"), smoothed = column("smoothed");
    const double start = smoothed.empty() ? 0 : smoothed[0];
    for (std::size_t i = 0; i < lr.size() && i < loss.size() && i < smoothed.size(); ++i) {
      if (loss[i] < 2 * start) raw.points.push_back({lr[i], loss[i]});  // the explosion would leave nothing of the rest to see
      if (smoothed[i] < 2 * start) smooth.points.push_back({lr[i], smoothed[i]});
    }
    s += "<h2>Loss while the learning rate grows</h2>" + plot({raw, smooth}, {"learning rate", true}) + "<p>Steepest fall at " +
         number("%.2g", r.best->values[0]) + "; usable from " + number("%.2g", curve.value("low", 0.0)) + " to " +
         number("%.2g", curve.value("high", 0.0)) + "</p>";
  } else {
    PlotSeries each{"trial", {}, 2, true}, best{"best so far", {}, 1};
    double top = -1;
    std::vector<const Trial*> by_number = all;
    std::sort(by_number.begin(), by_number.end(), [](const Trial* a, const Trial* b) { return a->configuration < b->configuration; });
    for (const Trial* t : by_number) {
      if (t->state == "failed" || std::isnan(t->score)) continue;
      const double x = static_cast<double>(t->configuration + 1);
      each.points.push_back({x, points(t->score)});
      best.points.push_back({x, points(top = std::max(top, t->score))});
    }
    s += "<h2>Validation accuracy by trial, percent" + std::string(r.method == "asha" ? " (on the last rung that it came to)" : "") +
         "</h2>" + plot({each, best}, {"trial"});
    for (std::size_t i = 0; i < r.keys.size(); ++i) {
      const SearchKey& k = r.keys[i];
      if (k.dimension.kind == Dimension::Kind::choice) {
        s += "<h2>" + escaped(k.key) +
             "</h2><div class=\"scroll\"><table><tr><th class=\"t\">value</th><th>trials</th><th>mean</th><th>best</th></tr>";
        for (std::size_t v = 0; v < k.choices.size(); ++v) {
          std::vector<double> scores;
          std::size_t tried = 0;
          for (const Trial* t : all)
            if (t->values[i] == static_cast<double>(v)) {
              ++tried;
              if (t->state != "failed" && !std::isnan(t->score)) scores.push_back(t->score);
            }
          s += "<tr><td class=\"t\">" + escaped(k.choices[v]) + "</td><td>" + std::to_string(tried) + "</td><td>" +
               (scores.empty() ? "" : number("%.2f", points(mean(scores)))) + "</td><td>" +
               (scores.empty() ? "" : number("%.2f", points(*std::max_element(scores.begin(), scores.end())))) + "</td></tr>";
        }
        s += "</table></div>";
        continue;
      }
      PlotSeries dots{"trial", {}, 2, true};
      for (const Trial* t : all)
        if (t->state != "failed" && !std::isnan(t->score) && !std::isnan(t->values[i]))
          dots.points.push_back({t->values[i], points(t->score)});
      s += "<h2>" + escaped(k.key) + "</h2>" + plot({dots}, {k.key, k.dimension.log});
    }
  }
  s += "<h2>All trials, the best first</h2><div class=\"scroll\"><table><tr><th>trial</th><th>accuracy</th><th>steps</th><th>seconds</th>";
  for (const SearchKey& k : r.keys) s += "<th>" + escaped(k.key) + "</th>";
  s += "<th class=\"t\">state</th></tr>";
  for (const Trial* t : all) {
    s += "<tr><td>" + std::to_string(t->configuration + 1) + "</td><td>" + score_text(*t) + "</td><td>" + std::to_string(t->steps) +
         "</td><td>" + number("%.2f", t->seconds) + "</td>";
    for (std::size_t i = 0; i < r.keys.size(); ++i) s += "<td>" + escaped(r.keys[i].text(t->values[i])) + "</td>";
    s += "<td class=\"t\">" + escaped(t->state + (t->note.empty() ? "" : ": " + t->note)) + "</td></tr>";
  }
  s += "</table></div><h2>The noise of the seed, percent</h2><div "
       "class=\"scroll\"><table><tr><th>seed</th><th>default</th><th>winner</th></tr>";
  std::vector<std::int64_t> seeds;
  for (const Trial& t : r.trials)
    if (t.kind == "default") seeds.push_back(t.seed);
  for (std::size_t i = 0; i < seeds.size() && i < r.winners.size(); ++i)
    s += "<tr><td>" + std::to_string(seeds[i]) + "</td><td>" + number("%.2f", points(r.defaults[i])) + "</td><td>" +
         number("%.2f", points(r.winners[i])) + "</td></tr>";
  return s + "</table></div><p class=\"quiet\">" + kCaution + "</p><p class=\"quiet\"><code>" + escaped(r.command) + "</code></p></html>\n";
}

}  // namespace graft::cli
