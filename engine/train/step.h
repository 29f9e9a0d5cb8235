// One optimiser step of a classifier: forward, loss, gradients, clipping, update. On a device the whole step can be captured as a graph,
// once for each size of batch, and replayed: what changes from step to step (batch, learning rate, step count, random stream, clip factor)
// is read from device memory, so the numbers are those of a step without a graph, bit for bit.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/nn/layers.h"
#include "engine/optim/optimizer.h"

namespace graft {

// What is added to a gradient, alpha * (param - start): L2-SP, Li et al. 2018. A parameter without a gradient is not pulled.
struct Pull {
  Tensor param, start;
  double alpha = 0;
};

struct StepOptions {
  CrossEntropyOptions loss;
  double clip_norm = 0;         // 0: not clipped
  DType images = DType::f32;    // in which the model takes them
  std::uint64_t seed = 0;       // of dropout
  bool recompute = false;       // Run::recompute
  bool graph = false;           // capture and replay
  std::int64_t accumulate = 1;  // micro-batches that a batch is cut into (at most one per image); the gradient is the whole batch's
  std::vector<Pull> pulls;      // before clipping; the loss that is told is without them
  // What a forward pass writes besides its result, such as running statistics. A step that is not finite leaves these as it found them;
  // kept in memory for each step, so they are named only where a run goes on after such a step.
  Tensors statistics;
};

class TrainStep {
 public:
  // All outlive the step; ema may be nullptr. On the queue of this thread.
  TrainStep(const Module& model, Optimizer& optimizer, Ema* ema, const StepOptions& options);
  ~TrainStep();

  // Step number `step`, from 0. `meanwhile` is called once the queue has the forward and backward passes: what the host does there, such as
  // making the next batch, is done beside a device's work. Then loss and norm are waited for, before they reach a weight; a captured step
  // does not wait. The first batch of a size runs without a graph, the second is captured.
  void run(const Batch& batch, std::int64_t step, double lr_factor, const std::function<void()>& meanwhile = {});
  // Of the last run(); both wait for it. A bad index that it met is thrown here.
  double loss() const;
  // Were loss and gradient norm (where it is asked for) finite? If not, the weights and StepOptions::statistics were left as they were; a
  // replayed step cannot tell and says yes.
  bool finite() const { return finite_; }
  // Runs the step again without an update and says what was not finite first, and for which of the batch's images. Reads everything on the
  // host. Leaves StepOptions::statistics as they were.
  struct Diagnosis {
    std::string text;                  // a parameter, the images, or an operation
    std::vector<std::int64_t> places;  // in the batch
  };
  Diagnosis diagnose(const Batch& batch, std::int64_t step);
  double grad_norm() const;  // before clipping; 0 unless clipped

  // Other parameters want gradients than in the steps before: what was captured is no longer the step.
  void forget_captured();

  std::int64_t replays() const { return replays_; }
  const std::string& why_no_graph() const { return why_; }  // why steps are not captured, or empty

 private:
  struct Captured;
  Tensor gradients(const Batch& batch, const RandomState& random);
  void plain(const Batch& batch, std::int64_t step, double lr_factor, const std::function<void()>& meanwhile);
  void body(const Batch& batch);
  RandomState random(std::int64_t step) const;

  const Module& model_;
  Optimizer& optimizer_;
  Ema* ema_;
  StepOptions o_;
  Tensors params_;
  std::string why_;
  bool finite_ = true;
  std::int64_t replays_ = 0;
  Tensor loss_, norm_;  // of the last run
  Tensor offset_;       // i64 [2] on the device: how far the step's random stream is from the first one's
  std::map<std::int64_t, std::unique_ptr<Captured>> captured_;  // by size of the batch
};

}  // namespace graft
