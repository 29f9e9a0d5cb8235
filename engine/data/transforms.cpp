#include "engine/data/transforms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr double kPi = 3.14159265358979323846;

std::string size_text(const Image& i) { return std::to_string(i.height) + " x " + std::to_string(i.width); }
void check(const Sample& s, const char* what) {
  if (s.mask && (s.mask->height != s.image.height || s.mask->width != s.image.width || s.mask->bands != 1))
    throw Error(Code::usage, std::string(what) + ": the mask is " + size_text(*s.mask) + " x " + std::to_string(s.mask->bands) +
                                 " but the picture is " + size_text(s.image) + "; a mask has one band and the picture's size");
}
template <class T>
T fitted(double v) {  // to the element's range, rounded to the nearest
  if constexpr (std::is_same_v<T, float>) return static_cast<T>(v);
  else return static_cast<T>(std::clamp(v + 0.5, 0.0, static_cast<double>(std::numeric_limits<T>::max())));
}
void fill(Image& image, double value) {
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    std::fill(image.data<T>(), image.data<T>() + image.numel(), fitted<T>(value));
  });
}
// Pixel (y, x) of the result is pixel at(y, x) = {y, x} of the image; every place must be inside.
template <class F>
Image moved(const Image& image, std::int64_t height, std::int64_t width, F at) {
  Image result = Image::make(height, width, image.bands, image.depth);
  const std::size_t pixel = static_cast<std::size_t>(image.bands * Image::size_of(image.depth));
  std::byte* to = result.bytes.data();
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x, to += pixel) {
      const auto [from_y, from_x] = at(y, x);
      std::memcpy(to, image.bytes.data() + static_cast<std::size_t>(from_y * image.width + from_x) * pixel, pixel);
    }
  return result;
}
template <class F>
void move_all(Sample& s, std::int64_t height, std::int64_t width, F at) {
  Image image = moved(s.image, height, width, at);
  if (s.mask) s.mask = moved(*s.mask, height, width, at);
  s.image = std::move(image);
}
// Each box becomes the upright box around its corners' places; then the edge, and min_share.
template <class F>
void move_boxes(Sample& s, double min_share, F place) {
  const double w = static_cast<double>(s.image.width), h = static_cast<double>(s.image.height);
  std::vector<Box> kept;
  for (const Box& b : s.boxes) {
    const std::pair<double, double> p[4] = {place(b.x0, b.y0), place(b.x1, b.y0), place(b.x0, b.y1), place(b.x1, b.y1)};
    Box m{p[0].first, p[0].second, p[0].first, p[0].second, b.label};
    for (const auto& [x, y] : p) {
      m.x0 = std::min(m.x0, x), m.x1 = std::max(m.x1, x);
      m.y0 = std::min(m.y0, y), m.y1 = std::max(m.y1, y);
    }
    const double area = (m.x1 - m.x0) * (m.y1 - m.y0);
    m.x0 = std::clamp(m.x0, 0.0, w), m.x1 = std::clamp(m.x1, 0.0, w);
    m.y0 = std::clamp(m.y0, 0.0, h), m.y1 = std::clamp(m.y1, 0.0, h);
    const double left = (m.x1 - m.x0) * (m.y1 - m.y0);
    if (left > 0 && left >= min_share * area) kept.push_back(m);
  }
  s.boxes = std::move(kept);
}
Image framed(const Image& image, std::int64_t left, std::int64_t top, std::int64_t height, std::int64_t width, double value) {
  Image result = Image::make(height, width, image.bands, image.depth);
  fill(result, value);
  const std::size_t pixel = static_cast<std::size_t>(image.bands * Image::size_of(image.depth)),
                    row = static_cast<std::size_t>(image.width) * pixel;
  for (std::int64_t y = 0; y < image.height; ++y)
    std::memcpy(result.bytes.data() + static_cast<std::size_t>((y + top) * width + left) * pixel,
                image.bytes.data() + static_cast<std::size_t>(y) * row, row);
  return result;
}
Image part_of(const Image& image, std::int64_t y, std::int64_t x, std::int64_t height, std::int64_t width) {
  Image result = Image::make(height, width, image.bands, image.depth);
  const std::size_t pixel = static_cast<std::size_t>(image.bands * Image::size_of(image.depth)),
                    row = static_cast<std::size_t>(width) * pixel;
  for (std::int64_t i = 0; i < height; ++i)
    std::memcpy(result.bytes.data() + static_cast<std::size_t>(i) * row,
                image.bytes.data() + static_cast<std::size_t>((y + i) * image.width + x) * pixel, row);
  return result;
}

