#pragma once
#include <cstdint>
namespace graft {
struct Augment {
  std::int64_t shift = 0;     // pixels, each direction
  double rotate = 0;          // degrees either way
  double scale = 0;           // share of the size either way
  double mixup=0, cutmix=0;
  bool any() const { return shift > 0 || rotate > 0 || scale > 0; }
};
}
