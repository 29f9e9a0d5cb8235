// What changes a picture's colours and moves nothing. Definitions, rounding included, are those of torchvision's functions on tensors (u8
// results are its bits, see tests/golden/colour), widened to every depth: 255 stands for white(), f32 pictures are cut to [0, 1]. u8 and
// f32 are computed in float as there, u16 in double. In place, on any thread. Bands do not know of each other unless said. Factors: 1
// changes nothing; Error(usage) for one below 0 or not finite.
#pragma once
#include "engine/data/image.h"

namespace graft {

void brightness(Image& image, double factor);  // 0 is black
// 0 is grey: the mean of the picture's grey with three bands, else of all its values.
void contrast(Image& image, double factor);
void saturation(Image& image, double factor);  // 0 is grayscale. Error(usage) unless there are three bands: red, green, blue
void hue(Image& image, double turn);  // turns of the colour circle, -0.5 to 0.5. Error(usage) otherwise, and unless there are three bands
void grayscale(Image& image);         // 0.2989 r + 0.587 g + 0.114 b in all three bands. Error(usage) unless there are three
void invert(Image& image);
// Keeps the highest `bits` bits of each value; an f32 value falls to a multiple of 2^-bits. Error(usage) unless 1 <= bits <= 8.
void posterize(Image& image, int bits);
void solarize(Image& image, double threshold);  // inverts what is not below the threshold, in the picture's own values
// All levels equally often, each band by itself. u8: torchvision's table of 256. u16 and f32: white times the share of values below, among
// those below the highest. NaN stays.
void equalize(Image& image);
void autocontrast(Image& image);  // lowest value to black, highest to white, each band by itself; a band of one value stays
void sharpness(
    Image& image,
    double factor);  // 0 is smooth: mean of 3 x 3 with the centre five times. The edge stays, as does a picture with a side below 3

}  // namespace graft
