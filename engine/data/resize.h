// Resize as Pillow does it, bit for bit: two passes, each a weighted mean over the filter's support, which grows with the scale when a
// picture shrinks (so there is no aliasing). Rows become shorter first, except where the height loses more than twice the pixels that the
// width loses: Pillow 13's order (before 13 it they always did; the other order can change a u8 value by one). Source: Pillow 13,
// libImaging/Resample.c; the code is our own.
#pragma once
#include <cstdint>
#include <optional>

#include "engine/data/image.h"

namespace graft {

enum class Filter { nearest, box, bilinear, hamming, bicubic, lanczos };

// `image` at another size; of it all, or the part `from` (fractions of a pixel are allowed, the label does not count).
//   u8   fixed point, 22 bits behind the point; between the passes 8 bits, as in Pillow. Bands do not know of each other: an alpha band is
//   one like the others. f32  sums in double, each pass rounded to float: Pillow's mode F. u16  sums in double, each pass rounded (half up)
//   and clipped to 16 bits: Pillow 13's I;16 (older ones had other rules). nearest  the pixel under the centre of the new one, of all
//   depths alike.
// Error(usage): a size below 1, a part that is empty or outside the picture. Error(memory).
Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter = Filter::bilinear,
             const std::optional<Box>& from = {});

}  // namespace graft
