// The smallest numbers: one bit (Q1_0), two bits (Q2_0), ternary digits (TQ1_0, five to a byte; TQ2_0), and 4-bit floats with a power of
// two (MXFP4) or an 8-bit float (NVFP4) as scale. The values of a 4-bit float (OCP Microscaling Formats v1.0, E2M1) are kept doubled and
// the scales halved, so that both are exact.
#include <cmath>

#include "weights/formats/ggml_codecs.h"

namespace graft {
namespace {

constexpr std::int8_t kTwiceE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void unpack_q1_0(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 18, to += 128) {
    const float d = half_at(from);
    for (int b = 0; b < 16; ++b)
      for (int j = 0; j < 8; ++j) to[8 * b + j] = (from[2 + b] & (1 << j)) != 0 ? d : -d;
  }
}

void pack_q1_0(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 128, to += 18) {
    float sum = 0;
    for (int j = 0; j < 128; ++j) sum += std::abs(from[j]);
    put_half(to, sum / 128.0f);
    for (int b = 0; b < 16; ++b) {
      int bits = 0;
      for (int j = 0; j < 8; ++j) bits |= (from[8 * b + j] >= 0 ? 1 : 0) << j;
      to[2 + b] = static_cast<std::uint8_t>(bits);
    }
  }
}

void unpack_q2_0(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 18, to += 64) {
    const float d = half_at(from);
    for (int b = 0; b < 16; ++b)
      for (int j = 0; j < 4; ++j) to[4 * b + j] = static_cast<float>(((from[2 + b] >> (2 * j)) & 3) - 1) * d;
  }
}

// The largest |x| of a block, and 1 / it: 0 where that is not a number (its f16 is 0 then).
struct Peak {
  float most, inverse;
};
Peak peak(const float* x, int n) {
  float most = 0;
  for (int j = 0; j < n; ++j) most = std::abs(x[j]) > most ? std::abs(x[j]) : most;
  const float i = most > 0 ? 1.0f / most : 0.0f;
  return {most, std::isfinite(i) ? i : 0.0f};
}
// -1, 0 or 1, plus 1.
int ternary(float x, float inverse) { return static_cast<int>(std::round(x * inverse)) + 1; }

void pack_q2_0(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 64, to += 18) {
    const Peak p = peak(from, 64);
    put_half(to, p.most);
    for (int b = 0; b < 16; ++b) {
      int bits = 0;
      for (int j = 0; j < 4; ++j) bits |= ternary(from[4 * b + j], p.inverse) << (2 * j);
      to[2 + b] = static_cast<std::uint8_t>(bits);
    }
  }
}

// A byte of TQ1_0 is its five digits as a fraction of 256, rounded up: multiplying by 3^n brings digit n to the front, and three times what
// is left of 256 is that digit. The first 32 bytes hold 160 elements, element m + 32 n being digit n of byte m, the next 16 bytes 80 in the
// same way, the last 4 bytes 16 as four digits.
struct TernaryRun {
  int start, bytes, digits;
};
constexpr TernaryRun kTernaryRuns[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
constexpr std::uint8_t kPowersOf3[5] = {1, 3, 9, 27, 81};

void unpack_tq1_0(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 54) {
    const float d = half_at(from + 52);
    for (const TernaryRun& run : kTernaryRuns)
      for (int n = 0; n < run.digits; ++n, to += run.bytes)
        for (int m = 0; m < run.bytes; ++m) {
          const auto front = static_cast<std::uint8_t>(from[run.start + m] * kPowersOf3[n]);
          to[m] = static_cast<float>(((front * 3) >> 8) - 1) * d;
        }
  }
}

void pack_tq1_0(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, to += 54) {
    const Peak p = peak(from, 256);
    put_half(to + 52, p.most);
    for (const TernaryRun& run : kTernaryRuns) {
      for (int m = 0; m < run.bytes; ++m) {
        int number = 0;
        for (int n = 0; n < 5; ++n) number = 3 * number + (n < run.digits ? ternary(from[n * run.bytes + m], p.inverse) : 0);
        to[run.start + m] = static_cast<std::uint8_t>((number * 256 + 242) / 243);
      }
      from += run.bytes * run.digits;
    }
  }
}

