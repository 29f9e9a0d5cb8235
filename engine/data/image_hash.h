// Two fingerprints of a picture: one that is equal only for equal pixels, and one that stays near when a picture is stored again, resized,
// or made a little lighter.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/data/image.h"

namespace graft {

struct Digest {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const Digest&) const = default;
};
// XXH3-128 of `bytes`, after the numbers in `head`.
Digest digest_of(std::span<const std::byte> bytes, std::span<const std::int64_t> head = {});
// Of size, bands, depth and every element: what a file's name, format and compression say does not count.
Digest content_digest(const Image& image);

// What a picture looks like. The mean of each cell of a 16 x 16 grid of luma and of two 8 x 8 grids of colour (blue - luma, red - luma,
// ITU-R BT.601), as DCT-II coefficients times their frequency (the grid's slopes, so to say: natural pictures have the same energy at
// each), without the means, scaled to the largest: light, contrast and size drop out. 384 bytes and a length. More than 4 bands: their mean
// is the luma. An alpha band does not count.
struct Look {
  static constexpr std::size_t kValues = 16 * 16 + 2 * 8 * 8;
  std::array<std::int8_t, kValues> values{};
  float scale = 0;  // 1 / length of values; 0: nothing to compare by
  bool comparable() const { return scale > 0; }
};
// Not comparable: below 8 x 8 pixels, values that are not finite, or grid cells that differ by less (root mean square) than one of 255
// steps from black to white (floats, which have no white: 1e-5 of the largest).
Look look_of(const Image& image);
// 1 - cosine of the angle between the two: 0 the same, about 1 unrelated, 2 the negative.
float difference(const Look& a, const Look& b);

}  // namespace graft
