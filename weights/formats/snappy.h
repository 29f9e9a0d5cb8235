// Raw snappy (format_description.txt of google/snappy), which LevelDB tables may be packed with: TensorFlow's savers before 2.x did so.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace graft {

// Nothing where the bytes are no snappy stream of exactly the length that they begin with.
std::optional<std::string> unsnappy(std::span<const std::byte> packed);

}  // namespace graft
