// MLPerf Tiny's network for small images (Banbury et al. 2021; mlcommons/tiny, benchmark/training/image_classification): a 3x3 convolution
// and three residual blocks with 1, 2 and 4 times `width` channels at full, half and quarter size, the mean of each channel, a linear
// layer. It is Keras', not PyTorch's: convolutions have a bias before their batch norm, eps is 1e-3, the shortcut of a block that halves is
// a 1x1 convolution without a norm, and a stride of 2 pads by SAME, at the bottom and right alone where the size is even. Keras trained it
// on bytes as they are, 0 to 255.
#pragma once
#include <memory>
#include <vector>

#include "engine/nn/layers.h"

namespace graft {

struct Resnet8Config {
  std::int64_t width = 16;  // channels of the first block
  std::int64_t channels = 3, classes = 10;
};

class Resnet8 : public Module {
 public:
  Resnet8(const Params& p, const Resnet8Config& config);
  // x [n, channels, h, w] -> logits [n, classes]; h and w are free. Throws Error(usage) on another shape.
  Tensor forward(const Tensor& x, Run& run) const override;
  Tensor features(const Tensor& x, Run& run) const override;  // [n, 4 * width]

 private:
  struct Block;
  Resnet8Config config_;
  Conv2d conv1_;
  BatchNorm bn1_;
  std::vector<std::shared_ptr<const Block>> blocks_;
  std::shared_ptr<const Linear> linear_;  // made last: parameters are asked for in the network's order
};

}  // namespace graft
