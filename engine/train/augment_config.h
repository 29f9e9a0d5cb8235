// The [augment] section of a configuration as what the loader takes.
#pragma once
#include "engine/data/augment.h"

namespace graft {

class Config;

// Reads every key of the section; height and width stay 0 (the picture's own). Error(usage) naming the key whose value cannot be.
Augment augment_of(const Config& config);

}  // namespace graft
