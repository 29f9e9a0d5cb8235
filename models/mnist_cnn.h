// The network of PyTorch's MNIST example: conv 3x3x32, ReLU, conv 3x3x64, ReLU, max pool 2, dropout, 9216-128-classes. Parameter names are
// its own.
#pragma once
#include "engine/nn/layers.h"

namespace graft {

struct MnistCnnConfig {
  std::int64_t classes = 10;
  double dropout1 = 0.25, dropout2 = 0.5;
  bool channels_last = false;  // activations lie as NHWC in memory; the result is the same within rounding
};

class MnistCnn : public Module {
 public:
  MnistCnn(const Params& p, const MnistCnnConfig& config);
  // x [n, 1, 28, 28] -> logits [n, classes]. Throws Error(usage) on another shape.
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor features(const Tensor& x, Run& run) const override;  // [n, 128]

 private:
  MnistCnnConfig config_;
  Conv2d conv1_, conv2_;
  Linear fc1_, fc2_;
};

}  // namespace graft
