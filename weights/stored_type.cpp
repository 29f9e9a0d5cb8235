#include "weights/stored_type.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr StoredType plain(std::string_view name, int bits, DType loaded) { return {name, 1, bits, loaded, true}; }
constexpr StoredType block(std::string_view name, int elements, int bytes) { return {name, elements, 8 * bytes, DType::f32, true}; }
constexpr StoredType foreign(std::string_view name, int bits) { return {name, 1, bits, DType::f32, false}; }

constexpr StoredType kTypes[] = {
    plain("F64", 64, DType::f64),
    plain("F32", 32, DType::f32),
    plain("BF16", 16, DType::bf16),
    plain("F16", 16, DType::f16),
    plain("I64", 64, DType::i64),
    plain("I32", 32, DType::i32),
    plain("U8", 8, DType::u8),
    plain("BOOL", 8, DType::b8),
    plain("I8", 8, DType::i32),
    plain("I16", 16, DType::i32),
    plain("U16", 16, DType::i32),
    plain("U32", 32, DType::i64),
    plain("U64", 64, DType::i64),
    plain("F8_E4M3", 8, DType::f32),
    plain("F8_E5M2", 8, DType::f32),
    plain("F8_E8M0", 8, DType::f32),
    plain("F8_E4M3FNUZ", 8, DType::f32),
    plain("F8_E5M2FNUZ", 8, DType::f32),
    foreign("F4", 4),
    foreign("F6_E2M3", 6),
    foreign("F6_E3M2", 6),
    foreign("C64", 64),
    foreign("C128", 128),
    block("Q4_0", 32, 18),
    block("Q4_1", 32, 20),
    block("Q5_0", 32, 22),
    block("Q5_1", 32, 24),
    block("Q8_0", 32, 34),
    block("Q2_K", 256, 84),
    block("Q3_K", 256, 110),
    block("Q4_K", 256, 144),
    block("Q5_K", 256, 176),
    block("Q6_K", 256, 210),
    block("IQ1_S", 256, 50),
    block("IQ1_M", 256, 56),
    block("IQ2_XXS", 256, 66),
    block("IQ2_XS", 256, 74),
    block("IQ2_S", 256, 82),
    block("IQ3_XXS", 256, 98),
    block("IQ3_S", 256, 110),
    block("IQ4_NL", 32, 18),
    block("IQ4_XS", 256, 136),
    block("TQ1_0", 256, 54),
    block("TQ2_0", 256, 66),
    block("MXFP4", 32, 17),
    block("NVFP4", 64, 36),
    block("Q1_0", 128, 18),
    block("Q2_0", 64, 18),
};

// An 8-bit float with `exponent` and `mantissa` bits. finite: no infinity, all ones are NaN (the "FN" forms); unsigned_zero: 0x80 is the
// one NaN (the "UZ" forms).
float from_f8(std::uint8_t v, int exponent, int mantissa, int bias, bool finite, bool unsigned_zero) {
  const bool negative = (v & 0x80u) != 0;
  const int e = (v >> mantissa) & ((1 << exponent) - 1), m = v & ((1 << mantissa) - 1);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  if (unsigned_zero) {
    if (v == 0x80u) return nan;
  } else if (finite) {
    if (e == (1 << exponent) - 1 && m == (1 << mantissa) - 1) return nan;
  } else if (e == (1 << exponent) - 1) {
    return m ? nan : negative ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
  }
  const float magnitude =
      e ? std::ldexp(static_cast<float>((1 << mantissa) + m), e - bias - mantissa) : std::ldexp(static_cast<float>(m), 1 - bias - mantissa);
  return negative ? -magnitude : magnitude;
}

template <class From, class To>
void copy_as(const std::byte* from, std::size_t n, void* to) {
  for (std::size_t i = 0; i < n; ++i) {
    From v;
    std::memcpy(&v, from + i * sizeof v, sizeof v);
    if constexpr (std::is_same_v<From, std::uint64_t>)
      if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        throw Error(Code::input, "holds the U64 " + std::to_string(v) + ", and graft computes in I64: convert it where it was made");
    static_cast<To*>(to)[i] = static_cast<To>(v);
  }
}

}  // namespace

const StoredType* stored_type(std::string_view name) {
  for (const StoredType& t : kTypes)
    if (t.name == name) return &t;
  return nullptr;
}

std::string_view stored_name(DType t) {
  switch (t) {
    case DType::f64: return "F64";
    case DType::f32: return "F32";
    case DType::bf16: return "BF16";
    case DType::f16: return "F16";
    case DType::i64: return "I64";
    case DType::i32: return "I32";
    case DType::u8: return "U8";
    case DType::b8: return "BOOL";
  }
  return {};
}

std::optional<std::uint64_t> stored_bytes(const StoredType& type, std::span<const std::int64_t> shape) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t n = 1;
  bool empty = false;
  for (const std::int64_t s : shape) {
    if (s < 0) return {};
    if (s == 0) empty = true;
    else if (n > most / static_cast<std::uint64_t>(s)) return {};
    else n *= static_cast<std::uint64_t>(s);
  }
  const auto elements = static_cast<std::uint64_t>(type.elements), bits = static_cast<std::uint64_t>(type.bits);
  if (elements > 1 && (shape.empty() || static_cast<std::uint64_t>(shape.back()) % elements != 0)) return {};
  if (empty) return 0;
  const std::uint64_t blocks = n / elements;
  if (blocks > most / bits || blocks * bits % 8 != 0) return {};
  return blocks * bits / 8;
}

void widen(const StoredType& type, const std::byte* from, std::size_t n, void* to) {
  if (type.name == "I8") return copy_as<std::int8_t, std::int32_t>(from, n, to);
  if (type.name == "I16") return copy_as<std::int16_t, std::int32_t>(from, n, to);
  if (type.name == "U16") return copy_as<std::uint16_t, std::int32_t>(from, n, to);
  if (type.name == "U32") return copy_as<std::uint32_t, std::int64_t>(from, n, to);
  if (type.name == "U64") return copy_as<std::uint64_t, std::int64_t>(from, n, to);
  auto* out = static_cast<float*>(to);
  for (std::size_t i = 0; i < n; ++i) {
    const auto v = std::to_integer<std::uint8_t>(from[i]);
    if (type.name == "F8_E4M3") out[i] = from_f8(v, 4, 3, 7, true, false);
    else if (type.name == "F8_E5M2") out[i] = from_f8(v, 5, 2, 15, false, false);
    else if (type.name == "F8_E4M3FNUZ") out[i] = from_f8(v, 4, 3, 8, true, true);
    else if (type.name == "F8_E5M2FNUZ") out[i] = from_f8(v, 5, 2, 16, true, true);
    else if (type.name == "F8_E8M0") out[i] = v == 0xffu ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, v - 127);
    else throw Error(Code::bug, "widen: " + std::string(type.name) + " is not widened");
  }
}

}  // namespace graft
