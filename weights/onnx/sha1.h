// SHA-1 (FIPS 180-4), because ONNX's external data may carry one. It says that a file arrived whole, not who made it.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace graft {

std::string sha1_hex(std::span<const std::byte> bytes);

}  // namespace graft
