#include "weights/formats/crc32c.h"

#include <array>
#include <cstring>

namespace graft {
namespace {

// Eight tables: the CRC of a byte that is followed by 0 to 7 zeros, so that eight bytes are taken at once.
constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = c & 1u ? c >> 1 ^ 0x82f63b78u : c >> 1;
    t[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255u];
  return t;
}();

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t c = ~0u;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t v;
    std::memcpy(&v, bytes.data() + i, 8);
    v ^= c;
    c = 0;
    for (std::size_t k = 0; k < 8; ++k) c ^= kTables[7 - k][v >> (8 * k) & 255u];
  }
  for (; i < bytes.size(); ++i) c = c >> 8 ^ kTables[0][(c ^ std::to_integer<std::uint32_t>(bytes[i])) & 255u];
  return ~c;
}

}  // namespace graft
