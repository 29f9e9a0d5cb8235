// Fingerprints, XXH3-128 as 32 hexadecimal digits: of bytes, and of named tensors (names, dtypes, shapes and bytes, in the order of the
// names). Equal weights, equal hash, on any machine.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

std::string bytes_hash(std::span<const std::byte> bytes);
std::string weights_hash(std::vector<std::pair<std::string, Tensor>> tensors);

}  // namespace graft
