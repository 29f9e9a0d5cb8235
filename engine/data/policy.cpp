#include "engine/data/policy.h"

#include <cmath>

#include "engine/data/colour.h"
#include "engine/data/transforms.h"

namespace graft {
namespace {

constexpr double kDegrees = 180 / 3.14159265358979323846;

}  // namespace

std::string_view name_of(PolicyOp op) {
  constexpr std::string_view names[kPolicyOps] = {"identity", "shear-x",   "shear-y",   "translate-x", "translate-y",  "rotate",  "brightness",
                                                  "color",    "contrast",  "sharpness", "posterize",   "solarize",     "autocontrast", "equalize"};
  return names[static_cast<int>(op)];
}

void apply_policy_op(Sample& s, PolicyOp op, std::int64_t magnitude, bool negative) {
  const double share = static_cast<double>(magnitude) / 30, sign = negative ? -1 : 1;
  const auto moved = [&](const Affine& map) { affine(s, map, Sampling::nearest); };
  // 150 pixels of 331, the size that the policy was found with; as a float, so that it is whole where it is there
  const auto pixels = [&](std::int64_t side) { return sign * std::trunc(static_cast<double>(static_cast<float>(150.0 / 331 * static_cast<double>(side) * share))); };
  switch (op) {
    case PolicyOp::identity: return;
    case PolicyOp::shear_x:  // about the corner, as torchvision does it
    case PolicyOp::shear_y: {
      Affine map{.center_x = 0, .center_y = 0};
      (op == PolicyOp::shear_x ? map.shear_x : map.shear_y) = std::atan(sign * 0.3 * share) * kDegrees;
      return moved(map);
    }
    case PolicyOp::translate_x: return moved({.shift_x = pixels(s.image.width)});
    case PolicyOp::translate_y: return moved({.shift_y = pixels(s.image.height)});
    case PolicyOp::rotate: return moved({.rotate = -sign * 30 * share});
    case PolicyOp::brightness: return brightness(s.image, 1 + sign * 0.9 * share);
    case PolicyOp::color:
      if (s.image.bands == 3) saturation(s.image, 1 + sign * 0.9 * share);
      return;
    case PolicyOp::contrast: return contrast(s.image, 1 + sign * 0.9 * share);
    case PolicyOp::sharpness: return sharpness(s.image, 1 + sign * 0.9 * share);
    case PolicyOp::posterize: return posterize(s.image, 8 - static_cast<int>(std::nearbyint(4 * share)));
    case PolicyOp::solarize: return solarize(s.image, s.image.white() * (1 - share));
    case PolicyOp::autocontrast: return autocontrast(s.image);
    case PolicyOp::equalize: return equalize(s.image);
  }
}

void rand_augment(Sample& s, std::int64_t ops, std::int64_t magnitude, Draws r) {
  for (std::int64_t i = 0; i < ops; ++i) {
    const auto op = static_cast<PolicyOp>(r.below(kPolicyOps));
    const bool negative = r.next() < 0.5;
    apply_policy_op(s, op, magnitude, negative);
  }
}

}  // namespace graft
