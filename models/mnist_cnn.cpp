#include "models/mnist_cnn.h"

namespace graft {

MnistCnn::MnistCnn(const Params& p, const MnistCnnConfig& config)
    : config_(config),
      conv1_(p / "conv1", 1, 32, 3),
      conv2_(p / "conv2", 32, 64, 3),
      fc1_(p / "fc1", 9216, 128),
      fc2_(p / "fc2", 128, config.classes) {}

Tensor MnistCnn::forward(const Tensor& x, Run& run) const { return fc2_.forward(features(x, run), run); }

Tensor MnistCnn::features(const Tensor& x, Run& run) const {
  if (x.rank() != 4 || x.size(1) != 1 || x.size(2) != 28 || x.size(3) != 28)
    throw Error(Code::usage,
                "mnist-cnn: input is " + x.str() + " but must be [n,1,28,28]; bring them to it with data.size=28 data.bands=1");
  Tensor y = segment(x, run, [this](const Tensor& in, Run& r) {
    Tensor z = conv2d_relu(in, conv1_.effective(), conv1_.bias);
    if (config_.channels_last) z = permute(contiguous(permute(z, {0, 2, 3, 1})), {0, 3, 1, 2});
    z = max_pool2d(conv2d_relu(z, conv2_.effective(), conv2_.bias), PoolGeometry{2, 2, 2, 2});
    return r.training ? dropout(z, config_.dropout1, r.random) : z;
  });
  y = relu(fc1_.forward(flatten(y, 1), run));
  if (run.training) y = dropout(y, config_.dropout2, run.random);
  return y;
}

}  // namespace graft
