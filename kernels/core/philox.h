// Philox4x32-10: counter-based random bits (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). Four words
// are a pure function of a 128-bit counter and a 64-bit key, so any thread, device or resume point draws the same.
#pragma once
#include <array>
#include <cstdint>

namespace graft {

using PhiloxWords = std::array<std::uint32_t, 4>;

constexpr PhiloxWords philox4x32(PhiloxWords counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0], b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// The four words at (seed, stream, position): the seed is the key, stream and position are the counter.
constexpr PhiloxWords philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t position) {
  return philox4x32({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), static_cast<std::uint32_t>(stream),
                     static_cast<std::uint32_t>(stream >> 32)},
                    {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

// [0, 1) in steps of 2^-24 and of 2^-53.
constexpr float unit_float(std::uint32_t x) { return static_cast<float>(x >> 8) * 0x1p-24f; }
constexpr double unit_double(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>((std::uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace graft
