// One measured row, and a run of them as JSON, CSV, text and one self-contained HTML page.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/lab/measure.h"
#include "kernels/lab/statistics.h"

namespace graft::lab {

using Json = nlohmann::ordered_json;

// The speed of one row over another's: other's time / this one's, above 1 is faster; the median over the rounds in which both ran, and its
// interval.
struct Ratio {
  std::string against;
  double value = 0;
  Interval interval;
};

struct Result {
  std::string family, variant, shape, dtype, device;
  int threads = 1;
  bool cold = false;
  std::string caught;  // why there is no time
  std::size_t samples = 0, rounds = 0;
  double min = 0, median = 0, q1 = 0, q3 = 0;  // s
  Interval interval;                           // of the median, s
  double spread = 0;                           // (q3 - q1) / median
  bool noisy = false;                          // the rounds ended before the median stood still
  double flops_rate = 0, bytes_rate = 0;
  std::optional<double> of_roofline;
  std::string bound_by;
  double error = 0;  // largest, against the oracle
  int checked = 0;
  std::optional<double> clock_mhz, watts;
  std::optional<Ratio> ratio;
};
// The results of a contest that has run; `against` names a candidate, or nobody.
std::vector<Result> results_of(Contest& contest, Lab& lab, const std::string& against);

struct Document {
  std::string version, date;
  Machine machine;
  std::string device;
  int threads = 1;
  Options options;
  std::uint64_t seed = 0;
  std::vector<Level> levels;
  double flops_f32 = 0, flops_16 = 0;
  std::vector<std::string> peers;
  std::vector<Result> rows;
};
Document make_document(Lab& lab, const std::string& version);
std::string text_of(const Result& r);  // one line for a terminal
Json json_of(const Document& d);
std::string csv_of(const Document& d);
std::string html_of(const Document& d);  // html.cpp

}  // namespace graft::lab
