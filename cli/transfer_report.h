// What a fine-tuning says of each tensor (learning rate, weight decay, when it trains), and the proof that what is frozen was left alone.
#pragma once
#include <string>

#include "cli/common.h"
#include "engine/train/transfer.h"

namespace graft::cli {

Json parameters_json(const TransferPlan& plan, const Config& config);   // an object per tensor, in the model's order
void print_parameters(const TransferPlan& plan, const Config& config);  // the same as a table on stderr

// Fingerprint of plan.frozen before and after a training.
class FrozenProof {
 public:
  explicit FrozenProof(const TransferPlan& plan);
  // After the training: {count, hash_before, hash_after, unchanged}. Error(bug) naming the first tensor that has changed.
  Json check() const;
  std::string line() const;  // "N frozen tensors unchanged (hash ...)", once check() has passed

 private:
  std::vector<std::pair<std::string, Tensor>> frozen_;
  std::vector<std::string> each_;  // by tensor
  std::string before_;
};

}  // namespace graft::cli
