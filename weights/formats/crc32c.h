// CRC-32C (Castagnoli), which LevelDB tables and TensorFlow's bundles protect their bytes with.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace graft {

std::uint32_t crc32c(std::span<const std::byte> bytes);

// How LevelDB stores one (db/../util/crc32c.h): rotated and shifted, so that a checksum of bytes with checksums in them stays useful.
constexpr std::uint32_t masked_crc(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

}  // namespace graft
