#include "engine/data/image_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace graft {
namespace {

constexpr int kLuma = 16, kColour = 8;
constexpr double kPi = 3.14159265358979323846;

// Which cells of the grid each pixel of a line lies in, and how much of the cell it is.
struct Share {
  int cell = 0;
  double weight = 0;
};
std::vector<std::vector<Share>> shares(std::int64_t pixels) {
  std::vector<std::vector<Share>> all(static_cast<std::size_t>(pixels));
  const double step = static_cast<double>(kLuma) / static_cast<double>(pixels);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const double from = static_cast<double>(p) * step, to = static_cast<double>(p + 1) * step;
    for (int c = static_cast<int>(from); c < kLuma && c < to; ++c)
      if (const double w = std::min(to, c + 1.0) - std::max<double>(from, c); w > 0) all[static_cast<std::size_t>(p)].push_back({c, w});
  }
  return all;
}

struct Grid {
  double luma[kLuma][kLuma] = {}, blue[kLuma][kLuma] = {}, red[kLuma][kLuma] = {};
};
// Means of the cells. A line is summed into cells first, then into the cells below each other: each pixel is touched once.
template <class T>
Grid grid_of(const Image& image) {
  const auto across = shares(image.width), down = shares(image.height);
  const bool colours = image.bands == 3 || image.bands == 4;
  const std::int64_t lights = colours ? 3 : image.bands == 2 ? 1 : image.bands;
  Grid g;
  const T* at = image.data<T>();
  for (std::int64_t y = 0; y < image.height; ++y) {
    double line[3][kLuma] = {};
    for (std::int64_t x = 0; x < image.width; ++x, at += image.bands) {
      double light = 0, blue = 0, red = 0;
      if (colours) {
        light = 0.299 * at[0] + 0.587 * at[1] + 0.114 * at[2];
        blue = 0.564 * (at[2] - light), red = 0.713 * (at[0] - light);
      } else {
        for (std::int64_t b = 0; b < lights; ++b) light += at[b];
        light /= static_cast<double>(lights);
      }
      for (const Share& s : across[static_cast<std::size_t>(x)])
        line[0][s.cell] += s.weight * light, line[1][s.cell] += s.weight * blue, line[2][s.cell] += s.weight * red;
    }
    for (const Share& s : down[static_cast<std::size_t>(y)])
      for (int c = 0; c < kLuma; ++c)
        g.luma[s.cell][c] += s.weight * line[0][c], g.blue[s.cell][c] += s.weight * line[1][c], g.red[s.cell][c] += s.weight * line[2][c];
  }
  return g;
}

// DCT-II of [n, n], orthonormal, each coefficient times its frequency times `gain`.
template <int n>
void weighted_dct(const double (&in)[n][n], double gain, double* out) {
  static const auto table = [] {
    std::array<std::array<double, n>, n> t{};
    for (int k = 0; k < n; ++k)
      for (int i = 0; i < n; ++i) t[k][i] = std::cos(kPi * (i + 0.5) * k / n) * std::sqrt((k ? 2.0 : 1.0) / n);
    return t;
  }();
  double half[n][n];
  for (int y = 0; y < n; ++y)
    for (int k = 0; k < n; ++k) {
      double sum = 0;
      for (int x = 0; x < n; ++x) sum += in[y][x] * table[k][x];
      half[y][k] = sum;
    }
  for (int l = 0; l < n; ++l)
    for (int k = 0; k < n; ++k) {
      double sum = 0;
      for (int y = 0; y < n; ++y) sum += half[y][k] * table[l][y];
      *out++ = sum * gain * std::sqrt(static_cast<double>(k * k + l * l));
    }
}

void halve(const double (&in)[kLuma][kLuma], double (&out)[kColour][kColour]) {
  for (int y = 0; y < kColour; ++y)
    for (int x = 0; x < kColour; ++x)
      out[y][x] = (in[2 * y][2 * x] + in[2 * y][2 * x + 1] + in[2 * y + 1][2 * x] + in[2 * y + 1][2 * x + 1]) / 4;
}

}  // namespace

Digest digest_of(std::span<const std::byte> bytes, std::span<const std::int64_t> head) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, head.data(), head.size_bytes());
  XXH3_128bits_update(&state, bytes.data(), bytes.size());
  const XXH128_hash_t h = XXH3_128bits_digest(&state);
  return {h.high64, h.low64};
}
Digest content_digest(const Image& image) {
  const std::int64_t head[] = {image.height, image.width, image.bands, static_cast<std::int64_t>(image.depth)};
  return digest_of(image.bytes, head);
}

Look look_of(const Image& image) {
  Look look;
  if (image.height < 8 || image.width < 8) return look;
  const Grid g = with_depth(image.depth, [&](auto zero) { return grid_of<decltype(zero)>(image); });
  double mean = 0, spread = 0, largest = 0;
  for (const auto* grid : {&g.luma, &g.blue, &g.red})
    for (const auto& row : *grid)
      for (const double v : row) {
        if (!std::isfinite(v)) return look;
        largest = std::max(largest, std::abs(v));
      }
  for (const auto& row : g.luma)
    for (const double v : row) mean += v / (kLuma * kLuma);
  for (const auto& row : g.luma)
    for (const double v : row) spread += (v - mean) * (v - mean) / (kLuma * kLuma);
  const double least = image.depth == Image::Depth::f32 ? 1e-5 * largest : image.white() / 255;
  if (!(spread > 0) || spread < least * least) return look;
  double all[Look::kValues], blue[kColour][kColour], red[kColour][kColour];
  halve(g.blue, blue);
  halve(g.red, red);
  weighted_dct<kLuma>(g.luma, 1, all);
  weighted_dct<kColour>(blue, 2, all + kLuma * kLuma);  // a cell is four of luma's: twice the length for the same area
  weighted_dct<kColour>(red, 2, all + kLuma * kLuma + kColour * kColour);
  double top = 0, length = 0;
  for (const double v : all) top = std::max(top, std::abs(v));
  for (std::size_t i = 0; i < Look::kValues; ++i) {
    look.values[i] = static_cast<std::int8_t>(std::lround(all[i] / top * 127));
    length += static_cast<double>(look.values[i]) * look.values[i];
  }
  look.scale = static_cast<float>(1 / std::sqrt(length));  // at least 127: the largest is one of them
  return look;
}

float difference(const Look& a, const Look& b) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < Look::kValues; ++i) sum += std::int32_t{a.values[i]} * b.values[i];
  return 1 - static_cast<float>(sum) * a.scale * b.scale;
}

}  // namespace graft