// 64 bytes of quants, then d. As in Q2_K a byte is four elements that lie 32 apart.
void unpack_tq2_0(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 66) {
    const float d = half_at(from + 64);
    for (int half = 0; half < 64; half += 32)
      for (int shift = 0; shift < 8; shift += 2, to += 32)
        for (int l = 0; l < 32; ++l) to[l] = static_cast<float>(((from[half + l] >> shift) & 3) - 1) * d;
  }
}

void pack_tq2_0(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 256, to += 66) {
    const Peak p = peak(from, 256);
    put_half(to + 64, p.most);
    for (int b = 0; b < 64; ++b) {
      const float* x = from + 128 * (b / 32) + b % 32;
      int bits = 0;
      for (int n = 0; n < 4; ++n) bits |= ternary(x[32 * n], p.inverse) << (2 * n);
      to[b] = static_cast<std::uint8_t>(bits);
    }
  }
}

// Half of 2^(e - 127), also where that is subnormal.
float half_power(std::uint8_t e) {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

void unpack_mxfp4(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 17, to += 32) {
    float value[16];
    const float d = half_power(from[0]);
    for (int v = 0; v < 16; ++v) value[v] = static_cast<float>(kTwiceE2M1[v]) * d;
    for (int j = 0; j < 16; ++j) {
      to[j] = value[from[1 + j] & 15];
      to[j + 16] = value[from[1 + j] >> 4];
    }
  }
}

// The nearest of the 16 values, the first of equals.
int nearest_e2m1(float x, float d) {
  int best = 0;
  float least = std::abs(static_cast<float>(kTwiceE2M1[0]) * d - x);
  for (int v = 1; v < 16; ++v)
    if (const float e = std::abs(static_cast<float>(kTwiceE2M1[v]) * d - x); e < least) {
      best = v;
      least = e;
    }
  return best;
}

void pack_mxfp4(const float* from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks > 0; --blocks, from += 32, to += 17) {
    const float most = peak(from, 32).most;
    // The largest value, 6, is 1.5 times 2^2. Below 2^-125 the exponent ends.
    const int e = most > 0 ? static_cast<int>(std::floor(std::log2(most))) - 2 + 127 : 0;
    to[0] = static_cast<std::uint8_t>(e > 0 ? e : 0);
    const float d = half_power(to[0]);
    for (int j = 0; j < 16; ++j) to[1 + j] = static_cast<std::uint8_t>(nearest_e2m1(from[j], d) | (nearest_e2m1(from[j + 16], d) << 4));
  }
}

// Half of an unsigned float of 4 + 3 bits (the top bit is not looked at by the exponent); 0x7f, which is NaN elsewhere, counts as 0 here,
// as in ggml.
float half_ue4m3(std::uint8_t v) {
  if (v == 0x7fu) return 0.0f;
  const int e = (v >> 3) & 15, m = v & 7;
  return 0.5f * (e == 0 ? std::ldexp(static_cast<float>(m), -9) : std::ldexp(static_cast<float>(8 + m), e - 10));
}

// Four scales, then 8 bytes for each 16 elements.
void unpack_nvfp4(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 36)
    for (int s = 0; s < 4; ++s, to += 16) {
      float value[16];
      const float d = half_ue4m3(from[s]);
      for (int v = 0; v < 16; ++v) value[v] = static_cast<float>(kTwiceE2M1[v]) * d;
      for (int j = 0; j < 8; ++j) {
        to[j] = value[from[4 + 8 * s + j] & 15];
        to[j + 8] = value[from[4 + 8 * s + j] >> 4];
      }
    }
}

constexpr float kHalfMost = 65504.0f;

constexpr BlockCodec kLow[] = {
    {"Q1_0", 128, 18, unpack_q1_0, pack_q1_0, kHalfMost},    {"Q2_0", 64, 18, unpack_q2_0, pack_q2_0, kHalfMost},
    {"TQ1_0", 256, 54, unpack_tq1_0, pack_tq1_0, kHalfMost}, {"TQ2_0", 256, 66, unpack_tq2_0, pack_tq2_0, kHalfMost},
    {"MXFP4", 32, 17, unpack_mxfp4, pack_mxfp4, 3e38f},      {"NVFP4", 64, 36, unpack_nvfp4, nullptr, 0},
};

}  // namespace

std::span<const BlockCodec> low_codecs() { return kLow; }

}  // namespace graft
