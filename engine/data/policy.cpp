#include "engine/data/policy.h"

#include <cmath>

#include "engine/data/colour.h"
#include "engine/data/transforms.h"

namespace graft {
namespace {

constexpr double kDegrees = 180 / 3.14159265358979323846;
// Place `magnitude` of 0 to 30 between 0 and `end`, in float and from the nearer end as torch.linspace has it: the last bit decides whether
// a value is cut to a level or the one below.
double step_of(double end, std::int64_t magnitude) {
  const float last = static_cast<float>(end), step = last / 30;
  return static_cast<double>(magnitude < 15 ? step * static_cast<float>(magnitude) : last - step * static_cast<float>(30 - magnitude));
}

}  // namespace

std::string_view name_of(PolicyOp op) {
  constexpr std::string_view names[kPolicyOps] = {"identity",  "shear-x",    "shear-y",      "translate-x", "translate-y",
                                                  "rotate",    "brightness", "color",        "contrast",    "sharpness",
                                                  "posterize", "solarize",   "autocontrast", "equalize"};
  return names[static_cast<int>(op)];
}

void apply_policy_op(Sample& s, PolicyOp op, std::int64_t magnitude, bool negative) {
  const double sign = negative ? -1 : 1;
  const auto moved = [&](const Affine& map) { affine(s, map, Sampling::nearest); };
  const auto amount = [&](double end) { return sign * step_of(end, magnitude); };
  // 150 pixels of 331, the size that the policy was found with
  const auto pixels = [&](std::int64_t side) { return std::trunc(amount(150.0 / 331 * static_cast<double>(side))); };
  switch (op) {
    case PolicyOp::identity: return;
    case PolicyOp::shear_x:  // about the corner, as torchvision does it
    case PolicyOp::shear_y: {
      Affine map{.center_x = 0, .center_y = 0};
      (op == PolicyOp::shear_x ? map.shear_x : map.shear_y) = std::atan(amount(0.3)) * kDegrees;
      return moved(map);
    }
    case PolicyOp::translate_x: return moved({.shift_x = pixels(s.image.width)});
    case PolicyOp::translate_y: return moved({.shift_y = pixels(s.image.height)});
    case PolicyOp::rotate: return moved({.rotate = -amount(30)});
    case PolicyOp::brightness: return brightness(s.image, 1 + amount(0.9));
    case PolicyOp::color:
      if (s.image.bands == 3) saturation(s.image, 1 + amount(0.9));
      return;
    case PolicyOp::contrast: return contrast(s.image, 1 + amount(0.9));
    case PolicyOp::sharpness: return sharpness(s.image, 1 + amount(0.9));
    case PolicyOp::posterize: return posterize(s.image, 8 - static_cast<int>(std::nearbyint(static_cast<double>(magnitude) / 7.5)));
    case PolicyOp::solarize: return solarize(s.image, s.image.white() * static_cast<double>(30 - magnitude) / 30);
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
