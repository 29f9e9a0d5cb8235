// What moves a picture's pixels. The image, its boxes and its mask go together; the mask always takes the nearest pixel, for a class has no
// half. Any depth, any number of bands. Colours are in colour.h. Every function works in place, on any thread, and leaves the sample as it
// was when it throws.
//
// Coordinates are those of Box: x to the right, y down, pixel (i, j) covers [j, j + 1) x [i, i + 1). A turned box becomes the upright box
// around it. Boxes are cut at the picture's edge; one of which less than `min_share` of its area is left, or nothing, is dropped.
#pragma once
#include <cstdint>
#include <optional>

#include "engine/data/image.h"
#include "engine/data/resize.h"

namespace graft {

enum class Sampling { nearest, bilinear };
// What stands where the picture had nothing: in the image's own values, all bands alike, and the mask's class.
struct Outside {
  double image = 0;
  std::int64_t mask = 0;
};

// Error(usage) unless 0 <= x, 0 <= y and the part lies inside the picture.
void crop(Sample& s, std::int64_t y, std::int64_t x, std::int64_t height, std::int64_t width, double min_share = 0);
// Error(usage) for a negative number of pixels.
void pad(Sample& s, std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom, const Outside& outside = {});
// The middle; a picture that is smaller is padded first, the odd pixel at the right and the bottom (torchvision's CenterCrop).
void center_crop(Sample& s, std::int64_t height, std::int64_t width, double min_share = 0, const Outside& outside = {});
void resize(Sample& s, std::int64_t height, std::int64_t width, Filter filter = Filter::bilinear);
void flip_horizontal(Sample& s);
void flip_vertical(Sample& s);
void rotate90(Sample& s, int quarters);  // counter-clockwise as seen; any number, also negative

// Shear, scale, turn, then shift, about a point: out = centre + shift + R(rotate) scale Sy Sx (in - centre), torchvision's F.affine. The
// picture keeps its size.
struct Affine {
  double rotate = 0;                                   // degrees, clockwise as seen
  double scale = 1;                                    // above 0
  double shift_x = 0, shift_y = 0;                     // pixels
  double shear_x = 0, shear_y = 0;                     // degrees, between -90 and 90
  std::optional<double> center_x = {}, center_y = {};  // the middle of the picture where not given
};
// Integer images are rounded to the nearest value. Bilinear: a place half outside is mixed with the outside value. Error(usage) for values
// that are out of range.
void affine(Sample& s, const Affine& map, Sampling sampling = Sampling::bilinear, const Outside& outside = {}, double min_share = 0);
// The rectangle (cut at the edge) of the image alone becomes `value`; boxes and mask stay: what is hidden is still there.
void erase(Image& image, std::int64_t y, std::int64_t x, std::int64_t height, std::int64_t width, double value = 0);

}  // namespace graft
