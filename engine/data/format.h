// The last steps from a picture to a model's input: one size, one number of bands, numbers around zero.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/image.h"

namespace graft {

struct InputFormat {
  std::int64_t height = 0, width = 0;  // of the input; 0: the picture's own
  enum class Fit {
    crop,
    stretch,
    pad
  } fit = Fit::crop;       // the shorter side to the size and the middle of it; both sides; the longer side, black around
  std::int64_t bands = 0;  // 0: the picture's own; 1: luma (ITU-R BT.601); 3: gray three times, alpha left out
  std::vector<double> mean = {0}, deviation = {1};  // where white is 1: one for all bands, or one per band
  double mean_of(std::int64_t band) const { return mean[mean.size() == 1 ? 0 : static_cast<std::size_t>(band)]; }
  double deviation_of(std::int64_t band) const { return deviation[deviation.size() == 1 ? 0 : static_cast<std::size_t>(band)]; }
};

// In size and bands as the format says, in its own depth. Error(input) naming `where` where its bands cannot become what is wanted.
Image formatted(Image image, const InputFormat& format, const std::string& where);
// out [bands, height, width] = (value / white - mean) / deviation
void normalize(const Image& image, const InputFormat& format, float* out);
// Error(usage) unless there are means and deviations for one band or for `bands`.
void check_normalize(const InputFormat& format, std::int64_t bands, const std::string& where);
std::string size_text(const Image& image);  // "32 x 24 x 3": height, width, bands

}  // namespace graft
