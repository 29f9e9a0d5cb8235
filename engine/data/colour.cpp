#include "engine/data/colour.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "kernels/core/error.h"

namespace graft {
namespace {

void check_factor(const char* what, double factor) {
  if (!(factor >= 0) || !std::isfinite(factor))
    throw Error(Code::usage, std::string(what) + ": the factor is " + std::to_string(factor) + "; it must be 0 or more, 1 changes nothing");
}
void check_rgb(const char* what, const Image& image) {
  if (image.bands != 3)
    throw Error(Code::usage, std::string(what) + ": the picture has " + std::to_string(image.bands) +
                                 (image.bands == 1 ? " band" : " bands") + "; it needs three, red, green and blue; leave " + what +
                                 " out for such pictures");
}
// What is computed in: float where torchvision does.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, std::uint16_t>, double, float>;
template <class T>
constexpr Real<T> kWhite = std::is_same_v<T, float> ? 1 : static_cast<Real<T>>(std::is_same_v<T, std::uint8_t> ? 255 : 65535);
template <class T>
T cut(Real<T> v) {  // to [0, white], integers by leaving the fraction out, as a cast of a tensor does; NaN of an f32 picture stays
  return static_cast<T>(v < 0 ? 0 : v > kWhite<T> ? kWhite<T> : v);
}
// ratio a + (1 - ratio) b; each product rounded, as two tensors are.
template <class T>
T blend(T a, Real<T> b, Real<T> ratio, Real<T> rest) {
  const Real<T> x = ratio * static_cast<Real<T>>(a), y = rest * b;
  return cut<T>(x + y);
}
template <class T>
T grey(const T* p) {
  using R = Real<T>;
  const R r = static_cast<R>(0.2989) * static_cast<R>(p[0]), g = static_cast<R>(0.587) * static_cast<R>(p[1]),
          b = static_cast<R>(0.114) * static_cast<R>(p[2]);
  return static_cast<T>(r + g + b);
}
template <class F>
void each_value(Image& image, F f) {
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    for (T *p = image.data<T>(), *end = p + image.numel(); p != end; ++p) *p = f(*p);
  });
}
template <class F>
void each_rgb(Image& image, F f) {
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    for (T *p = image.data<T>(), *end = p + image.numel(); p != end; p += 3) f(p);
  });
}

// torchvision's way to hue, saturation and value and back, in float; r, g, b in [0, 1].
void turn_hue(float& r, float& g, float& b, float turn) {
  const float high = std::max({r, g, b}), low = std::min({r, g, b}), range = high - low;
  const bool equal = high == low;
  const float s = range / (equal ? 1.0f : high), divisor = equal ? 1.0f : range;
  const float rc = (high - r) / divisor, gc = (high - g) / divisor, bc = (high - b) / divisor;
  float h = high == r ? bc - gc : high == g ? 2.0f + rc - bc : 4.0f + gc - rc;
  h = h / 6.0f + 1.0f;
  h -= std::floor(h);  // exact, as a remainder is
  h += turn;
  h -= std::floor(h);
  const float six = h * 6.0f, whole = std::floor(six), f = six - whole;
  const auto unit = [](float x) { return std::clamp(x, 0.0f, 1.0f); };
  const float v = high, p = unit(v * (1.0f - s)), q = unit(v * (1.0f - s * f)), t = unit(v * (1.0f - s * (1.0f - f)));
  switch (static_cast<int>(whole) % 6) {
    case 0: r = v, g = t, b = p; break;
    case 1: r = q, g = v, b = p; break;
    case 2: r = p, g = v, b = t; break;
    case 3: r = p, g = q, b = v; break;
    case 4: r = t, g = p, b = v; break;
    default: r = v, g = p, b = q;
  }
}

// One band of u8: the table of torchvision's (and Pillow's) equalize.
void equalize_band(std::uint8_t* p, std::int64_t pixels, std::int64_t bands) {
  std::int64_t histogram[256] = {}, last = 0;
  for (std::int64_t i = 0; i < pixels; ++i) ++histogram[p[i * bands]];
  for (const std::int64_t n : histogram)
    if (n) last = n;
  const std::int64_t step = (pixels - last) / 255;
  if (step == 0) return;
  std::uint8_t table[256];
  std::int64_t below = step / 2;
  for (int v = 0; v < 256; ++v) {
    table[v] = static_cast<std::uint8_t>(std::min<std::int64_t>(below / step, 255));
    below += histogram[v];
  }
  for (std::int64_t i = 0; i < pixels; ++i) p[i * bands] = table[p[i * bands]];
}
template <class T>
void equalize_band(T* p, std::int64_t pixels, std::int64_t bands) {
  std::vector<T> sorted;
  sorted.reserve(static_cast<std::size_t>(pixels));
  for (std::int64_t i = 0; i < pixels; ++i)
    if (p[i * bands] == p[i * bands]) sorted.push_back(p[i * bands]);  // without NaN, which has no place in an order
  std::sort(sorted.begin(), sorted.end());
  if (sorted.empty()) return;
  const auto below = [&](T v) { return static_cast<double>(std::lower_bound(sorted.begin(), sorted.end(), v) - sorted.begin()); };
  const double under_highest = below(sorted.back());
  if (under_highest == 0) return;
  for (std::int64_t i = 0; i < pixels; ++i)
    if (T& v = p[i * bands]; v == v) v = static_cast<T>(static_cast<double>(kWhite<T>) * below(v) / under_highest);
}

}  // namespace

