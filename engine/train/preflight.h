// Checks before a long run, in seconds: what would waste the night is said before it, with its cause. Nothing of it is kept: parameters,
// running statistics and gradients are afterwards what they were, bit for bit, and each trial has an optimizer of its own.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/nn/layers.h"
#include "engine/train/config.h"

namespace graft {

// Labelled images as the model gets them, without augmentation, in an order that mixes the classes. On the CPU.
struct Samples {
  std::vector<std::int64_t> labels;                 // of all of them, in the order of the set
  std::int64_t batches = 0;                         // 0: there is no such set
  std::function<Batch(std::int64_t i)> batch = {};  // i in 0 .. batches - 1
  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

// What is checked, as functions, so that a step which somebody else wrote can be checked too.
struct Rig {
  // Step number `step` (from 0) on a batch: forward, gradients, update. Returns the loss before the update. The gradients may stay in the
  // parameters.
  using Step = std::function<double(const Batch& batch, std::int64_t step)>;

  Params params;  // what the model is made of; frozen ones do not want a gradient
  std::int64_t classes = 0;
  std::function<Tensor(const Tensor& images, Run& run)> forward = {};  // images [b, c, h, w] -> logits f32 [b, classes]
  std::function<Step(double lr_scale)> start =
      {};  // a training from its beginning, with a new optimizer, at lr_scale times its learning rate
  std::function<Batch(std::int64_t i)> train_batch = {};  // as a step gets it, augmented: the same images as train.batch(i)
  Samples train = {}, validation = {};                    // validation: what the run is judged by
  bool fresh_head = true;                                 // the last layer is drawn, so that it knows nothing yet
  double lr = 0;                                          // for the sentences
  // The forecast. steps 0: none.
  std::int64_t steps = 0, steps_per_epoch = 0, evaluations = 0, eval_batch = 0;
};

// graft's own training of `config`. The sets and `model` outlive it. `judge`: the set that the run is judged by.
Rig make_rig(const Module& model, const Params& params, const Config& config, const Dataset& train_set, const Dataset& judge);

enum class Level { ok, warn, fail };
struct Finding {
  Level level = Level::ok;
  std::string check;  // "labels", "inputs", "overlap", "signal", "shapes", "evaluation", "outputs", "start", "gradients", "updates", "one
                      // batch", "learning", "augmentation", "memory", "loader", "time"
  std::string text;   // what was found; where it is not ok: the cause and the next step
};
struct PreflightOptions {
  bool full = true;  // false: the quick half, some ten steps; what needs more training is left out
};
struct Preflight {
  std::vector<Finding> findings;
  double seconds = 0;
  Level worst() const;
};
const char* name_of(Level level);  // "ok", "warn", "fail"

// Errors of the model or the data become findings; only Error(memory) and bugs pass through.
Preflight preflight(const Rig& rig, const PreflightOptions& options = {});

}  // namespace graft
