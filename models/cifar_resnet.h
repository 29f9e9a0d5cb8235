// The residual network for small images of He et al. 2015, section 4.2: a 3x3 convolution, three stages of n blocks with 1, 2 and 4 times
// `width` channels at full, half and quarter size, the mean of each channel, a linear layer; depth 6n + 2. The shortcut is option A,
// without parameters: where a stage begins, every second pixel, and zero channels in equal parts before and behind. Names and initial
// values are those of github.com/akamaster/pytorch_resnet_cifar10.
#pragma once
#include <memory>
#include <vector>

#include "engine/nn/layers.h"

namespace graft {

struct CifarResnetConfig {
  std::int64_t depth = 20;  // 6n + 2: 20, 32, 44, 56; Error(usage) otherwise
  std::int64_t width = 16;  // channels of the first stage
  std::int64_t channels = 3, classes = 10;
};

class CifarResnet : public Module {
 public:
  CifarResnet(const Params& p, const CifarResnetConfig& config);
  // x [n, channels, h, w] -> logits [n, classes]; h and w are free. Throws Error(usage) on another shape.
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor features(const Tensor& x, Run& run) const override;  // [n, 4 * width]

 private:
  struct Block;
  CifarResnetConfig config_;
  Conv2d conv1_;
  BatchNorm bn1_;
  std::vector<std::shared_ptr<const Block>> blocks_;
  std::shared_ptr<const Linear> linear_;  // made last: parameters are asked for in the network's order
};

}  // namespace graft