void brightness(Image& image, double factor) {
  check_factor("brightness", factor);
  each_value(image, [&]<class T>(T v) { return blend<T>(v, 0, static_cast<Real<T>>(factor), static_cast<Real<T>>(1 - factor)); });
}
void contrast(Image& image, double factor) {
  check_factor("contrast", factor);
  double sum = 0;
  if (image.bands == 3) each_rgb(image, [&]<class T>(T* p) { sum += static_cast<double>(grey(p)); });
  else each_value(image, [&](auto v) { return sum += static_cast<double>(v), v; });
  const double mean = sum / static_cast<double>(image.bands == 3 ? image.height * image.width : image.numel());
  each_value(image, [&]<class T>(T v) {
    return blend<T>(v, static_cast<Real<T>>(mean), static_cast<Real<T>>(factor), static_cast<Real<T>>(1 - factor));
  });
}
void saturation(Image& image, double factor) {
  check_factor("saturation", factor);
  check_rgb("saturation", image);
  each_rgb(image, [&]<class T>(T* p) {
    const auto g = static_cast<Real<T>>(grey(p));
    for (int b = 0; b < 3; ++b) p[b] = blend<T>(p[b], g, static_cast<Real<T>>(factor), static_cast<Real<T>>(1 - factor));
  });
}
void hue(Image& image, double turn) {
  if (!(turn >= -0.5 && turn <= 0.5))
    throw Error(Code::usage, "hue: a turn of " + std::to_string(turn) + "; it must lie between -0.5 and 0.5");
  check_rgb("hue", image);
  each_rgb(image, [&]<class T>(T* p) {
    if constexpr (std::is_same_v<T, float>) {
      turn_hue(p[0], p[1], p[2], static_cast<float>(turn));
    } else {
      // white + 1 - 0.001 and no rounding: torchvision's way from float to integers
      const float white = static_cast<float>(kWhite<T>), back = static_cast<float>(static_cast<double>(kWhite<T>) + 1.0 - 1e-3);
      float r = static_cast<float>(p[0]) / white, g = static_cast<float>(p[1]) / white, b = static_cast<float>(p[2]) / white;
      turn_hue(r, g, b, static_cast<float>(turn));
      p[0] = static_cast<T>(std::min(r * back, white)), p[1] = static_cast<T>(std::min(g * back, white)),
      p[2] = static_cast<T>(std::min(b * back, white));
    }
  });
}
void grayscale(Image& image) {
  check_rgb("grayscale", image);
  each_rgb(image, [&]<class T>(T* p) { p[0] = p[1] = p[2] = grey(p); });
}
void invert(Image& image) {
  each_value(image, []<class T>(T v) { return static_cast<T>(kWhite<T> - static_cast<Real<T>>(v)); });
}
void posterize(Image& image, int bits) {
  if (bits < 1 || bits > 8) throw Error(Code::usage, "posterize: to " + std::to_string(bits) + " bits; it must be 1 to 8");
  const float levels = static_cast<float>(1 << bits);
  each_value(image, [&]<class T>(T v) {
    if constexpr (std::is_same_v<T, float>) return cut<float>(std::floor(v * levels) / levels);
    else return static_cast<T>(v & ~((1u << (8 * sizeof(T) - static_cast<unsigned>(bits))) - 1u));
  });
}
void solarize(Image& image, double threshold) {
  each_value(image,
             [&]<class T>(T v) { return static_cast<double>(v) >= threshold ? static_cast<T>(kWhite<T> - static_cast<Real<T>>(v)) : v; });
}
void equalize(Image& image) {
  with_depth(image.depth, [&](auto zero) {
    for (std::int64_t b = 0; b < image.bands; ++b) equalize_band(image.data<decltype(zero)>() + b, image.height * image.width, image.bands);
  });
}
void autocontrast(Image& image) {
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    const std::int64_t pixels = image.height * image.width, bands = image.bands;
    for (std::int64_t b = 0; b < bands; ++b) {
      T *p = image.data<T>() + b, low = *p, high = *p;
      for (std::int64_t i = 0; i < pixels; ++i) low = std::min(low, p[i * bands]), high = std::max(high, p[i * bands]);
      const R scale = 1 / (static_cast<R>(high) - static_cast<R>(low)) *
                      kWhite<T>;  // two roundings: a tensor under a number is its reciprocal times it
      if (!std::isfinite(scale)) continue;
      for (std::int64_t i = 0; i < pixels; ++i) p[i * bands] = cut<T>((static_cast<R>(p[i * bands]) - static_cast<R>(low)) * scale);
    }
  });
}
void sharpness(Image& image, double factor) {
  check_factor("sharpness", factor);
  if (image.height < 3 || image.width < 3) return;
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    using R = Real<T>;
    const Image before = image;
    const std::int64_t row = image.width * image.bands, bands = image.bands;
    const auto ratio = static_cast<R>(factor), rest = static_cast<R>(1 - factor);
    for (std::int64_t y = 0; y < image.height; ++y)
      for (std::int64_t i = 0; i < row; ++i) {
        const T* p = before.data<T>() + y * row + i;
        R smooth = static_cast<R>(*p);
        if (y > 0 && y + 1 < image.height && i >= bands && i + bands < row) {
          double sum = 4 * static_cast<double>(*p);
          for (std::int64_t dy = -row; dy <= row; dy += row)
            sum += static_cast<double>(p[dy - bands]) + static_cast<double>(p[dy]) + static_cast<double>(p[dy + bands]);
          sum /= 13;
          smooth = static_cast<R>(std::is_same_v<T, float> ? sum : std::nearbyint(sum));
        }
        image.data<T>()[y * row + i] = blend<T>(*p, smooth, ratio, rest);
      }
  });
}

}  // namespace graft
