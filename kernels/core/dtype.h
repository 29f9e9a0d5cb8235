// Element types: what they are called, how large they are, and the two 16-bit floats with round-to-nearest-even conversions.
// bf16 keeps the exponent of f32 and 8 bits of significand; f16 is IEEE 754 binary16, subnormals included.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

namespace graft {

struct bf16 {
  std::uint16_t bits = 0;
  constexpr bf16() = default;
  constexpr bf16(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);  // NaN stays a quiet NaN
    else bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  constexpr operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

struct f16 {
  std::uint16_t bits = 0;
  constexpr f16() = default;
  constexpr f16(float f) : bits(from_float(f)) {}
  constexpr operator float() const { return to_float(bits); }

  static constexpr std::uint16_t from_float(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    const std::uint32_t sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((mag >> 13) & 0x3ffu));
    if (mag >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
    if (mag < 0x38800000u) {                                                    // subnormal half: let the float adder do the rounding
      const float shifted = std::bit_cast<float>(mag) + 0.5f;
      return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
    }
    const std::uint32_t r = mag + 0xfffu + ((mag >> 13) & 1u) - 0x38000000u;
    return static_cast<std::uint16_t>(sign | (r >> 13));
  }
  static constexpr float to_float(std::uint16_t h) {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16, mag = h & 0x7fffu;
    if (mag >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((mag & 0x3ffu) << 13));
    if (mag < 0x400u) {
      const float f = static_cast<float>(mag) * 0x1p-24f;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(f) | sign);
    }
    return std::bit_cast<float>(sign | ((mag << 13) + 0x38000000u));
  }
};

enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, u8, b8 };
inline constexpr DType kAllDTypes[] = {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32, DType::u8, DType::b8};

constexpr std::size_t size_of(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
    case DType::u8:
    case DType::b8: return 1;
  }
  return 0;
}
constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f64: return "f64";
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i64: return "i64";
    case DType::i32: return "i32";
    case DType::u8: return "u8";
    case DType::b8: return "bool";
  }
  return "?";
}
constexpr bool is_float(DType t) { return t == DType::f64 || t == DType::f32 || t == DType::bf16 || t == DType::f16; }
inline std::optional<DType> parse_dtype(std::string_view s) {
  for (DType t : kAllDTypes)
    if (name_of(t) == s) return t;
  return std::nullopt;
}

// Distance from 1 to the next number: the unit that derived tolerances are made of. 0 for integers.
constexpr double epsilon_of(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::bf16: return 0x1p-7;
    case DType::f16: return 0x1p-10;
    default: return 0;
  }
}
// Smallest positive normal number: below it an ulp no longer shrinks with the value.
constexpr double smallest_normal(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-1022;
    case DType::f32:
    case DType::bf16: return 0x1p-126;
    case DType::f16: return 0x1p-14;
    default: return 0;
  }
}

template <class T>
struct dtype_of_t;
template <>
struct dtype_of_t<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of_t<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of_t<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of_t<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of_t<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of_t<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of_t<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of_t<bool> {
  static constexpr DType value = DType::b8;
};
template <class T>
inline constexpr DType dtype_of = dtype_of_t<T>::value;

// The type that a sum of T is kept in: f32 for 16-bit floats, itself for f32 and f64, i64 for integers.
template <class T>
using Accum = std::conditional_t<std::is_same_v<T, bf16> || std::is_same_v<T, f16>, float,
                                 std::conditional_t<std::is_floating_point_v<T>, T, std::int64_t>>;

// What an index outside of its range answers: NaN, 0 for integers.
template <class T>
constexpr T missing_value() {
  if constexpr (std::is_integral_v<T>) return T(0);
  else return static_cast<T>(std::numeric_limits<float>::quiet_NaN());
}
constexpr bool index_inside(std::int64_t i, std::int64_t n) { return i >= 0 && i < n; }

// visit(dtype, [&]<class T>() { ... }): one branch per element type.
template <class F>
constexpr decltype(auto) visit(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f.template operator()<double>();
    case DType::f32: return f.template operator()<float>();
    case DType::bf16: return f.template operator()<bf16>();
    case DType::f16: return f.template operator()<f16>();
    case DType::i64: return f.template operator()<std::int64_t>();
    case DType::i32: return f.template operator()<std::int32_t>();
    case DType::u8: return f.template operator()<std::uint8_t>();
    case DType::b8: break;
  }
  return f.template operator()<bool>();
}
// As visit, for the four float types only; the caller's limit has already refused the others.
template <class F>
constexpr decltype(auto) visit_float(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f.template operator()<double>();
    case DType::bf16: return f.template operator()<bf16>();
    case DType::f16: return f.template operator()<f16>();
    default: return f.template operator()<float>();
  }
}

}  // namespace graft
