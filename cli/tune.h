// A study of `graft tune`: what is searched, how, and what came out of it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/common.h"
#include "cli/trials.h"
#include "engine/train/bootstrap.h"
#include "engine/train/search.h"

namespace graft::cli {

// What is asked for on the command line.
struct TuneOptions {
  std::string method = "tpe", budget, resume, max_time;
  std::vector<std::string> search;
  std::int64_t trials = 20, seeds = 3, eta = 3, least = 0;
  bool test = false;
};

// A configuration key and where its values come from.
struct SearchKey {
  std::string key;
  Dimension dimension;
  std::vector<std::string> choices;  // as on the right of key=value

  std::string text(double value) const;  // as on the right of key=value; empty for NaN
  double rounded(double value) const;    // to the digits that text() shows, so that what is pasted is what was trained
};
// "KEY=uniform(0,0.5)", log(lo,hi), int(lo,hi), logint(lo,hi), choice(a,b,...). Error(usage) with the nearest name, or the key's own range.
std::vector<SearchKey> parse_search(const std::vector<std::string>& texts, const Config& base);
Space space_of(const std::vector<SearchKey>& keys);
// `base` with the values set, as far as their keys apply; where one does not, its value becomes NaN.
Config with_values(const Config& base, const std::vector<SearchKey>& keys, Point& values);
// "optim.lr=0.01 model.dropout1=0.2"
std::string assignments(const std::vector<SearchKey>& keys, const Point& values);

struct TuneReport {
  std::string command, folder, recipe, method;
  std::int64_t budget = 0, validation_images = 0, training_images = 0, seeds = 0;
  std::vector<SearchKey> keys;
  std::vector<Trial> trials;              // all of the study
  std::optional<Trial> best;              // of the search
  std::vector<double> defaults, winners;  // validation accuracy of the noise runs, by seed
  Interval gain;
  std::optional<double> test_accuracy;

  std::string verdict() const { return gain.low > 0 ? "better" : gain.high < 0 ? "worse" : "within noise"; }
};
std::string tune_table(const TuneReport& r);
Json tune_json(const TuneReport& r);
std::string tune_html(const TuneReport& r);

int tune_verb(const Common& c, const TuneOptions& o);

}  // namespace graft::cli
