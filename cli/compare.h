// What graft compare found, and how it is shown.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/common.h"
#include "engine/train/bootstrap.h"

namespace graft::cli {

struct ArmResult {
  std::string arm;
  std::vector<double> accuracy;                 // per seed
  std::vector<std::vector<std::int8_t>> right;  // [seed][test image]
  double lr = 0, seconds = 0, flops = 0;        // lr that tuning chose; the others: mean of one run
  std::int64_t steps = 0;
  std::vector<std::pair<double, double>> tuning;  // learning rate, validation accuracy
  std::optional<Interval> gain;                   // over the baseline; empty for the baseline
  double mean() const;
};
struct SizeResult {
  double fraction = 0;
  std::int64_t images = 0;
  std::vector<ArmResult> arms;
};
struct Comparison {
  std::string recipe, from, budget, baseline, command;
  std::int64_t seeds = 0, tune = 0, test_images = 0;
  std::vector<std::string> arms;
  std::vector<SizeResult> sizes;  // from few images to many
};

// Where an arm stops being ahead of the baseline as images are added: `images` by straight lines over log(images); `text` says it in any
// case.
struct Crossover {
  std::string arm, text;
  std::optional<double> images;
};
std::vector<Crossover> crossovers(const Comparison& c);

std::string comparison_table(const Comparison& c);
Json comparison_json(const Comparison& c);
std::string comparison_html(const Comparison& c);  // one file, no network, light and dark

}  // namespace graft::cli
