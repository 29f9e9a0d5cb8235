// A small network for MNIST with batch norms: conv 3x3x8, 3x3x16 and 3x3x24, each with ReLU, batch norm, 11616-32-classes, and a batch norm
// of the logits. It is the network of the checkpoints that Burn's import example carries (tracel-ai/burn, examples/import-model-weights);
// names are theirs. Their last step, log-softmax, is left to the loss: log_softmax of a log_softmax is itself, so nothing changes.
#pragma once
#include "engine/nn/layers.h"

namespace graft {

struct MnistBnCnnConfig {
  std::int64_t classes = 10;
  double dropout = 0.5;  // before the last layer
};

class MnistBnCnn : public Module {
 public:
  MnistBnCnn(const Params& p, const MnistBnCnnConfig& config);
  // x [n, 1, 28, 28] -> logits [n, classes]. Throws Error(usage) on another shape.
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor features(const Tensor& x, Run& run) const override;  // [n, 32]

 private:
  MnistBnCnnConfig config_;
  Conv2d conv1_, conv2_, conv3_;
  BatchNorm norm1_;
  Linear fc1_, fc2_;
  BatchNorm norm2_;
};

}  // namespace graft
