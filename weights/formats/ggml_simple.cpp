// Blocks of 32 with one scale, or a scale and a minimum: x = d (q - middle) or d q + m. In the packed types byte j holds the low four bits
// of elements j and j
// + 16, and 5-bit types keep the fifth bits of all 32 in a word of their own. Both ways are ggml's reference to the bit, rounding of ties
// included.
#include <cmath>

#include "weights/formats/ggml_codecs.h"

namespace graft {
namespace {

template <int Middle, bool Fifth, bool Min>
void unpack(const std::uint8_t* from, std::size_t blocks, float* to) {
  constexpr int kHead = Min ? 4 : 2, kBytes = kHead + (Fifth ? 4 : 0) + 16;
  for (; blocks > 0; --blocks, from += kBytes, to += 32) {
    const float d = half_at(from), m = Min ? half_at(from + 2) : 0.0f;
    const std::uint8_t* q = from + kBytes - 16;
    std::uint8_t low[32];
    for (int j = 0; j < 16; ++j) {
      low[j] = q[j] & 15;
      low[j + 16] = static_cast<std::uint8_t>(q[j] >> 4);
    }
    if constexpr (Fifth) {
      // Bit i of the word to bit 4 of byte i: the byte of the word that holds it, eight times, and a mask that runs through its bits.
      for (int b = 0; b < 4; ++b)
        for (int j = 0; j < 8; ++j) low[8 * b + j] |= static_cast<std::uint8_t>((from[kHead + b] & (1 << j)) != 0 ? 16 : 0);
    }
    for (int j = 0; j < 32; ++j) {
      const float x = static_cast<float>(low[j] - Middle) * d;
      to[j] = Min ? x + m : x;
    }
  }
}

void unpack_q8(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 34, to += 32) {
    const float d = half_at(from);
    for (int j = 0; j < 32; ++j) to[j] = static_cast<float>(static_cast<std::int8_t>(from[2 + j])) * d;
  }
}

// 1 / d, and 0 where d is 0 or so small that its inverse is not a number: the block's f16 scale is 0 then.
float inverse(float d) {
  const float i = d != 0 ? 1.0f / d : 0.0f;
  return std::isfinite(i) ? i : 0.0f;
}

template <int Middle, bool Fifth, bool Min>
void pack(const float* from, std::size_t blocks, std::uint8_t* to) {
  constexpr int kHead = Min ? 4 : 2, kBytes = kHead + (Fifth ? 4 : 0) + 16, kMost = Fifth ? 31 : 15;
  for (; blocks > 0; --blocks, from += 32, to += kBytes) {
    float d, base = 0;
    if constexpr (Min) {
      float lo = from[0], hi = from[0];
      for (int j = 1; j < 32; ++j) {
        if (from[j] < lo) lo = from[j];
        if (from[j] > hi) hi = from[j];
      }
      d = (hi - lo) / static_cast<float>(kMost);
      base = lo;
      put_half(to + 2, lo);
    } else {
      float most =
          0;  // the value of the largest magnitude, the first of them: it takes the place below the middle that has no partner above
      for (int j = 0; j < 32; ++j)
        if (std::abs(from[j]) > std::abs(most)) most = from[j];
      d = most / static_cast<float>(-Middle);
    }
    put_half(to, d);
    const float id = inverse(d), half_up = Min ? 0.5f : static_cast<float>(Middle) + 0.5f;
    std::uint8_t q[32];
    for (int j = 0; j < 32; ++j) {
      const int v = static_cast<int>((from[j] - base) * id + half_up);
      q[j] = static_cast<std::uint8_t>(v < kMost ? v : kMost);
    }
    if constexpr (Fifth) {
      std::uint32_t high = 0;
      for (int j = 0; j < 32; ++j) high |= static_cast<std::uint32_t>(q[j] >> 4) << j;
      std::memcpy(to + kHead, &high, 4);
    }
    for (int j = 0; j < 16; ++j) to[kBytes - 16 + j] = static_cast<std::uint8_t>((q[j] & 15) | (q[j + 16] << 4));
  }
}

void pack_q8(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 32, to += 34) {
    float most = 0;
    for (int j = 0; j < 32; ++j) most = std::abs(from[j]) > most ? std::abs(from[j]) : most;
    const float d = most / 127.0f, id = inverse(d);
    put_half(to, d);
    for (int j = 0; j < 32; ++j) to[2 + j] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(from[j] * id)));
  }
}

constexpr float kHalfMost = 65504.0f;

constexpr BlockCodec kSimple[] = {
    {"Q4_0", 32, 18, unpack<8, false, false>, pack<8, false, false>, kHalfMost * 8},
    {"Q4_1", 32, 20, unpack<0, false, true>, pack<0, false, true>, kHalfMost},
    {"Q5_0", 32, 22, unpack<16, true, false>, pack<16, true, false>, kHalfMost * 16},
    {"Q5_1", 32, 24, unpack<0, true, true>, pack<0, true, true>, kHalfMost},
    {"Q8_0", 32, 34, unpack_q8, pack_q8, kHalfMost * 127},
};

}  // namespace

std::span<const BlockCodec> simple_codecs() { return kSimple; }

}  // namespace graft
