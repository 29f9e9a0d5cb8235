#include "weights/formats/ggml_blocks.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace graft {

void dequantise_blocks(std::string_view name, const std::byte* from, std::size_t blocks, float* to) {
  for (std::size_t b = 0; b < blocks; ++b, to += 32) {
    f16 d;
    std::memcpy(&d.bits, from, 2);
    const auto* q = reinterpret_cast<const std::uint8_t*>(from + 2);
    const float scale = d;
    if (name == "Q8_0") {
      for (int i = 0; i < 32; ++i) to[i] = static_cast<float>(static_cast<std::int8_t>(q[i])) * scale;
      from += 34;
    } else if (name == "Q4_0") {
      for (int i = 0; i < 16; ++i) {
        to[i] = static_cast<float>((q[i] & 15) - 8) * scale;
        to[i + 16] = static_cast<float>((q[i] >> 4) - 8) * scale;
      }
      from += 18;
    } else {
      throw Error(Code::bug, "dequantise_blocks: " + std::string(name) + " is not a block type");
    }
  }
}

}  // namespace graft
