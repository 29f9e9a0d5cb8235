// The one explicit list of kernel families: what `graft kernels` walks and what a forced variant's name is looked up in.
#pragma once
#include <span>

#include "kernels/core/variant.h"

namespace graft {

std::span<const FamilyBase* const> families();

// Throws Error(usage) with the nearest name when `spec` ("softmax=cpu.1_simd,...") names a family or variant that does not exist.
void check_variant_names(std::string_view spec);

}  // namespace graft
