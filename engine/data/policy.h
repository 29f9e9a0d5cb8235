// RandAugment (Cubuk, Zoph, Shlens, Le: RandAugment, 2019) with the list and the magnitudes of torchvision's transforms.RandAugment: `ops`
// operations, each drawn evenly from fourteen, all with the same magnitude, 0 to 30. Geometric ones take the nearest pixel and leave 0
// outside.
#pragma once
#include <cstdint>
#include <string_view>

#include "engine/data/draws.h"
#include "engine/data/image.h"

namespace graft {

enum class PolicyOp {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize
};
constexpr int kPolicyOps = 14;
std::string_view name_of(PolicyOp op);
// One operation; `negative` turns the magnitudes that have a sign. Colour without three bands is left out.
void apply_policy_op(Sample& s, PolicyOp op, std::int64_t magnitude, bool negative);
void rand_augment(Sample& s, std::int64_t ops, std::int64_t magnitude, Draws r);

}  // namespace graft
