// One hidden layer on flattened images: the floor that a convolution must beat.
#pragma once
#include "engine/nn/layers.h"

namespace graft {

struct MlpConfig {
  std::int64_t inputs = 784, hidden = 128, classes = 10;
};

class Mlp : public Module {
 public:
  Mlp(const Params& p, const MlpConfig& config);
  Tensor forward(const Tensor& x, Run& run) const override;   // x [n, ...] -> logits [n, classes]
  Tensor features(const Tensor& x, Run& run) const override;  // [n, hidden]

 private:
  Linear fc1_, fc2_;
};

}  // namespace graft
