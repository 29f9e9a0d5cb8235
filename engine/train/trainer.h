// The training loop of a classifier: batches, loss, gradients, update; evaluation and checkpoints at intervals. It knows no file and no
// console: what it has to say goes through Watch.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/nn/layers.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "engine/train/config.h"
#include "engine/train/evaluate.h"
#include "engine/train/step.h"

namespace graft {

DType image_dtype(const Config& config);  // of train.dtype
// What every step of `config` has, in a run as in those that try it out (lr_finder.h, preflight.h). Capture, pulls and kept statistics are
// the caller's to add.
StepOptions step_options(const Config& config);

// What a training needs beside its parameters to go on as if it had never stopped. Its random numbers and the order of its samples are
// functions of (seed, step), so they are not here.
struct TrainState {
  std::int64_t step = 0;  // updates done
  std::int64_t optimizer_steps = 0;
  bool evaluated = false;  // the evaluation that is due after this step, if any, is done
  bool any_evaluation = false;
  double accuracy = 0, held_out_loss = 0;   // of the last evaluation
  double best_accuracy = 0, best_loss = 0;  // of the best one
  std::int64_t best_step = 0;               // when that was; without held-out images: the last checkpoint
  std::int64_t stale = 0;                   // evaluations since then (train.patience)
  double loss = 0, seconds = 0, eval_seconds = 0, data_seconds = 0;
  double rate = 1;  // the learning rate's share that rolling back has left (train.on_nan)
  std::int64_t rollbacks = 0;
  OverfitState overfit;
  std::int64_t samples = 0;
  // "optim.PARAM.exp_avg": the optimizer's; with optim.l2_sp also "start.PARAM": what the pull goes towards; with train.ema also
  // "weight.PARAM": the weights that are trained, while the parameters hold their mean, and of 16-bit ones "mean.PARAM", in f32
  std::vector<std::pair<std::string, Tensor>> tensors;
};

struct StepReport {
  std::int64_t step = 0, steps = 0, epoch = 0;  // step counts from 1
  double loss = 0, lr = 0, grad_norm = 0;       // grad_norm: 0 unless clipping asks for it
  double seconds = 0;                           // since the start
  double data_seconds = 0;                      // of these, making batches; a device works on meanwhile
  std::int64_t samples = 0;
};
struct EpochReport {
  std::int64_t epoch = 0, step = 0;
  Evaluation held_out;
  Evaluation train;  // of eval.train_count training images, as they are; none of them where that is 0
  bool best = false;
};
struct Watch {
  std::function<void(const StepReport&)> on_step;  // every step
  std::function<void(const EpochReport&)> on_eval;
  std::function<void(const TrainState&, bool best)> save;  // write a checkpoint of this and of the parameters now
  std::function<std::optional<TrainState>()> rollback;     // the newest checkpoint's state, its parameters put back; empty: there is none
  std::function<bool()> stop;                              // asked after each step: end here, after a checkpoint
  std::function<bool()> checkpoint;                        // asked after each step: write one, go on
  std::function<void(const std::string&)> note;            // something that was asked for is done another way, and why
};
struct TrainResult {
  double accuracy = 0, held_out_loss = 0, best_accuracy = 0, loss = 0;  // accuracies are of held-out images, 0 where there are none
  std::int64_t steps = 0, samples = 0;
  double seconds = 0;  // training alone, without evaluation
  double eval_seconds = 0;
  std::int64_t skipped = 0;   // steps without an update, because something was not finite (train.on_nan)
  std::int64_t replayed = 0;  // steps that were replays of a graph (train.graph)
  std::int64_t rollbacks = 0;
  bool stopped = false;  // because Watch::stop said so
  bool early = false;    // train.patience ended it
};

// Trains `params` of `model` as `config` says. `held_out` is what evaluations look at: it chooses the best checkpoint and ends training
// early; it may be empty, then the last checkpoint counts as the best. `from`: what a checkpoint's save() got; the parameters hold what was
// saved with it, and the numbers are those of a run that never stopped. Throws Error(diverged) when the loss is not finite beyond what
// train.on_nan forgives, naming the first operation and the images, and when outputs for held-out images or weights to save are not;
// such weights are neither best nor saved; Error(input) when `from` does not fit. `optimizer`: its state to begin
// with where `from` is not given: "PARAM.exp_avg" and so on, and how many updates made it.
struct OptimizerStart {
  std::vector<std::pair<std::string, Tensor>> state;
  std::int64_t steps = 0;
};
TrainResult train(const Module& model, const Params& params, const Config& config, const Dataset& train_set, const Dataset& held_out,
                  const Watch& watch, const TrainState* from = nullptr, const OptimizerStart* optimizer = nullptr);

OptimOptions optim_options(const Config& config);  // of [optim]
// The optimizer of [optim] over the trainable parameters, all alike; biases and norms (rank below 2) are not decayed by adamw, adafactor
// and lion.
Optimizer make_optimizer(const Config& config, const Params& params);
Schedule make_schedule(const Config& config, std::int64_t steps, std::int64_t steps_per_epoch);

}  // namespace graft
