// The part of the preflight that runs the model and the step.
#pragma once
#include "engine/train/preflight_data.h"

namespace graft {

// Parameters, buffers and gradients as they are now; restore() and the end of the object put them back.
class Kept {
 public:
  explicit Kept(const Params& params);
  ~Kept();
  Kept(const Kept&) = delete;
  void restore() const;             // values; gradients are left alone
  void forget_gradients() const;    // of all parameters: none
  bool moved(std::size_t i) const;  // is params.all()[i] another than at the beginning?
  std::int64_t bytes() const;

 private:
  const Params& params_;
  Tensors values_, gradients_;
};

// Shapes, evaluation, outputs, start. Returns whether the model can be run.
bool check_model(const Rig& rig, const DataVerdict& data, const Kept& kept, std::vector<Finding>& findings);
// Gradients, updates, one batch, learning, memory, loader, time.
void check_training(const Rig& rig, const DataVerdict& data, const Kept& kept, bool full, std::vector<Finding>& findings);

std::string decimals(double v);  // "0.0123"
// The cross-entropy of each sample.
std::vector<double> sample_losses(const Tensor& logits, const Batch& batch);

}  // namespace graft
