#include "weights/onnx/sha1.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace graft {
namespace {

void take_block(const std::byte* p, std::array<std::uint32_t, 5>& h) {
  std::array<std::uint32_t, 80> w;
  for (std::size_t i = 0; i < 16; ++i)
    w[i] = std::to_integer<std::uint32_t>(p[4 * i]) << 24 | std::to_integer<std::uint32_t>(p[4 * i + 1]) << 16 |
           std::to_integer<std::uint32_t>(p[4 * i + 2]) << 8 | std::to_integer<std::uint32_t>(p[4 * i + 3]);
  for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  auto [a, b, c, d, e] = h;
  for (std::size_t i = 0; i < 80; ++i) {
    std::uint32_t f, k;
    if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999u;
    else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1u;
    else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdcu;
    else f = b ^ c ^ d, k = 0xca62c1d6u;
    const std::uint32_t t = std::rotl(a, 5) + f + e + k + w[i];
    e = d, d = c, c = std::rotl(b, 30), b = a, a = t;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

}  // namespace

std::string sha1_hex(std::span<const std::byte> bytes) {
  std::array<std::uint32_t, 5> h{0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
  std::size_t at = 0;
  for (; at + 64 <= bytes.size(); at += 64) take_block(bytes.data() + at, h);
  std::array<std::byte, 128> tail{};
  const std::size_t rest = bytes.size() - at, blocks = rest < 56 ? 64 : 128;
  if (rest) std::memcpy(tail.data(), bytes.data() + at, rest);
  tail[rest] = std::byte{0x80};
  const std::uint64_t bits = static_cast<std::uint64_t>(bytes.size()) * 8;
  for (std::size_t i = 0; i < 8; ++i) tail[blocks - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  for (std::size_t i = 0; i < blocks; i += 64) take_block(tail.data() + i, h);
  std::string out;
  for (const std::uint32_t v : h)
    for (int i = 28; i >= 0; i -= 4) out += "0123456789abcdef"[v >> i & 15u];
  return out;
}

}  // namespace graft
