// A LevelDB table with the checksums that its bytes should have, as far as its footer and its index lead to blocks.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace graft::fuzz {

std::vector<std::byte> with_right_checksums(std::span<const std::byte> table);

}  // namespace graft::fuzz
