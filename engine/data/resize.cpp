#include "engine/data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sinc(double x) { return x == 0 ? 1 : std::sin(x * kPi) / (x * kPi); }
// Weight at distance x of the centre, in units of the filter. The constants of hamming are floats there and so here: bits count.
double weight(Filter filter, double x) {
  const double far = std::abs(x);
  switch (filter) {
    case Filter::box: return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Filter::bilinear: return far < 1 ? 1 - far : 0;
    case Filter::hamming:
      if (far == 0) return 1;
      return far >= 1 ? 0 : std::sin(far * kPi) / (far * kPi) * (0.54f + 0.46f * std::cos(far * kPi));
    case Filter::bicubic: {
      constexpr double a = -0.5;
      if (far < 1) return ((a + 2) * far - (a + 3)) * far * far + 1;
      return far < 2 ? (((far - 5) * far + 8) * far - 4) * a : 0;
    }
    default: return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
}
double support_of(Filter filter) {
  switch (filter) {
    case Filter::box: return 0.5;
    case Filter::bicubic: return 2;
    case Filter::lanczos: return 3;
    default: return 1;
  }
}

// What each output place sums over: `count` inputs from `first`, with weights that sum to 1.
struct Taps {
  std::int64_t stride = 0;  // weights kept per output
  std::vector<std::int64_t> first, count;
  std::vector<double> weights;  // [outputs, stride]
};
// The part of the input is [from, to), as floats: Pillow takes the box so.
Taps taps_of(Filter filter, std::int64_t inputs, float from, float to, std::int64_t outputs) {
  const double scale = static_cast<double>(to - from) / static_cast<double>(outputs), stretch = std::max(scale, 1.0),
               per_unit = 1 / stretch;
  const double support = support_of(filter) * stretch;
  Taps t;
  t.stride = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  t.first.resize(static_cast<std::size_t>(outputs));
  t.count.resize(static_cast<std::size_t>(outputs));
  t.weights.assign(static_cast<std::size_t>(outputs * t.stride), 0);
  for (std::int64_t o = 0; o < outputs; ++o) {
    const double center = static_cast<double>(from) + (static_cast<double>(o) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t count = std::min(static_cast<std::int64_t>(center + support + 0.5), inputs) - first;
    double* w = t.weights.data() + o * t.stride;
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += w[i] = weight(filter, (static_cast<double>(i + first) - center + 0.5) * per_unit);
    if (sum != 0)
      for (std::int64_t i = 0; i < count; ++i) w[i] /= sum;
    t.first[static_cast<std::size_t>(o)] = first;
    t.count[static_cast<std::size_t>(o)] = std::max<std::int64_t>(count, 0);
  }
  return t;
}

// How sums are made for each type of element.
template <class T>
struct Sum {  // f32
  using Value = double;
  static constexpr Value kStart = 0;
  static Value weight(double w) { return w; }
  static T finish(Value v) { return static_cast<T>(v); }
};
template <>
struct Sum<std::uint16_t> {
  using Value = double;
  static constexpr Value kStart = 0;
  static Value weight(double w) { return w; }
  static std::uint16_t finish(Value v) { return static_cast<std::uint16_t>(std::clamp(v < 0 ? v - 0.5 : v + 0.5, 0.0, 65535.0)); }
};
template <>
struct Sum<std::uint8_t> {
  using Value = std::int32_t;
  static constexpr int kBits = 32 - 8 - 2;  // 8 bits of the result, 2 for what negative weights can add
  static constexpr Value kStart = 1 << (kBits - 1);
  static Value weight(double w) { return static_cast<Value>(w < 0 ? w * (1 << kBits) - 0.5 : w * (1 << kBits) + 0.5); }
  static std::uint8_t finish(Value v) { return static_cast<std::uint8_t>(std::clamp(v >> kBits, 0, 255)); }
};
template <class T>
std::vector<typename Sum<T>::Value> weights_for(const Taps& t) {
  std::vector<typename Sum<T>::Value> w(t.weights.size());
  std::transform(t.weights.begin(), t.weights.end(), w.begin(), Sum<T>::weight);
  return w;
}

// from: [rows, width, bands] -> to: [rows, outputs, bands]. Bands: their number where it is known when compiling, else 0.
template <class T, int Bands>
void across(const T* from, std::int64_t rows, std::int64_t width, std::int64_t all_bands, const Taps& t, T* to) {
  const std::int64_t bands = Bands > 0 ? Bands : all_bands, outputs = static_cast<std::int64_t>(t.first.size());
  const auto weights = weights_for<T>(t);
  for (std::int64_t r = 0; r < rows; ++r, from += width * bands)
    for (std::int64_t o = 0; o < outputs; ++o, to += bands) {
      const auto* w = weights.data() + o * t.stride;
      const std::int64_t count = t.count[static_cast<std::size_t>(o)];
      const T* p = from + t.first[static_cast<std::size_t>(o)] * bands;
      if constexpr (Bands > 0) {
        typename Sum<T>::Value sum[Bands];
        for (int b = 0; b < Bands; ++b) sum[b] = Sum<T>::kStart;
        for (std::int64_t i = 0; i < count; ++i, p += Bands)
          for (int b = 0; b < Bands; ++b) sum[b] += p[b] * w[i];
        for (int b = 0; b < Bands; ++b) to[b] = Sum<T>::finish(sum[b]);
      } else {
        for (std::int64_t b = 0; b < bands; ++b) {
          auto sum = Sum<T>::kStart;
          for (std::int64_t i = 0; i < count; ++i) sum += p[i * bands + b] * w[i];
          to[b] = Sum<T>::finish(sum);
        }
      }
    }
}
// from: [rows, columns] -> to: [outputs, columns], in strips of columns so that the sums stay in the nearest cache. `skipped` rows of the
// picture lie before `from`.
template <class T>
void down(const T* from, std::int64_t columns, std::int64_t skipped, const Taps& t, T* to) {
  constexpr std::int64_t kStrip = 512;
  typename Sum<T>::Value sums[kStrip];
  const auto weights = weights_for<T>(t);
  for (std::int64_t o = 0; o < static_cast<std::int64_t>(t.first.size()); ++o, to += columns)
    for (std::int64_t c = 0; c < columns; c += kStrip) {
      const std::int64_t n = std::min(kStrip, columns - c);
      std::fill(sums, sums + n, Sum<T>::kStart);
      for (std::int64_t i = 0; i < t.count[static_cast<std::size_t>(o)]; ++i) {
        const auto w = weights[static_cast<std::size_t>(o * t.stride + i)];
        const T* p = from + (t.first[static_cast<std::size_t>(o)] - skipped + i) * columns + c;
        for (std::int64_t k = 0; k < n; ++k) sums[k] += p[k] * w;
      }
      for (std::int64_t k = 0; k < n; ++k) to[c + k] = Sum<T>::finish(sums[k]);
    }
}

template <class T>
Image squeezed_across(const Image& image, std::int64_t first_row, std::int64_t rows, const Taps& columns) {
  Image result = Image::make(rows, static_cast<std::int64_t>(columns.first.size()), image.bands, image.depth);
  const T* from = image.data<T>() + first_row * image.width * image.bands;
  switch (image.bands) {
    case 1: across<T, 1>(from, rows, image.width, 1, columns, result.data<T>()); break;
    case 3: across<T, 3>(from, rows, image.width, 3, columns, result.data<T>()); break;
    case 4: across<T, 4>(from, rows, image.width, 4, columns, result.data<T>()); break;
    default: across<T, 0>(from, rows, image.width, image.bands, columns, result.data<T>());
  }
  return result;
}
template <class T>
Image squeezed_down(const Image& image, std::int64_t skipped, const Taps& rows) {
  Image result = Image::make(static_cast<std::int64_t>(rows.first.size()), image.width, image.bands, image.depth);
  down<T>(image.data<T>(), image.width * image.bands, skipped, rows, result.data<T>());
  return result;
}
template <class T>
Image two_passes(const Image& image, std::int64_t height, std::int64_t width, Filter filter, const float box[4]) {
  const bool need_across = width != image.width || box[0] != 0 || box[2] != static_cast<float>(width);
  const bool need_down = height != image.height || box[1] != 0 || box[3] != static_cast<float>(height);
  const Taps rows = taps_of(filter, image.height, box[1], box[3], height);
  if (!need_across) return squeezed_down<T>(image, 0, rows);
  const Taps columns = taps_of(filter, image.width, box[0], box[2], width);
  const std::int64_t lost = image.height - height;
  if (lost > 0 && lost > 2 * (image.width - width)) return squeezed_across<T>(squeezed_down<T>(image, 0, rows), 0, height, columns);
  const std::int64_t skipped = rows.first.front(),
                     wanted = rows.first.back() + rows.count.back() - skipped;  // only the rows that the second pass reads
  const Image narrow = squeezed_across<T>(image, skipped, wanted, columns);
  return need_down ? squeezed_down<T>(narrow, skipped, rows) : narrow;
}

// The source places of a row or column: centres, by repeated addition as there (its rounding decides which pixel is nearest).
std::vector<std::int64_t> nearest_places(std::int64_t inputs, float from, float to, std::int64_t outputs) {
  const double step = static_cast<double>(to - from) / static_cast<double>(outputs);
  std::vector<std::int64_t> at(static_cast<std::size_t>(outputs));
  double x = static_cast<double>(from) + step * 0.5;
  for (auto& a : at) {
    a = std::clamp<std::int64_t>(static_cast<std::int64_t>(x), 0, inputs - 1);
    x += step;
  }
  return at;
}
Image pick(const Image& image, const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& columns) {
  Image result = Image::make(static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size()), image.bands, image.depth);
  const std::size_t pixel = static_cast<std::size_t>(image.bands * Image::size_of(image.depth));
  std::byte* to = result.bytes.data();
  for (const std::int64_t y : rows) {
    const std::byte* from = image.bytes.data() + static_cast<std::size_t>(y * image.width) * pixel;
    for (const std::int64_t x : columns) {
      std::memcpy(to, from + static_cast<std::size_t>(x) * pixel, pixel);
      to += pixel;
    }
  }
  return result;
}

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter, const std::optional<Box>& from) {
  if (height < 1 || width < 1)
    throw Error(Code::usage,
                "resize: to " + std::to_string(height) + " x " + std::to_string(width) + "; height and width must be at least 1");
  const double w = static_cast<double>(image.width), h = static_cast<double>(image.height);
  const Box part = from.value_or(Box{0, 0, w, h, 0});
  if (!(part.x0 >= 0 && part.y0 >= 0 && part.x1 <= w && part.y1 <= h && part.x0 < part.x1 && part.y0 < part.y1))
    throw Error(Code::usage, "resize: the part " + std::to_string(part.x0) + ", " + std::to_string(part.y0) + " to " +
                                 std::to_string(part.x1) + ", " + std::to_string(part.y1) + " of a picture of " +
                                 std::to_string(image.width) + " x " + std::to_string(image.height) +
                                 "; it must lie inside and not be empty");
  const float box[4] = {static_cast<float>(part.x0), static_cast<float>(part.y0), static_cast<float>(part.x1), static_cast<float>(part.y1)};
  const bool whole_pixels = box[0] == std::floor(box[0]) && box[1] == std::floor(box[1]);
  const bool same_size = box[2] - box[0] == static_cast<float>(width) && box[3] - box[1] == static_cast<float>(height);
  if (filter == Filter::nearest || (whole_pixels && same_size))  // the second is a crop: every filter would give the pixels as they are
    return pick(image, nearest_places(image.height, box[1], box[3], height), nearest_places(image.width, box[0], box[2], width));
  return with_depth(image.depth, [&](auto zero) { return two_passes<decltype(zero)>(image, height, width, filter, box); });
}

}  // namespace graft
