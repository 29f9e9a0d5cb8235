// The learning-rate range test (Smith: Cyclical learning rates for training neural networks; WACV 2017): one short training in which the
// rate grows exponentially until the loss explodes. Where the loss falls fastest is a good rate; from where it begins to fall to where it
// is lowest is the usable range.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/train/trainer.h"

namespace graft {

struct LrFinderOptions {
  double low = 1e-6, high = 10;  // rates of the first and of the last step
  std::int64_t steps = 120;
  double explode = 4;  // it ends when the mean of the last losses is so many times its lowest, or a loss is not finite
};
struct LrCurve {
  std::vector<double> lr, loss,
      smoothed;           // a value per step, losses finite; smoothed: the mean of some steps on both sides, so that it does not lag behind
  bool exploded = false;  // it ended before `high`
  struct Suggestion {
    double lr = 0;             // the steepest fall of the smoothed loss over log(lr)
    double low = 0, high = 0;  // a tenth of the fall is done; the smoothed loss is lowest
  };
  std::optional<Suggestion> suggestion;  // absent where the loss does not fall by more than five standard errors of its smoothed self
};

// What a measured curve says: rates rising, a finite loss for each. Error(usage) where there are fewer than eight or their numbers differ.
LrCurve lr_curve(std::vector<double> lr, std::vector<double> loss);
// Runs the test on `params` of `model`, which are spoiled by it, with the optimizer, batches and everything else of `config` but its
// schedule. `stop` is asked after each step; the curve ends there. Error(usage) unless 0 < low < high and steps >= 8; Error(diverged) where
// the loss explodes within seven steps.
LrCurve find_lr(const Module& model, const Params& params, const Config& config, const Dataset& train_set,
                const LrFinderOptions& options = {}, const std::function<bool()>& stop = {});

}  // namespace graft
