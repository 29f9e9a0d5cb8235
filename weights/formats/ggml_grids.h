// The grids of ggml's IQ types, packed: an entry is the places of its values in the type's list of values, the first value in the lowest
// bits. Made by tests/golden/gguf/make_grids.py.
#pragma once
#include <cstdint>

namespace graft {

extern const std::uint16_t kIq2XxsCodes[256], kIq2XsCodes[512], kIq2SCodes[1024], kIq1Codes[2048];  // eight values of three, 2 bits each
extern const std::uint16_t kIq3XxsCodes[256], kIq3SCodes[512];                                      // four values of eight, 3 bits each

}  // namespace graft
