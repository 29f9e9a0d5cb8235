// What a fine-tuning does to each tensor, in one place: learning rate, weight decay, pull towards the start, and when it trains. Everything
// is a function of the configuration ([init], [optim], [peft]) and of the parameters, so that a run that goes on computes it again.
//
// Depth: the head is stage 0, and stages count from there to the images, in the order in which the model asked for its parameters. A stage
// is a block (the path up to its first number, layer1.0) or, where no number stands, a layer (conv1); a normalisation outside blocks
// belongs to the layer before it.
//
// Batch norms (init.batch_norm): `train` as in training from scratch, where the running statistics of frozen layers move too; `eval` uses
// the running statistics, leaves them, and freezes weight and bias; `affine` uses and leaves the statistics and trains weight and bias.
//
// Adapters (peft.method=lora): base weights, norms and biases are frozen, and lora_A, lora_B and the head train.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/nn/params.h"
#include "engine/optim/optimizer.h"
#include "engine/train/config.h"

namespace graft {

inline constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();

// May `text` be written as `pattern`, in which * stands for anything, also nothing?
bool matches_pattern(std::string_view pattern, std::string_view text);

struct ParamPlan {
  std::string name;
  Tensor tensor;
  std::int64_t stage = 0;  // depth from the head
  double lr_factor = 1;    // of optim.lr
  double weight_decay = 0;
  double l2_sp = 0;               // alpha of the pull towards the value it started with
  std::int64_t frozen_until = 0;  // epochs before it trains, or kForEver
};

struct TransferPlan {
  std::vector<ParamPlan> params;  // all that are no buffers, in the model's order
  // What must be the same at the end: tensors frozen for ever, and running statistics that are kept.
  std::vector<std::pair<std::string, Tensor>> frozen;

  // Tensors want gradients as they should in `epoch`, from 0. True when that differs from before.
  bool open(std::int64_t epoch) const;
  // Over what trains now or later; all of that wants a gradient afterwards, so open() the epoch.
  Optimizer optimizer(const Config& config) const;
  std::int64_t last_opening() const;  // the epoch in which the last tensors begin to train; 0: all do from the start
};

// The rules that a model is built by. `head`: path of the layer whose size follows the classes.
LayerRules layer_rules(const Config& config, const std::string& head);
// Of a model that was built by them. A tensor that the caller has frozen stays so. Error(usage) for a pattern that matches nothing,
// settings that contradict each other, and when nothing is left to train.
TransferPlan plan_transfer(const Config& config, const Params& params);

}  // namespace graft
