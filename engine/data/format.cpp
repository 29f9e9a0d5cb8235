#include "engine/data/format.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "engine/data/resize.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

// Pillow's convert("L") of 8-bit RGB, rounding included; the same weights for the other depths.
template <class T>
T luma(T r, T g, T b) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(0.299 * r + 0.587 * g + 0.114 * b);
  else return static_cast<T>((std::uint64_t{r} * 19595 + std::uint64_t{g} * 38470 + std::uint64_t{b} * 7471 + 0x8000) >> 16);
}

Image to_bands(const Image& in, std::int64_t bands, const std::string& where) {
  if (in.bands > 4 || (bands != 1 && bands != 3))
    throw Error(Code::input, where + ": has " + std::to_string(in.bands) + " bands, which cannot become data.bands=" +
                                 std::to_string(bands) + "; leave data.bands at 0 to take pictures as they are");
  Image out = Image::make(in.height, in.width, bands, in.depth);
  with_depth(in.depth, [&](auto zero) {
    using T = decltype(zero);
    const T* from = in.data<T>();
    T* to = out.data<T>();
    const bool gray = in.bands < 3;  // one band, or one and alpha
    for (std::int64_t p = 0; p < in.height * in.width; ++p, from += in.bands, to += bands) {
      if (bands == 1) to[0] = gray ? from[0] : luma(from[0], from[1], from[2]);
      else
        for (int b = 0; b < 3; ++b) to[b] = gray ? from[0] : from[b];
    }
  });
  return out;
}

// The middle of a picture, cut or with black around it.
Image centred(const Image& in, std::int64_t height, std::int64_t width) {
  if (in.height == height && in.width == width) return in;
  Image out = Image::make(height, width, in.bands, in.depth);
  const std::int64_t h = std::min(height, in.height), w = std::min(width, in.width), size = in.bands * Image::size_of(in.depth);
  const auto from = [&](std::int64_t own, std::int64_t part) { return (own - part) / 2; };
  for (std::int64_t y = 0; y < h; ++y)
    std::memcpy(out.bytes.data() + ((from(height, h) + y) * width + from(width, w)) * size,
                in.bytes.data() + ((from(in.height, h) + y) * in.width + from(in.width, w)) * size, static_cast<std::size_t>(w * size));
  return out;
}

Image to_size(const Image& in, const InputFormat& f) {
  const std::int64_t h = f.height, w = f.width;
  if (in.height == h && in.width == w) return in;
  if (f.fit == InputFormat::Fit::stretch) return resize(in, h, w, Filter::bilinear);
  const double sy = static_cast<double>(h) / static_cast<double>(in.height), sx = static_cast<double>(w) / static_cast<double>(in.width);
  const double s = f.fit == InputFormat::Fit::crop ? std::max(sx, sy) : std::min(sx, sy);
  const auto side = [&](std::int64_t own, std::int64_t wanted) {
    const auto n = std::max<std::int64_t>(1, std::llround(static_cast<double>(own) * s));
    return f.fit == InputFormat::Fit::crop ? std::max(n, wanted) : std::min(n, wanted);
  };
  Image scaled = resize(in, side(in.height, h), side(in.width, w), Filter::bilinear);
  return centred(scaled, h, w);
}

}  // namespace

std::string size_text(const Image& i) {
  return std::to_string(i.height) + " x " + std::to_string(i.width) + " x " + std::to_string(i.bands);
}

Image formatted(Image image, const InputFormat& f, const std::string& where) {
  if (f.bands != 0 && image.bands != f.bands) image = to_bands(image, f.bands, where);
  if (f.height != 0 && (image.height != f.height || image.width != f.width)) image = to_size(image, f);
  return image;
}

void normalize(const Image& image, const InputFormat& f, float* out) {
  const std::int64_t pixels = image.height * image.width;
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t b = 0; b < image.bands; ++b) {
      const double mean = f.mean_of(b), scale = 1 / (image.white() * f.deviation_of(b)), shift = mean / f.deviation_of(b);
      const T* from = image.data<T>() + b;
      for (std::int64_t p = 0; p < pixels; ++p)
        out[b * pixels + p] = static_cast<float>(static_cast<double>(from[p * image.bands]) * scale - shift);
    }
  });
}

void check_normalize(const InputFormat& f, std::int64_t bands, const std::string& where) {
  const auto fits = [&](const std::vector<double>& v) { return v.size() == 1 || static_cast<std::int64_t>(v.size()) == bands; };
  if (fits(f.mean) && fits(f.deviation)) return;
  throw Error(Code::usage, "data.normalize holds " + std::to_string(f.mean.size()) + " means and " + std::to_string(f.deviation.size()) +
                               " deviations but " + where + " has " + std::to_string(bands) +
                               " bands; give one of each for all bands, or one of each per band: means, then deviations");
}

}  // namespace graft
