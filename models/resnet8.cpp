#include "models/resnet8.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace graft {
namespace {

// he_normal of every convolution and linear weight.
const Init kDraw = Init::kaiming_normal(std::sqrt(2.0));
constexpr double kEps = 1e-3, kMomentum = 0.01;  // Keras' 0.99 is what stays

Conv2d make_conv(const Params& p, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  ConvGeometry g;
  g.stride_h = g.stride_w = stride;
  return Conv2d(p, in, out, kernel, kernel, g, true, kDraw);
}
BatchNorm make_norm(const Params& p, std::int64_t channels) { return BatchNorm(p, channels, kEps, kMomentum); }

// Padded by TensorFlow's SAME: ceil(size / stride) out, and the odd pixel of padding behind.
Tensor same(const Conv2d& layer, const Tensor& x, Run& run) {
  Conv2d padded = layer;
  ConvGeometry& g = padded.geometry;
  const auto around = [](std::int64_t size, std::int64_t kernel, std::int64_t stride) {
    return std::max<std::int64_t>(0, ((size + stride - 1) / stride - 1) * stride + kernel - size);
  };
  const std::int64_t h = around(x.size(2), layer.weight.size(2), g.stride_h), w = around(x.size(3), layer.weight.size(3), g.stride_w);
  g.pad_top = h / 2, g.pad_bottom = h - h / 2;
  g.pad_left = w / 2, g.pad_right = w - w / 2;
  return padded.forward(x, run);
}

}  // namespace

struct Resnet8::Block {
  Block(const Params& p, std::int64_t in, std::int64_t out)
      : conv1(make_conv(p / "conv1", in, out, 3, in == out ? 1 : 2)),
        bn1(make_norm(p / "bn1", out)),
        conv2(make_conv(p / "conv2", out, out, 3, 1)),
        bn2(make_norm(p / "bn2", out)) {
    if (in != out) shortcut = std::make_shared<Conv2d>(make_conv(p / "shortcut", in, out, 1, 2));
  }
  Tensor forward(const Tensor& x, Run& run) const {
    const Tensor y = relu(bn1.forward(same(conv1, x, run), run));
    return relu(add(shortcut ? same(*shortcut, x, run) : x, bn2.forward(same(conv2, y, run), run)));
  }
  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
  std::shared_ptr<const Conv2d> shortcut;
};

Resnet8::Resnet8(const Params& p, const Resnet8Config& c)
    : config_(c), conv1_(make_conv(p / "conv1", c.channels, c.width, 3, 1)), bn1_(make_norm(p / "bn1", c.width)) {
  std::int64_t in = c.width;
  for (std::int64_t stage = 0; stage < 3; ++stage) {
    const std::int64_t out = c.width << stage;
    blocks_.push_back(std::make_shared<Block>(p / ("layer" + std::to_string(stage + 1)), in, out));
    in = out;
  }
  linear_ = std::make_shared<Linear>(p / "linear", in, c.classes, true, kDraw);
}

Tensor Resnet8::features(const Tensor& x, Run& run) const {
  if (x.rank() != 4 || x.size(1) != config_.channels)
    throw Error(Code::usage, "resnet8: input is " + x.str() + " but must be [n," + std::to_string(config_.channels) +
                                 ",h,w]; it was made for images with as many channels");
  Tensor y = relu(bn1_.forward(same(conv1_, x, run), run));
  for (const auto& b : blocks_) y = segment(y, run, [&b = *b](const Tensor& in, Run& r) { return b.forward(in, r); });
  return global_avg_pool(y);
}

Tensor Resnet8::forward(const Tensor& x, Run& run) const { return linear_->forward(features(x, run), run); }

}  // namespace graft