// The way back, from a pixel of the result to its place in the picture, both as indices (a pixel's centre is a whole number):
// (xx ux + xy uy + center_x, yx ux + yy uy + center_y) with u the result's place less centre and shift.
struct Inverse {
  double xx, xy, yx, yy, center_x, center_y, shift_x, shift_y;
};
template <class T>
Image warped(const Image& image, const Inverse& m, Sampling sampling, double outside) {
  const std::int64_t w = image.width, h = image.height, bands = image.bands;
  Image result = Image::make(h, w, bands, image.depth);
  const T* from = image.data<T>();
  T* to = result.data<T>();
  const T empty = fitted<T>(outside);
  const double far_x = static_cast<double>(w), far_y = static_cast<double>(h);
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x, to += bands) {
      const double ux = static_cast<double>(x) - m.center_x - m.shift_x, uy = static_cast<double>(y) - m.center_y - m.shift_y;
      const double sx = m.xx * ux + m.xy * uy + m.center_x, sy = m.yx * ux + m.yy * uy + m.center_y;
      if (sampling == Sampling::nearest) {
        const double nx = std::floor(sx + 0.5), ny = std::floor(sy + 0.5);
        const bool inside = nx >= 0 && ny >= 0 && nx < far_x && ny < far_y;
        const T* p = inside ? from + (static_cast<std::int64_t>(ny) * w + static_cast<std::int64_t>(nx)) * bands : nullptr;
        for (std::int64_t b = 0; b < bands; ++b) to[b] = p ? p[b] : empty;
        continue;
      }
      const double fx = std::floor(sx), fy = std::floor(sy), ax = sx - fx, ay = sy - fy;
      const auto pixel = [&](double px, double py) -> const T* {
        if (!(px >= 0 && py >= 0 && px < far_x && py < far_y)) return nullptr;
        return from + (static_cast<std::int64_t>(py) * w + static_cast<std::int64_t>(px)) * bands;
      };
      const T *p00 = pixel(fx, fy), *p01 = pixel(fx + 1, fy), *p10 = pixel(fx, fy + 1), *p11 = pixel(fx + 1, fy + 1);
      for (std::int64_t b = 0; b < bands; ++b) {
        const auto value = [&](const T* p) { return p ? static_cast<double>(p[b]) : outside; };
        to[b] = fitted<T>((1 - ay) * ((1 - ax) * value(p00) + ax * value(p01)) + ay * ((1 - ax) * value(p10) + ax * value(p11)));
      }
    }
  return result;
}
Image warped(const Image& image, const Inverse& m, Sampling sampling, double outside) {
  return with_depth(image.depth, [&](auto zero) { return warped<decltype(zero)>(image, m, sampling, outside); });
}

}  // namespace

void crop(Sample& s, std::int64_t y, std::int64_t x, std::int64_t height, std::int64_t width, double min_share) {
  check(s, "crop");
  if (y < 0 || x < 0 || height < 1 || width < 1 || height > s.image.height - y || width > s.image.width - x)
    throw Error(Code::usage, "crop: " + std::to_string(height) + " x " + std::to_string(width) + " at row " + std::to_string(y) +
                                 ", column " + std::to_string(x) + " of a picture of " + size_text(s.image) +
                                 "; the part must lie inside; pad first");
  Image image = part_of(s.image, y, x, height, width);
  if (s.mask) s.mask = part_of(*s.mask, y, x, height, width);
  s.image = std::move(image);
  move_boxes(s, min_share, [&](double bx, double by) { return std::pair{bx - static_cast<double>(x), by - static_cast<double>(y)}; });
}
void pad(Sample& s, std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom, const Outside& outside) {
  check(s, "pad");
  if (left < 0 || top < 0 || right < 0 || bottom < 0)
    throw Error(Code::usage, "pad: by " + std::to_string(left) + ", " + std::to_string(top) + ", " + std::to_string(right) + ", " +
                                 std::to_string(bottom) + " pixels (left, top, right, bottom); none may be negative; crop takes away");
  std::int64_t height = 0, width = 0;
  if (__builtin_add_overflow(s.image.height, top, &height) || __builtin_add_overflow(height, bottom, &height) ||
      __builtin_add_overflow(s.image.width, left, &width) || __builtin_add_overflow(width, right, &width))
    throw Error(Code::memory, "pad: the padded picture does not fit in memory; pad by less");
  Image image = framed(s.image, left, top, height, width, outside.image);
  if (s.mask) s.mask = framed(*s.mask, left, top, height, width, static_cast<double>(outside.mask));
  s.image = std::move(image);
  move_boxes(s, 0, [&](double x, double y) { return std::pair{x + static_cast<double>(left), y + static_cast<double>(top)}; });
}
void center_crop(Sample& s, std::int64_t height, std::int64_t width, double min_share, const Outside& outside) {
  check(s, "center_crop");
  if (height < 1 || width < 1)
    throw Error(Code::usage,
                "center_crop: to " + std::to_string(height) + " x " + std::to_string(width) + "; height and width must be at least 1");
  const std::int64_t more_y = std::max<std::int64_t>(height - s.image.height, 0), more_x = std::max<std::int64_t>(width - s.image.width, 0);
  if (more_y > 0 || more_x > 0) pad(s, more_x / 2, more_y / 2, more_x - more_x / 2, more_y - more_y / 2, outside);
  // torchvision rounds halves to even
  const auto half = [](std::int64_t n) { return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(n) / 2)); };
  crop(s, half(s.image.height - height), half(s.image.width - width), height, width, min_share);
}
void resize(Sample& s, std::int64_t height, std::int64_t width, Filter filter) {
  check(s, "resize");
  const double w = static_cast<double>(s.image.width), h = static_cast<double>(s.image.height), to_w = static_cast<double>(width),
               to_h = static_cast<double>(height);
  Image image = resize(s.image, height, width, filter);
  if (s.mask) s.mask = resize(*s.mask, height, width, Filter::nearest);
  s.image = std::move(image);
  move_boxes(s, 0, [&](double x, double y) {
    return std::pair{x * to_w / w, y * to_h / h};
  });  // in this order: a box over all of it stays one
}
void flip_horizontal(Sample& s) {
  check(s, "flip_horizontal");
  const std::int64_t h = s.image.height, w = s.image.width;
  move_all(s, h, w, [&](std::int64_t y, std::int64_t x) { return std::pair{y, w - 1 - x}; });
  move_boxes(s, 0, [&](double x, double y) { return std::pair{static_cast<double>(w) - x, y}; });
}
void flip_vertical(Sample& s) {
  check(s, "flip_vertical");
  const std::int64_t h = s.image.height, w = s.image.width;
  move_all(s, h, w, [&](std::int64_t y, std::int64_t x) { return std::pair{h - 1 - y, x}; });
  move_boxes(s, 0, [&](double x, double y) { return std::pair{x, static_cast<double>(h) - y}; });
}
void rotate90(Sample& s, int quarters) {
  check(s, "rotate90");
  const std::int64_t h = s.image.height, w = s.image.width;
  const double dh = static_cast<double>(h), dw = static_cast<double>(w);
  switch (((quarters % 4) + 4) % 4) {
    case 1:
      move_all(s, w, h, [&](std::int64_t y, std::int64_t x) { return std::pair{x, w - 1 - y}; });
      return move_boxes(s, 0, [&](double x, double y) { return std::pair{y, dw - x}; });
    case 2:
      move_all(s, h, w, [&](std::int64_t y, std::int64_t x) { return std::pair{h - 1 - y, w - 1 - x}; });
      return move_boxes(s, 0, [&](double x, double y) { return std::pair{dw - x, dh - y}; });
    case 3:
      move_all(s, w, h, [&](std::int64_t y, std::int64_t x) { return std::pair{h - 1 - x, y}; });
      return move_boxes(s, 0, [&](double x, double y) { return std::pair{dh - y, x}; });
    default: return;
  }
}

