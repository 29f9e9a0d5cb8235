#include "engine/train/learning_curve.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr double kSlope = -0.35, kSlopeDeviation = 0.25;  // the exponents of image tasks lie between -0.1 and -0.7
constexpr double kSeedDeviation = 0.1;                    // of log(error), counted as two runs' worth of evidence
constexpr double kPerDoubling = 0.1;
constexpr double kEighty = 1.2815515655446004;            // 80 % of a normal distribution lie within so many deviations

// No error on n images is not an error of zero: the middle of what such a count is worth.
double error_of(double accuracy, double judged) { return (std::max(0.0, 1 - accuracy) * judged + 0.5) / (judged + 1); }
// Of log(error), for a share counted on `judged` images.
double counting(double error, double judged) { return (1 - error) / (error * judged); }

}  // namespace

LearningCurve::LearningCurve(const std::vector<CurvePoint>& points) {
  if (points.size() < 2) throw Error(Code::usage, "a learning curve wants at least two runs, not " + std::to_string(points.size()));
  std::map<double, std::vector<double>> by_size;
  for (const CurvePoint& p : points) {
    if (!(p.images >= 1) || !(p.accuracy >= 0 && p.accuracy <= 1) || !(p.judged >= 1)) throw Error(Code::usage, "a learning curve wants images and judged of at least 1 and accuracies from 0 to 1");
    center_ += std::log(p.images) / static_cast<double>(points.size());
    largest_ = std::max(largest_, p.images);
    by_size[p.images].push_back(std::log(error_of(p.accuracy, p.judged)));
  }
  // Between seeds: what the repetitions of a size spread, together with what is usual.
  double spread = 2 * kSeedDeviation * kSeedDeviation, freedom = 2;
  for (const auto& [images, values] : by_size) {
    double mean = 0;
    for (const double v : values) mean += v / static_cast<double>(values.size());
    for (const double v : values) spread += (v - mean) * (v - mean);
    freedom += static_cast<double>(values.size()) - 1;
  }
  noise_ = spread / freedom;
  // Weighted least squares with a normal prior on the slope.
  double a00 = 0, a01 = 0, a11 = 1 / (kSlopeDeviation * kSlopeDeviation), b0 = 0, b1 = kSlope / (kSlopeDeviation * kSlopeDeviation);
  for (const CurvePoint& p : points) {
    const double error = error_of(p.accuracy, p.judged), x = std::log(p.images) - center_, y = std::log(error), w = 1 / (noise_ + counting(error, p.judged));
    a00 += w, a01 += w * x, a11 += w * x * x;
    b0 += w * y, b1 += w * x * y;
  }
  const double det = a00 * a11 - a01 * a01;
  v00_ = a11 / det, v01_ = -a01 / det, v11_ = a00 / det;
  intercept_ = v00_ * b0 + v01_ * b1;
  slope_ = v01_ * b0 + v11_ * b1;
}

Prediction LearningCurve::at(double images, double judged) const {
  const double x = std::log(images) - center_;
  Prediction p;
  p.log_error = intercept_ + slope_ * x;
  const double beyond = kPerDoubling * std::max(0.0, std::log2(images / largest_));
  p.deviation = std::sqrt(v00_ + 2 * x * v01_ + x * x * v11_ + noise_ + beyond * beyond + counting(std::min(0.999, std::exp(p.log_error)), judged));
  const auto accuracy = [&](double deviations) { return 1 - std::min(1.0, std::exp(p.log_error - deviations * p.deviation)); };
  p.accuracy = accuracy(0);
  p.low = accuracy(-kEighty);
  p.high = accuracy(kEighty);
  return p;
}

double LearningCurve::meets(const LearningCurve& o) const {
  if (std::abs(slope_ - o.slope_) < 1e-6) return -1;
  const double x = ((o.intercept_ - o.slope_ * o.center_) - (intercept_ - slope_ * center_)) / (slope_ - o.slope_);
  return std::abs(x) < 60 ? std::exp(x) : -1;
}

}  // namespace graft
