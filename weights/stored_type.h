// What the elements of a stored tensor are. Files know more types than graft computes in: 8-bit floats, narrow integers, blocks of
// quantised weights. Each has one name here, whatever the container calls it: safetensors' own ("F32", "BOOL"), ggml's for blocks ("Q4_K"),
// and "C128".
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/core/dtype.h"

namespace graft {

struct StoredType {
  std::string_view name;
  int elements;  // of a block; 1 for plain types but those below a byte
  int bits;      // of a block
  DType loaded;  // what a tensor of it is loaded as: itself, or the narrowest type of graft's that holds every value
  bool loads;    // false: graft has no such numbers (complex, floats below 8 bits)
};

// nullptr when nobody knows it.
const StoredType* stored_type(std::string_view name);
std::string_view stored_name(DType t);

// Bytes of a row-major tensor; nothing when it overflows 63 bits, is not a whole number of bytes, a size is negative, or the last axis (of
// block types) is not whole blocks.
std::optional<std::uint64_t> stored_bytes(const StoredType& type, std::span<const std::int64_t> shape);

// Bytes of plain types as numbers, n elements of them: I8, U16, F8_E4M3 and their like widened exactly to `type.loaded`. U64 above 2^63 - 1
// throws Error(input). Not for types that are loaded as themselves, nor for blocks (formats/ggml_blocks.h).
void widen(const StoredType& type, const std::byte* from, std::size_t n, void* to);

}  // namespace graft
