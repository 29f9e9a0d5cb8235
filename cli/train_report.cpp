#include "cli/train_report.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "cli/page.h"

namespace graft::cli {
namespace {

// At most so many points of a curve: each the mean of a run of steps, so that a long run is a small page and no spike is hidden by luck.
constexpr std::size_t kMostPoints = 400;
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& all) {
  if (all.size() <= kMostPoints) return all;
  std::vector<PlotPoint> few;
  for (std::size_t k = 0; k < kMostPoints; ++k) {
    const std::size_t begin = all.size() * k / kMostPoints, end = all.size() * (k + 1) / kMostPoints;
    PlotPoint mean{all[end - 1].x};
    for (std::size_t i = begin; i < end; ++i) mean.y += all[i].y / static_cast<double>(end - begin);
    few.push_back(mean);
  }
  return few;
}

std::string confusion(const std::vector<std::int64_t>& labels, const std::vector<std::int64_t>& predictions,
                      const std::vector<std::string>& names) {
  const std::size_t n = names.size();
  if (labels.empty() || labels.size() != predictions.size() || n == 0 || n > 60) return {};
  std::vector<std::int64_t> count(n * n, 0), of(n, 0);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = static_cast<std::size_t>(labels[i]), column = static_cast<std::size_t>(predictions[i]);
    if (row >= n || column >= n) continue;
    ++count[row * n + column];
    ++of[row];
  }
  std::string s = "<h2>Which label (down) was called what (across)</h2><div class=\"scroll\"><table><tr><th></th>";
  for (const auto& name : names) s += "<th>" + escaped(name) + "</th>";
  s += "<th>right</th></tr>";
  for (std::size_t r = 0; r < n; ++r) {
    if (of[r] == 0) continue;
    s += "<tr><th>" + escaped(names[r]) + "</th>";
    for (std::size_t c = 0; c < n; ++c) {
      const double share = static_cast<double>(count[r * n + c]) / static_cast<double>(of[r]);
      s += "<td style=\"background:rgba(var(--heat)," + number("%.2f", r == c ? 0.35 * share : std::min(0.9, 4 * share)) + ")\">" +
           (count[r * n + c] ? std::to_string(count[r * n + c]) : "") + "</td>";
    }
    s += "<td>" + number("%.1f %%", 100 * static_cast<double>(count[r * n + r]) / static_cast<double>(of[r])) + "</td></tr>";
  }
  return s + "</table></div>";
}

// The images that the model is surest to be wrong about: they are where labels are wrong, or where the data has a lesson.
std::string worst(const Judged& judged) {
  constexpr std::size_t kMost = 24;
  std::vector<std::size_t> order;
  const std::int64_t* labels = judged.set.labels.data<std::int64_t>();
  for (std::size_t i = 0; i < judged.by.losses.size(); ++i)
    if (judged.by.predictions[i] != labels[i]) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return judged.by.losses[a] != judged.by.losses[b] ? judged.by.losses[a] > judged.by.losses[b] : a < b;
  });
  if (order.size() > kMost) order.resize(kMost);
  if (order.empty()) return {};
  const auto name = [&](std::int64_t k) {
    return k < static_cast<std::int64_t>(judged.set.class_names.size()) ? judged.set.class_names[static_cast<std::size_t>(k)]
                                                                        : std::to_string(k);
  };
  std::string s = "<h2>Worst " + judged.name + " images</h2><div class=\"sheet\">";
  for (const std::size_t i : order) {
    const auto row = static_cast<std::int64_t>(i);
    const std::string picture = thumbnail(judged.set.image(row));
    s += "<figure>" + picture + "<figcaption>" + escaped(name(labels[i])) + ", called " + escaped(name(judged.by.predictions[i])) +
         "<br><span class=\"quiet\">loss " + number("%.2f", static_cast<double>(judged.by.losses[i])) + "<br>" +
         escaped(judged.set.where(row)) + "</span></figcaption></figure>";
  }
  return s + "</div>";
}

}  // namespace

std::string training_html(const std::string& log, const Judged& judged, const Json& report, const Config& config) {
  std::map<std::string, std::vector<PlotPoint>> curves;
  std::istringstream in(log);
  double step_before = 0, seconds_before = 0;
  const auto batch = static_cast<double>(config.get<std::int64_t>("train.batch"));
  for (std::string line; std::getline(in, line);) {
    const Json j = read_json_in_order(line);
    if (!j.is_object() || !j.contains("step")) continue;
    const double step = j["step"];
    for (const char* key : {"train.loss", "validation.loss", "validation.accuracy", "known.loss", "known.accuracy", "lr", "grad_norm"})
      if (j.contains(key) && j[key].is_number()) curves[key].push_back({step, j[key].get<double>()});
    if (j.contains("seconds") && j["seconds"].is_number()) {
      const double seconds = j["seconds"];
      if (seconds > seconds_before) curves["rate"].push_back({step, (step - step_before) * batch / (seconds - seconds_before)});
      step_before = step, seconds_before = seconds;
    }
  }
  for (auto& [name, points] : curves) points = thinned(points);
  const auto drawn = [&](const std::string& title, const std::vector<PlotSeries>& series) {
    if (std::all_of(series.begin(), series.end(), [](const PlotSeries& one) { return one.points.size() < 2; }))
      return std::string();  // a point is no course
    const std::string svg = plot(series, {"step"});
    return svg.empty() ? std::string() : "<h2>" + title + "</h2>" + svg;
  };
  const bool clipped = std::any_of(curves["grad_norm"].begin(), curves["grad_norm"].end(), [](const PlotPoint& p) { return p.y != 0; });
  const std::string verb = report.value("verb", "train");
  std::string s = page_head(report.value("run", "run")) + "<p class=\"quiet\">" + escaped(verb) + ", " +
                  std::to_string(report.value("steps", std::int64_t{0})) + " steps in " + number("%.1f s", report.value("seconds", 0.0)) +
                  ", " + number("%.0f images/s", report.value("samples_per_second", 0.0)) +
                  (judged.by.images > 0 ? "; " + judged.name + " accuracy " + number("%.4f", judged.by.accuracy) + " with the best weights"
                                        : std::string()) +
                  "; weights " + escaped(report.value("weights_hash", "")) + "</p>";
  s += drawn("Loss", {{"while training", curves["train.loss"], 2},
                      {"held out", curves["validation.loss"], 1},
                      {"training images", curves["known.loss"], 0}});
  s += drawn("Accuracy", {{"held out", curves["validation.accuracy"], 3}, {"training images", curves["known.accuracy"], 0}});
  s += drawn("Learning rate", {{"", curves["lr"], 2}});
  if (clipped) s += drawn("Norm of the gradient before clipping", {{"", curves["grad_norm"], 1}});
  s += drawn("Images per second", {{"", curves["rate"], 0}});
  if (judged.by.images > 0)
    s += confusion(judged.set.labels.host<std::int64_t>(), judged.by.predictions, judged.set.class_names) + worst(judged);
  s += "<h2>Command</h2><p><code>" + escaped(command_line()) + "</code></p><h2>Configuration</h2><pre>" + escaped(config.text()) +
       "</pre></html>\n";
  return s;
}

}  // namespace graft::cli
