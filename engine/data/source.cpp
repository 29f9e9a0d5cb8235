#include "engine/data/source.h"

#include "kernels/core/error.h"

namespace graft {
namespace {

class MemoryImages : public ImageSource {
 public:
  MemoryImages(std::string name, Tensor block) : name_(std::move(name)), block_(std::move(block)) {}
  std::int64_t size() const override { return block_.size(0); }
  Image read(std::int64_t i) const override {
    if (i < 0 || i >= size()) throw Error(Code::bug, name_ + ": there is no picture " + std::to_string(i) + " among " + std::to_string(size()));
    const std::int64_t bands = block_.size(1), pixels = block_.size(2) * block_.size(3);
    Image image = Image::make(block_.size(2), block_.size(3), bands, block_.dtype() == DType::u8 ? Image::Depth::u8 : Image::Depth::f32);
    const auto interleave = [&](auto zero) {
      using T = decltype(zero);
      const T* from = block_.data<T>() + i * bands * pixels;
      T* to = image.data<T>();
      for (std::int64_t p = 0; p < pixels; ++p)
        for (std::int64_t b = 0; b < bands; ++b) to[p * bands + b] = from[b * pixels + p];
    };
    if (block_.dtype() == DType::u8) interleave(std::uint8_t{});
    else interleave(float{});
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
  if (block.rank() != 4 || !block.is_contiguous() || (block.dtype() != DType::u8 && block.dtype() != DType::f32) || block.device().kind != DeviceKind::cpu)
    throw Error(Code::bug, name + ": a block of pictures is u8 or f32 [n, bands, height, width], dense, on the CPU, not " + block.str());
  return std::make_shared<MemoryImages>(std::move(name), std::move(block));
}

}  // namespace graft
