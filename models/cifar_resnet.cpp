#include "models/cifar_resnet.h"

#include <cmath>
#include <string>

namespace graft {
namespace {

// kaiming_normal_ of every convolution and linear weight; a linear bias keeps its layer's own.
const Init kDraw = Init::kaiming_normal(std::sqrt(2.0));

Conv2d conv3x3(const Params& p, std::int64_t in, std::int64_t out, std::int64_t stride) {
  ConvGeometry g;
  g.stride_h = g.stride_w = stride;
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 1;
  return Conv2d(p, in, out, 3, 3, g, false, kDraw);
}

}  // namespace

struct CifarResnet::Block {
  Block(const Params& p, std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv1(conv3x3(p / "conv1", in, out, stride)),
        bn1(p / "bn1", out),
        conv2(conv3x3(p / "conv2", out, out, 1)),
        bn2(p / "bn2", out),
        in(in),
        out(out),
        stride(stride) {}
  Tensor shortcut(const Tensor& x) const {
    if (stride == 1 && in == out) return x;
    const Tensor small = slice(slice(x, 2, 0, kEnd, stride), 3, 0, kEnd, stride);
    const std::int64_t before = (out - in) / 2;
    return pad(small, {{0, 0}, {before, out - in - before}, {0, 0}, {0, 0}});
  }
  Tensor forward(const Tensor& x, Run& run) const {
    const Tensor y = relu(bn1.forward(conv1.forward(x, run), run));
    return relu(add(bn2.forward(conv2.forward(y, run), run), shortcut(x)));
  }
  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
  std::int64_t in, out, stride;
};

CifarResnet::CifarResnet(const Params& p, const CifarResnetConfig& c)
    : config_(c), conv1_(conv3x3(p / "conv1", c.channels, c.width, 1)), bn1_(p / "bn1", c.width) {
  if (c.depth < 8 || (c.depth - 2) % 6)
    throw Error(Code::usage, "cifar-resnet: depth " + std::to_string(c.depth) + " is not 6n + 2; take 20, 32, 44 or 56");
  std::int64_t in = c.width;
  for (std::int64_t stage = 0; stage < 3; ++stage)
    for (std::int64_t b = 0; b < (c.depth - 2) / 6; ++b) {
      const std::int64_t out = c.width << stage;
      blocks_.push_back(
          std::make_shared<Block>(p / ("layer" + std::to_string(stage + 1)) / std::to_string(b), in, out, stage > 0 && b == 0 ? 2 : 1));
      in = out;
    }
  linear_ = std::make_shared<Linear>(p / "linear", in, c.classes, true, kDraw);
}

Tensor CifarResnet::features(const Tensor& x, Run& run) const {
  if (x.rank() != 4 || x.size(1) != config_.channels)
    throw Error(Code::usage, "cifar-resnet: input is " + x.str() + " but must be [n," + std::to_string(config_.channels) +
                                 ",h,w]; it was made for images with as many channels");
  Tensor y = relu(bn1_.forward(conv1_.forward(x, run), run));
  for (const auto& b : blocks_) y = segment(y, run, [&b = *b](const Tensor& in, Run& r) { return b.forward(in, r); });
  return global_avg_pool(y);
}

Tensor CifarResnet::forward(const Tensor& x, Run& run) const { return linear_->forward(features(x, run), run); }

}  // namespace graft
