// Data sets that are drawn and need no file. Item i is a function of (seed, i), the same for any number of items and threads; labels go
// round the classes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/image.h"
#include "engine/tensor/tensor.h"

namespace graft {

struct Drawn {
  Tensor block;                      // on the CPU
  std::vector<std::int64_t> labels;  // [n]
  std::vector<std::string> class_names;
};

// One filled shape per picture: u8 [count, 3, size, size]; circle, square, triangle, star, cross, ring, heart, moon, in any colour, place,
// size and turn, on a ground with a texture, with noise. Error(usage): count below 1, size below 16 (a smaller one has no room to tell them
// apart) or above 4096.
Drawn draw_shapes(std::int64_t count, std::uint64_t seed, std::int64_t size = 32);
// One to four shapes: image u8 [size, size, 3]; a box per shape with its class as label, around its whole outline (no shape leaves the
// picture); mask u8: 0 the ground, class + 1 where a shape covers the middle of a pixel. A later shape may hide some of an earlier one: two
// boxes share at most a quarter of the smaller one. Error(usage): index below 0, size as above.
Sample draw_shape_sample(std::int64_t index, std::uint64_t seed, std::int64_t size = 64);
const std::vector<std::string>& shape_names();

// Points on `classes` arms of a spiral, one turn and a half each: f32 [count, 2, 1, 1], x and y within [-1, 1] before the noise, which is
// normal with deviation `noise`. Error(usage): count below 1, classes outside 2 to 100, noise below 0 or not finite.
Drawn draw_spirals(std::int64_t count, std::uint64_t seed, std::int64_t classes = 3, double noise = 0.02);

}  // namespace graft
