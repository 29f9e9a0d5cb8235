// The tables behind ggml_blocks.h, one per family of types, and what their files share.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>

#include "kernels/core/dtype.h"
#include "weights/formats/ggml_blocks.h"

namespace graft {

std::span<const BlockCodec> simple_codecs();  // one scale for 32: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
std::span<const BlockCodec> k_codecs();       // super-blocks of 256 with quantised scales: Q2_K to Q6_K
std::span<const BlockCodec> iq_codecs();      // places in fixed grids: IQ1_S to IQ4_XS
std::span<const BlockCodec> low_codecs();     // bits, ternary digits, 4-bit floats: Q1_0 Q2_0 TQ1_0 TQ2_0 MXFP4 NVFP4

inline float half_at(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return f16::to_float(bits);
}
inline void put_half(std::uint8_t* p, float v) {
  const std::uint16_t bits = f16::from_float(v);
  std::memcpy(p, &bits, 2);
}

// The 6-bit scale and minimum of part j (of 8) of Q4_K and Q5_K, from the 12 bytes they are packed in.
struct ScaleAndMin {
  int scale, min;
};
inline ScaleAndMin scale_and_min(const std::uint8_t* s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | ((s[j - 4] >> 6) << 4), (s[j + 4] >> 4) | ((s[j] >> 6) << 4)};
}

// The K types' quantisers (ggml_k_search.cpp).
void quantise_q2_k(const float* from, std::size_t blocks, std::uint8_t* to);
void quantise_q3_k(const float* from, std::size_t blocks, std::uint8_t* to);
void quantise_q4_k(const float* from, std::size_t blocks, std::uint8_t* to);
void quantise_q5_k(const float* from, std::size_t blocks, std::uint8_t* to);
void quantise_q6_k(const float* from, std::size_t blocks, std::uint8_t* to);

}  // namespace graft
