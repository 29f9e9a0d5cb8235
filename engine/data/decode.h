// Pictures out of the bytes of their files. What a file is is told by its content, never by its name; nothing is cut on the way: 16 bits
// stay 16, five bands stay five.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/data/image.h"

namespace graft {

enum class PictureFormat { none, png, jpeg, tiff };
// By the first bytes: PNG's signature, JPEG's start of image, TIFF's and BigTIFF's header of either byte order.
PictureFormat picture_format(std::span<const std::byte> file);
// Empty where this build reads the format; else why not and how to get it.
std::string why_not(PictureFormat format);

// The most elements (height * width * bands) of a picture: 2^30, as 16,384 x 16,384 with 4 bands. Checked before memory is taken.
inline constexpr std::int64_t kPictureLimit = std::int64_t{1} << 30;

// The picture in `file`, [height, width, bands], in the machine's byte order:
//   PNG   8 or 16 bit; gray, gray + alpha, RGB, RGBA. Gray of 1, 2 and 4 bit is widened so that white is 255; a palette becomes its
//   colours; tRNS an alpha
//         band.
//   JPEG  gray or RGB (YCbCr is converted; the accurate DCT and smooth upsampling: the bits that libjpeg-turbo gives everyone); CMYK and
//   YCCK as 4 bands as
//         they are stored.
//   TIFF  the first picture of the file; 8, 16 bit and float of 32, any number of bands, strips and tiles, planes together or apart, every
//   compression that
//         libtiff has. 1, 2 and 4 bit are widened; a palette becomes its colours; where 0 is white the values are turned round; other
//         depths are refused.
// Gamma, colour profiles and the rotation that a camera notes are not applied.
// Error(input), one line that begins with `where` (any bytes; shown printable): no picture, damaged, cut off, too large, or a format that
// this build does not read.
Image decode_image(std::span<const std::byte> file, const std::string& where);

// A PNG of 8 or 16 bit with 1 to 4 bands. Error(usage) for another image.
std::vector<std::byte> encode_png(const Image& image);

// Ends as a picture's file does: .png .jpg .jpeg .tif .tiff, in any case.
bool named_like_picture(std::string_view name);

}  // namespace graft
