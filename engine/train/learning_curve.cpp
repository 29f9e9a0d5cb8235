#include "engine/train/learning_curve.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr double kSlope = -0.35, kSlopeDeviation = 0.25;            // the exponents of image tasks lie between -0.1 and -0.7
constexpr double kSeedDeviation = 0.1;                              // of log(error), counted as two runs' worth of evidence
constexpr double kPairDeviation = 0.08, kPairSlopeDeviation = 0.2;  // of the difference of two such logarithms, and of its slope
constexpr double kPerDoubling = 0.1;
constexpr double kEighty = 1.2815515655446004;  // 80 % of a normal distribution lie within so many deviations

// No error on n images is not an error of zero: the middle of what such a count is worth.
double error_of(double accuracy, double judged) { return (std::max(0.0, 1 - accuracy) * judged + 0.5) / (judged + 1); }
// Of log(error), for a share counted on `judged` images.
double counting(double error, double judged) { return (1 - error) / (error * judged); }

// A straight line with a normal prior on its slope, through points of equal weight within a size: what both kinds of curves are.
struct Line {
  double intercept = 0, slope = 0, v00 = 0, v01 = 0, v11 = 0;
  Line(const std::vector<double>& x, const std::vector<double>& y, const std::vector<double>& weight, double slope_mean,
       double slope_deviation) {
    double a00 = 0, a01 = 0, a11 = 1 / (slope_deviation * slope_deviation), b0 = 0, b1 = slope_mean * a11;
    for (std::size_t i = 0; i < x.size(); ++i) {
      a00 += weight[i], a01 += weight[i] * x[i], a11 += weight[i] * x[i] * x[i];
      b0 += weight[i] * y[i], b1 += weight[i] * x[i] * y[i];
    }
    const double det = a00 * a11 - a01 * a01;
    v00 = a11 / det, v01 = -a01 / det, v11 = a00 / det;
    intercept = v00 * b0 + v01 * b1;
    slope = v01 * b0 + v11 * b1;
  }
  double at(double x) const { return intercept + slope * x; }
  double variance(double x) const { return v00 + 2 * x * v01 + x * x * v11; }
};
// Variance within sizes, with `prior` counted as two runs' worth.
double within(const std::vector<double>& sizes, const std::vector<double>& values, double prior) {
  std::map<double, std::vector<double>> by_size;
  for (std::size_t i = 0; i < sizes.size(); ++i) by_size[sizes[i]].push_back(values[i]);
  double spread = 2 * prior * prior, freedom = 2;
  for (const auto& [size, of] : by_size) {
    double mean = 0;
    for (const double v : of) mean += v / static_cast<double>(of.size());
    for (const double v : of) spread += (v - mean) * (v - mean);
    freedom += static_cast<double>(of.size()) - 1;
  }
  return spread / freedom;
}

}  // namespace

LearningCurve::LearningCurve(const std::vector<CurvePoint>& points) {
  if (points.size() < 2) throw Error(Code::usage, "a learning curve wants at least two runs, not " + std::to_string(points.size()));
  std::vector<double> sizes, x, y, weight;
  for (const CurvePoint& p : points) {
    if (!(p.images >= 1) || !(p.accuracy >= 0 && p.accuracy <= 1) || !(p.judged >= 1))
      throw Error(Code::usage, "a learning curve wants images and judged of at least 1 and accuracies from 0 to 1");
    center_ += std::log(p.images) / static_cast<double>(points.size());
    largest_ = std::max(largest_, p.images);
    sizes.push_back(p.images);
    y.push_back(std::log(error_of(p.accuracy, p.judged)));
  }
  noise_ = within(sizes, y, kSeedDeviation);
  for (const CurvePoint& p : points) {
    x.push_back(std::log(p.images) - center_);
    weight.push_back(1 / (noise_ + counting(error_of(p.accuracy, p.judged), p.judged)));
  }
  const Line line(x, y, weight, kSlope, kSlopeDeviation);
  intercept_ = line.intercept, slope_ = line.slope;
  v00_ = line.v00, v01_ = line.v01, v11_ = line.v11;
}

Prediction LearningCurve::at(double images, double judged) const {
  const double x = std::log(images) - center_;
  Prediction p;
  p.log_error = intercept_ + slope_ * x;
  const double beyond = kPerDoubling * std::max(0.0, std::log2(images / largest_));
  p.deviation =
      std::sqrt(v00_ + 2 * x * v01_ + x * x * v11_ + noise_ + beyond * beyond + counting(std::min(0.999, std::exp(p.log_error)), judged));
  const auto accuracy = [&](double deviations) { return 1 - std::min(1.0, std::exp(p.log_error - deviations * p.deviation)); };
  p.accuracy = accuracy(0);
  p.low = accuracy(-kEighty);
  p.high = accuracy(kEighty);
  return p;
}

double surely_better(const std::vector<CurvePoint>& a, const std::vector<CurvePoint>& b, double images) {
  if (a.size() != b.size() || a.size() < 2)
    throw Error(Code::usage, "runs that are compared one by one are as many on both sides, at least two");
  std::vector<double> sizes, x, y, weight;
  double center = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].images != b[i].images || a[i].judged != b[i].judged)
      throw Error(Code::usage, "runs that are compared one by one have the same images and judges");
    sizes.push_back(a[i].images);
    center += std::log(a[i].images) / static_cast<double>(a.size());
    largest = std::max(largest, a[i].images);
    y.push_back(std::log(error_of(a[i].accuracy, a[i].judged)) - std::log(error_of(b[i].accuracy, b[i].judged)));
  }
  const double noise = within(sizes, y, kPairDeviation);
  for (std::size_t i = 0; i < a.size(); ++i) {
    x.push_back(std::log(a[i].images) - center);
    const auto counted = [](const CurvePoint& p) { return counting(error_of(p.accuracy, p.judged), p.judged); };
    weight.push_back(
        1 / (noise + 0.5 * (counted(a[i]) + counted(b[i]))));  // they miss many of the same images: half of what it would be for strangers
  }
  const Line line(x, y, weight, 0, kPairSlopeDeviation);
  const double at = std::log(images) - center, beyond = kPerDoubling * std::max(0.0, std::log2(images / largest));
  const double z = -line.at(at) / std::sqrt(line.variance(at) + beyond * beyond);
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

double LearningCurve::meets(const LearningCurve& o) const {
  if (std::abs(slope_ - o.slope_) < 1e-6) return -1;
  const double x = ((o.intercept_ - o.slope_ * o.center_) - (intercept_ - slope_ * center_)) / (slope_ - o.slope_);
  return std::abs(x) < 60 ? std::exp(x) : -1;
}

}  // namespace graft
