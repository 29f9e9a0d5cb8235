#include "models/mnist_bn_cnn.h"

namespace graft {

MnistBnCnn::MnistBnCnn(const Params& p, const MnistBnCnnConfig& config)
    : config_(config),
      conv1_(p / "conv1", 1, 8, 3),
      conv2_(p / "conv2", 8, 16, 3),
      conv3_(p / "conv3", 16, 24, 3),
      norm1_(p / "norm1", 24),
      fc1_(p / "fc1", 24 * 22 * 22, 32),
      fc2_(p / "fc2", 32, config.classes),
      norm2_(p / "norm2", config.classes) {}

Tensor MnistBnCnn::forward(const Tensor& x, Run& run) const {
  Tensor y = features(x, run);
  if (run.training) y = dropout(y, config_.dropout, run.random);
  return norm2_.forward(fc2_.forward(y, run), run);
}

Tensor MnistBnCnn::features(const Tensor& x, Run& run) const {
  if (x.rank() != 4 || x.size(1) != 1 || x.size(2) != 28 || x.size(3) != 28)
    throw Error(Code::usage,
                "mnist-bn-cnn: input is " + x.str() + " but must be [n,1,28,28]; bring them to it with data.size=28 data.bands=1");
  const Tensor y = segment(x, run, [this](const Tensor& in, Run& r) {
    return norm1_.forward(relu(conv3_.forward(relu(conv2_.forward(relu(conv1_.forward(in, r)), r)), r)), r);
  });
  return relu(fc1_.forward(flatten(y, 1), run));
}

}  // namespace graft
