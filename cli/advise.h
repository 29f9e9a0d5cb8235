// What graft advise found, and how it is shown.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/common.h"
#include "engine/train/learning_curve.h"

namespace graft::cli {

struct Route {
  std::string name, arm, from;     // "scratch", "full from CKPT"; from is empty for scratch
  std::vector<CurvePoint> points;  // of every run
  std::vector<double> seconds;     // of every run
  std::optional<Prediction> full;  // with all training images
  double slope = 0;
  double full_seconds = 0;  // what the run with all images will take
};
struct Advice {
  std::string recipe, command;
  std::vector<Route> routes;
  double images = 0, judged = 0, classes = 0;
  std::int64_t steps = 0, wanted_steps = 0, seeds = 0;       // of a run here, and of the recipe
  double seconds = 0, time = 0;                              // taken, given
  std::optional<std::size_t> chosen;                         // empty: not enough evidence
  double confidence = 0;                                     // that the best route is better than the one after it
  std::string verdict;                                       // a sentence
  std::vector<std::pair<std::string, std::string>> factors;  // data, compute, expertise, task
  std::vector<std::string> crossings;
};
std::string advice_text(const Advice& a);
Json advice_json(const Advice& a);
std::string advice_html(const Advice& a);

}  // namespace graft::cli
