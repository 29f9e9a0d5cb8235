// How accuracy grows with training images, from runs on parts of the data: the error falls as a power of their number (Hestness et al.,
// Deep learning scaling is predictable, empirically, 2017), a straight line in logarithms. Few points make a wide interval, and a prior
// keeps the slope where slopes have been seen.
#pragma once
#include <cstdint>
#include <vector>

namespace graft {

struct CurvePoint {
  double images = 0, accuracy = 0;  // of one run
  double judged = 0;                // on so many images
};
struct Prediction {
  double accuracy = 0, low = 0, high = 0;  // 80 % lie between low and high
  double log_error = 0, deviation = 0;     // the same in logarithms of the error
};

class LearningCurve {
 public:
  // Error(usage) for fewer than two points, or a number outside its range.
  explicit LearningCurve(const std::vector<CurvePoint>& points);
  // Of one run on so many images, judged on `judged` others. What lies beyond the largest size seen is surer to differ: a deviation of 0.1
  // in the logarithm for each doubling is added.
  Prediction at(double images, double judged) const;
  double slope() const { return slope_; }  // of log(error) over log(images)
  // The number of images at which this curve meets the other one; below 0 where they never do.
  double meets(const LearningCurve& other) const;

 private:
  double intercept_ = 0, slope_ = 0;  // at the mean of log(images)
  double center_ = 0, largest_ = 0;
  double v00_ = 0, v01_ = 0, v11_ = 0;  // their covariance
  double noise_ = 0;                    // variance between seeds
};

// How sure it is that runs of the first kind have a smaller error than runs of the second with so many images, from runs that share their
// images, seeds and judges one by one: what was lucky for one was lucky for the other, so their difference is surer than both. Error(usage)
// where they do not match.
double surely_better(const std::vector<CurvePoint>& a, const std::vector<CurvePoint>& b, double images);

}  // namespace graft