void affine(Sample& s, const Affine& map, Sampling sampling, const Outside& outside, double min_share) {
  check(s, "affine");
  const bool finite = std::isfinite(map.rotate) && std::isfinite(map.scale) && std::isfinite(map.shift_x) && std::isfinite(map.shift_y);
  if (!finite || !(map.scale > 0) || !(std::abs(map.shear_x) < 90) || !(std::abs(map.shear_y) < 90))
    throw Error(Code::usage, "affine: rotate " + std::to_string(map.rotate) + ", scale " + std::to_string(map.scale) + ", shift " +
                                 std::to_string(map.shift_x) + ", " + std::to_string(map.shift_y) + ", shear " +
                                 std::to_string(map.shear_x) + ", " + std::to_string(map.shear_y) +
                                 "; all must be finite, the scale above 0, a shear between -90 and 90 degrees");
  const double turn = map.rotate * kPi / 180, kx = map.shear_x * kPi / 180, ky = map.shear_y * kPi / 180;
  const double a = std::cos(turn - ky) / std::cos(ky), b = -a * std::tan(kx) - std::sin(turn);
  const double c = std::sin(turn - ky) / std::cos(ky), d = -c * std::tan(kx) + std::cos(turn);  // [a b; c d] has determinant 1
  const double w = static_cast<double>(s.image.width), h = static_cast<double>(s.image.height), k = map.scale;
  const double cx = map.center_x.value_or(w / 2), cy = map.center_y.value_or(h / 2);
  const Inverse back{d / k, -b / k, -c / k, a / k, cx - 0.5, cy - 0.5, map.shift_x, map.shift_y};
  Image image = warped(s.image, back, sampling, outside.image);
  if (s.mask) s.mask = warped(*s.mask, back, Sampling::nearest, static_cast<double>(outside.mask));
  s.image = std::move(image);
  move_boxes(s, min_share, [&](double x, double y) {
    const double ux = x - cx, uy = y - cy;
    return std::pair{k * (a * ux + b * uy) + cx + map.shift_x, k * (c * ux + d * uy) + cy + map.shift_y};
  });
}

void erase(Image& image, std::int64_t y, std::int64_t x, std::int64_t height, std::int64_t width, double value) {
  const std::int64_t y0 = std::clamp<std::int64_t>(y, 0, image.height), x0 = std::clamp<std::int64_t>(x, 0, image.width);
  const std::int64_t y1 = std::clamp<std::int64_t>(y + height, y0, image.height), x1 = std::clamp<std::int64_t>(x + width, x0, image.width);
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t row = y0; row < y1; ++row)
      std::fill(image.data<T>() + (row * image.width + x0) * image.bands, image.data<T>() + (row * image.width + x1) * image.bands,
                fitted<T>(value));
  });
}

}  // namespace graft
