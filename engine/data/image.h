// A picture in memory, as deep and with as many bands as its file: nothing is cut to 8 bits or to three bands on the way in. And what
// belongs to a picture and moves with it: boxes and a mask.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace graft {

struct Image {
  enum class Depth { u8, u16, f32 };
  std::int64_t height = 0, width = 0, bands = 0;
  Depth depth = Depth::u8;
  std::vector<std::byte> bytes;  // [height, width, bands], row-major, in the machine's byte order

  // Zeros. Error(usage) for a size below 1; Error(memory) where the bytes are not to be had.
  static Image make(std::int64_t height, std::int64_t width, std::int64_t bands, Depth depth = Depth::u8);
  std::int64_t numel() const { return height * width * bands; }
  static std::int64_t size_of(Depth d) { return d == Depth::u8 ? 1 : d == Depth::u16 ? 2 : 4; }
  double white() const { return depth == Depth::u8 ? 255 : depth == Depth::u16 ? 65535 : 1; }  // what stands for 1
  template <class T>  // std::uint8_t, std::uint16_t or float, as depth says
  T* data() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <class T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};
// f with a value of the element's type: with_depth(d, [&](auto zero) { using T = decltype(zero); ... }).
template <class F>
auto with_depth(Image::Depth d, F&& f) {
  switch (d) {
    case Image::Depth::u8: return f(std::uint8_t{});
    case Image::Depth::u16: return f(std::uint16_t{});
    default: return f(float{});
  }
}

struct Box {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // in pixels; [x0, x1) x [y0, y1): a box over the whole picture is 0, 0, width, height
  std::int64_t label = 0;
};
struct Sample {
  Image image;
  std::vector<Box> boxes;
  std::optional<Image> mask;  // one band, u8 or u16: a class per pixel, of the picture's size
};

}  // namespace graft
