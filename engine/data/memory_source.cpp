// Pictures that lie in memory as one block [n, bands, height, width], given out one by one as [height, width, bands].
#include <cstring>

#include "engine/data/source.h"

namespace graft {
namespace {

class MemorySource : public ImageSource {
 public:
  MemorySource(std::string name, Tensor block) : name_(std::move(name)), block_(std::move(block)) {
    const bool kind = block_.defined() && (block_.dtype() == DType::u8 || block_.dtype() == DType::f32);
    if (!kind || block_.rank() != 4 || block_.device().kind != DeviceKind::cpu || !block_.is_contiguous() || block_.size(1) < 1 ||
        block_.size(2) < 1 || block_.size(3) < 1)
      throw Error(
          Code::usage,
          name_ + ": " + (block_.defined() ? block_.str() : "no tensor") +
              " is no block of pictures; it wants a dense u8 or f32 [n, bands, height, width] on the CPU with at least one element each");
    if (block_.name().empty()) block_.set_name("images of " + name_);
  }
  std::int64_t size() const override { return block_.size(0); }
  Image read(std::int64_t i) const override {
    if (i < 0 || i >= size()) throw Error(Code::usage, where(i) + ": there are " + std::to_string(size()));
    Image image =
        Image::make(block_.size(2), block_.size(3), block_.size(1), block_.dtype() == DType::u8 ? Image::Depth::u8 : Image::Depth::f32);
    const auto interleave = [&](const auto* from, auto* to) {
      const std::int64_t pixels = image.height * image.width;
      from += i * image.numel();
      for (std::int64_t b = 0; b < image.bands; ++b)
        for (std::int64_t p = 0; p < pixels; ++p) to[p * image.bands + b] = from[b * pixels + p];
    };
    if (image.depth == Image::Depth::u8) interleave(block_.data<std::uint8_t>(), image.data<std::uint8_t>());
    else interleave(block_.data<float>(), image.data<float>());
    return image;
  }
  std::string where(std::int64_t i) const override { return name_ + ": image " + std::to_string(i); }
  Tensor block() const override { return block_; }

 private:
  std::string name_;
  Tensor block_;
};

}  // namespace

std::shared_ptr<const ImageSource> images_in_memory(std::string name, Tensor block) {
  return std::make_shared<MemorySource>(std::move(name), std::move(block));
}

}  // namespace graft
