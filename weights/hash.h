// A fingerprint of named tensors: XXH3-128 over names, dtypes, shapes and bytes, in the order of the names. Equal weights, equal hash, on any machine.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

std::string weights_hash(std::vector<std::pair<std::string, Tensor>> tensors);  // 32 hexadecimal digits

}  // namespace graft
