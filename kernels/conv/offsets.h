// Between the drivers of the offset convolution (cpu_2_drive.cpp: tables, padding, tasks) and its vector code (cpu_2_offsets.cpp).
#pragma once
#include <cstdint>

namespace graft {

// All pixels of one image (or of one stride phase of it) and the channels of one group.
struct ConvWalk {
  const float* in;              // first pixel's base
  std::int64_t in_row, in_col;  // elements between neighbouring pixels' bases
  std::int64_t rows, cols;      // pixels
  const std::int32_t* offset;   // [taps]: from a pixel's base to the tap's input
  std::int64_t taps;
  const float* panel;  // [channel tile][taps][width]
  std::int64_t channels;
  float* out;
  std::int64_t out_row, out_col, out_channel;
  const float* bias;  // [channels] or nullptr
  std::int64_t bias_step;
  bool relu;
};

inline constexpr std::int64_t kWeightBlock = 256;  // pixels whose dy (256 x 16 f32 = 16 KiB) stays in L1 while the taps pass
// All pixels of one image, some taps and the channels of one group.
struct ConvWeightWalk {
  const float* in;                              // image base
  const std::int32_t* pixel_offset;             // [pixels]
  const std::int32_t* tap_offset;               // [taps]
  std::int64_t tap_begin, tap_end, tap_stride;  // tap_stride: taps of the whole filter, the rows of a channel tile of sums
  std::int64_t pixels;
  const float* dy;
  std::int64_t dy_channel, dy_row, dy_col, dy_cols;
  bool dy_plane;  // pixels of dy are dy_col apart throughout
  std::int64_t channels;
  float* packed;  // [kWeightBlock][width]
  float* sums;    // [channel tile][tap_stride][width]
};

namespace conv_offsets {
std::int64_t width();                                                 // channels of a tile
void plane(const ConvWalk& w, std::int64_t begin, std::int64_t end);  // pixels [begin, end)
void weights(const ConvWeightWalk& w);
}  // namespace conv_offsets

}  // namespace graft
