#include "engine/train/augment_config.h"

#include "engine/train/config.h"

namespace graft {

Augment augment_of(const Config& config) {
  const auto whole = [&](const char* name) { return config.get<std::int64_t>(name); };
  const auto real = [&](const char* name) { return config.get<double>(name); };
  Augment a;
  a.shift = whole("augment.shift");
  a.rotate = real("augment.rotate");
  a.scale = real("augment.scale");
  a.crop_pad = whole("augment.crop_pad");
  a.area = config.get<std::vector<double>>("augment.area");
  a.ratio = config.get<std::vector<double>>("augment.ratio");
  a.flip = real("augment.flip");
  a.flip_vertical = real("augment.flip_vertical");
  a.brightness = real("augment.brightness");
  a.contrast = real("augment.contrast");
  a.saturation = real("augment.saturation");
  a.hue = real("augment.hue");
  a.erase = real("augment.erase");
  a.policy = config.get<std::string>("augment.policy");
  a.policy_ops = whole("augment.policy_ops");
  a.policy_magnitude = whole("augment.policy_magnitude");
  a.mixup = real("augment.mixup");
  a.cutmix = real("augment.cutmix");
  a.check();
  return a;
}

}  // namespace graft
