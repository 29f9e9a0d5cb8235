// The K types: super-blocks of 256 weights in parts of 16 or 32. A part's scale is d times a small integer, and x = (d s) q, or (d s) q -
// (dmin m). The products in brackets are rounded to f32 first, as ggml's reference rounds them.
#include "weights/formats/ggml_codecs.h"

namespace graft {
namespace {

// 16 bytes of scales (scale low, minimum high), 64 of quants, d, dmin. Quants: two halves of 32 bytes, each byte four elements that lie 32
// apart.
void unpack_q2_k(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 84) {
    const float d = half_at(from + 80), dmin = half_at(from + 82);
    const std::uint8_t *scales = from, *q = from + 16;
    for (int half = 0; half < 2; ++half, q += 32)
      for (int shift = 0; shift < 8; shift += 2)
        for (int part = 0; part < 32; part += 16, to += 16) {
          const std::uint8_t s = *scales++;
          const float scale = d * static_cast<float>(s & 15), min = dmin * static_cast<float>(s >> 4);
          for (int l = 0; l < 16; ++l) to[l] = scale * static_cast<float>((q[part + l] >> shift) & 3) - min;
        }
  }
}

// 32 bytes of third bits, 64 of low quants as in Q2_K, 12 of scales, d. A third bit that is not set means 4 less.
void unpack_q3_k(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 110) {
    const float d = half_at(from + 108);
    const std::uint8_t *high = from, *q = from + 32, *s = from + 96;
    int bit = 0, j = 0;
    for (int half = 0; half < 2; ++half, q += 32)
      for (int shift = 0; shift < 8; shift += 2, ++bit)
        for (int part = 0; part < 32; part += 16, to += 16, ++j) {
          const int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4, top = (s[8 + j % 4] >> (2 * (j / 4))) & 3;
          const float scale = d * static_cast<float>((low | (top << 4)) - 32);
          for (int l = 0; l < 16; ++l)
            to[l] = scale * static_cast<float>(((q[part + l] >> shift) & 3) - 4 + (((high[part + l] >> bit) & 1) << 2));
        }
  }
}

// d, dmin, 12 bytes of scales and minima, 128 of quants: 32 bytes are 32 elements (low) and the 32 after them (high).
void unpack_q4_k(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 144) {
    const float d = half_at(from), dmin = half_at(from + 2);
    const std::uint8_t* q = from + 16;
    for (int j = 0; j < 8; j += 2, q += 32, to += 64) {
      const ScaleAndMin a = scale_and_min(from + 4, j), b = scale_and_min(from + 4, j + 1);
      const float da = d * static_cast<float>(a.scale), ma = dmin * static_cast<float>(a.min);
      const float db = d * static_cast<float>(b.scale), mb = dmin * static_cast<float>(b.min);
      for (int l = 0; l < 32; ++l) to[l] = da * static_cast<float>(q[l] & 15) - ma;
      for (int l = 0; l < 32; ++l) to[32 + l] = db * static_cast<float>(q[l] >> 4) - mb;
    }
  }
}

// As Q4_K with 32 bytes of fifth bits before the quants: bit j of byte l belongs to element l of part j.
void unpack_q5_k(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 176) {
    const float d = half_at(from), dmin = half_at(from + 2);
    const std::uint8_t *high = from + 16, *q = from + 48;
    for (int j = 0; j < 8; j += 2, q += 32, to += 64) {
      const ScaleAndMin a = scale_and_min(from + 4, j), b = scale_and_min(from + 4, j + 1);
      const float da = d * static_cast<float>(a.scale), ma = dmin * static_cast<float>(a.min);
      const float db = d * static_cast<float>(b.scale), mb = dmin * static_cast<float>(b.min);
      for (int l = 0; l < 32; ++l) to[l] = da * static_cast<float>((q[l] & 15) | (((high[l] >> j) & 1) << 4)) - ma;
      for (int l = 0; l < 32; ++l) to[32 + l] = db * static_cast<float>((q[l] >> 4) | (((high[l] >> (j + 1)) & 1) << 4)) - mb;
    }
  }
}

// 128 bytes of low bits, 64 of high ones, 16 signed scales, d. In each half of 128 elements: low bits of 32 and 32 in the low nibbles of 64
// bytes, of the next 64 in their high nibbles; the high bits of elements l, l + 32, l + 64, l + 96 in one byte.
void unpack_q6_k(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 210) {
    const float d = half_at(from + 208);
    const std::uint8_t *low = from, *high = from + 128, *s = from + 192;
    for (int half = 0; half < 2; ++half, low += 64, high += 32)
      for (int quarter = 0; quarter < 4; ++quarter)
        for (int part = 0; part < 32; part += 16, to += 16) {
          const float scale = d * static_cast<float>(static_cast<std::int8_t>(*s++));
          const std::uint8_t *q = low + 32 * (quarter & 1) + part, *h = high + part;
          const int nibble = 4 * (quarter >> 1), two = 2 * quarter;
          for (int l = 0; l < 16; ++l) to[l] = scale * static_cast<float>((((q[l] >> nibble) & 15) | (((h[l] >> two) & 3) << 4)) - 32);
        }
  }
}

constexpr float kHalfMost = 65504.0f;

// The largest numbers leave room for a search that moves a scale by a few per cent.
constexpr BlockCodec kK[] = {
    {"Q2_K", 256, 84, unpack_q2_k, quantise_q2_k, kHalfMost},  {"Q3_K", 256, 110, unpack_q3_k, quantise_q3_k, kHalfMost},
    {"Q4_K", 256, 144, unpack_q4_k, quantise_q4_k, kHalfMost}, {"Q5_K", 256, 176, unpack_q5_k, quantise_q5_k, kHalfMost},
    {"Q6_K", 256, 210, unpack_q6_k, quantise_q6_k, kHalfMost},
};

}  // namespace

std::span<const BlockCodec> k_codecs() { return kK; }

}  // namespace graft
