// The block types of ggml (weights/stored_type.h has their sizes): 32 to 256 weights in a few bytes each, with one or two scales. Dequantised bit for bit as ggml's
// reference does it.
#pragma once
#include <cstddef>
#include <string_view>

namespace graft {

// `blocks` blocks of the type `name` at `from`, to blocks * elements floats. Throws Error(bug) for a name that stored_type does not know as a block.
void dequantise_blocks(std::string_view name, const std::byte* from, std::size_t blocks, float* to);

}  // namespace graft
