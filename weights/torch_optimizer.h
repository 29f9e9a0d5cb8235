// The state of torch.optim's optimisers, read from a checkpoint, so that training goes on where PyTorch stopped.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/optim/optimizer.h"
#include "weights/source.h"

namespace graft {

struct TorchOptimizerGroup {
  OptimOptions options;
  double initial_lr = 0;           // before any schedule, where one was attached; else options.lr
  std::vector<std::string> names;  // of its parameters, in their order
};

struct TorchOptimizer {
  std::string where;  // the path of the state in the file: "optimizer_state_dict", or "" for the file itself
  std::vector<TorchOptimizerGroup> groups;
  std::vector<std::pair<std::string, Tensor>> state;  // what Optimizer::load_state takes, with `steps`
  std::int64_t steps = 0;                             // updates; SGD does not count, its momentum tells that there was one at least
};

// `names`: the parameters in the order in which torch's optimiser was given them, which is what its numbers mean; empty: the names it kept
// itself (torch 2.6 and later, from named_parameters()). `adam`: "adam" or "adamw", for states that do not tell which they are (torch
// before 2.6, with a weight decay). `where`: which one, when the file has several; empty: the only one. Adam, AdamW, SGD, RMSprop and
// Adagrad. Moments stay in their type, but what belongs to bf16 and f16 parameters becomes f32, as graft keeps it. Throws Error(input): no
// optimiser's state or several, another optimiser, numbers of parameters that differ, options and states that do not fit together.
TorchOptimizer read_torch_optimizer(const Source& source, const std::vector<std::string>& names, const std::string& adam = "",
                                    const std::string& where = "");

}  // namespace graft
