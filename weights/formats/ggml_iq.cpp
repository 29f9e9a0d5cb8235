// The IQ types: eight (or four) weights at a time are a place in a fixed grid, a mask of signs and a scale, or, in IQ4, one of sixteen
// uneven steps. A super-block is 256.
#include <array>

#include "weights/formats/ggml_codecs.h"
#include "weights/formats/ggml_grids.h"

namespace graft {
namespace {

// A grid unpacked: entry i is Width small numbers.
template <int N, int Width>
struct UnpackedGrid {
  std::int8_t at[N][Width];
  UnpackedGrid(const std::uint16_t (&codes)[N], const std::int8_t* values) {
    constexpr int kBits = Width == 8 ? 2 : 3;
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < Width; ++j) at[i][j] = values[(codes[i] >> (kBits * j)) & ((1 << kBits) - 1)];
  }
};

constexpr std::int8_t kThree[4] = {8, 25, 43, 0}, kSigned[4] = {-1, 0, 1, 0};  // no code has the fourth place
constexpr std::int8_t kEight[8] = {4, 12, 20, 28, 36, 44, 52, 62}, kOdd[8] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr std::int8_t kSteps[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// +-1 for the bits of a byte.
constexpr auto kSigns = [] {
  std::array<std::array<float, 8>, 256> s{};
  for (std::size_t b = 0; b < 256; ++b)
    for (std::size_t j = 0; j < 8; ++j) s[b][j] = (b >> j) & 1 ? -1.0f : 1.0f;
  return s;
}();
// Seven bits of signs; the eighth makes their number even.
const float* even_signs(std::uint32_t seven) {
  seven &= 127;
  return kSigns[seven | (static_cast<std::uint32_t>(__builtin_parity(seven)) << 7)].data();
}

std::uint32_t word_at(const std::uint8_t* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
std::uint32_t pair_at(const std::uint8_t* p) { return static_cast<std::uint32_t>(p[0] | (p[1] << 8)); }

void put8(float* to, float scale, const std::int8_t* grid, const float* signs) {
  for (int j = 0; j < 8; ++j) to[j] = scale * static_cast<float>(grid[j]) * signs[j];
}
void put4(float* to, float scale, const std::int8_t* grid, const float* signs) {
  for (int j = 0; j < 4; ++j) to[j] = scale * static_cast<float>(grid[j]) * signs[j];
}
// The scale of 32 or 16 weights, from its four bits.
float quarter_steps(float d, std::uint32_t s) { return d * (0.5f + static_cast<float>(s)) * 0.25f; }

// d, then per 32 weights: four places, and a word of four times seven signs with the scale above them.
void unpack_iq2_xxs(const std::uint8_t* from, std::size_t blocks, float* to) {
  static const UnpackedGrid<256, 8> grid(kIq2XxsCodes, kThree);
  for (; blocks > 0; --blocks, from += 66)
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t* places = from + 2 + 8 * part;
      const std::uint32_t signs = word_at(places + 4);
      const float scale = quarter_steps(half_at(from), signs >> 28);
      for (int l = 0; l < 4; ++l, to += 8) put8(to, scale, grid.at[places[l]], even_signs(signs >> (7 * l)));
    }
}

// d, 32 times 9 bits of place and 7 of signs, 8 bytes of scales.
void unpack_iq2_xs(const std::uint8_t* from, std::size_t blocks, float* to) {
  static const UnpackedGrid<512, 8> grid(kIq2XsCodes, kThree);
  for (; blocks > 0; --blocks, from += 74) {
    const float d = half_at(from);
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t s = from[66 + part];
      const float scale[2] = {quarter_steps(d, s & 15u), quarter_steps(d, s >> 4)};
      for (int l = 0; l < 4; ++l, to += 8) {
        const std::uint32_t q = pair_at(from + 2 + 8 * part + 2 * l);
        put8(to, scale[l / 2], grid.at[q & 511], even_signs(q >> 9));
      }
    }
  }
}

// d, 32 bytes of low places, 32 of signs, 8 of high places (two bits each), 8 of scales.
void unpack_iq2_s(const std::uint8_t* from, std::size_t blocks, float* to) {
  static const UnpackedGrid<1024, 8> grid(kIq2SCodes, kThree);
  for (; blocks > 0; --blocks, from += 82) {
    const float d = half_at(from);
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t high = from[66 + part], s = from[74 + part];
      const float scale[2] = {quarter_steps(d, s & 15u), quarter_steps(d, s >> 4)};
      for (int l = 0; l < 4; ++l, to += 8)
        put8(to, scale[l / 2], grid.at[from[2 + 4 * part + l] | (((high >> (2 * l)) & 3) << 8)], kSigns[from[34 + 4 * part + l]].data());
    }
  }
}

// d, 64 places of four weights, then per 32 weights a word as in IQ2_XXS.
void unpack_iq3_xxs(const std::uint8_t* from, std::size_t blocks, float* to) {
  static const UnpackedGrid<256, 4> grid(kIq3XxsCodes, kEight);
  for (; blocks > 0; --blocks, from += 98)
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t* places = from + 2 + 8 * part;
      const std::uint32_t word = word_at(from + 66 + 4 * part);
      const float scale = half_at(from) * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
      for (int l = 0; l < 4; ++l, to += 8) {
        const float* signs = even_signs(word >> (7 * l));
        put4(to, scale, grid.at[places[2 * l]], signs);
        put4(to + 4, scale, grid.at[places[2 * l + 1]], signs + 4);
      }
    }
}

// d, 64 low places, 8 bytes with the ninth bits of eight places each, 32 of signs, 4 of scales.
void unpack_iq3_s(const std::uint8_t* from, std::size_t blocks, float* to) {
  static const UnpackedGrid<512, 4> grid(kIq3SCodes, kOdd);
  for (; blocks > 0; --blocks, from += 110) {
    const float d = half_at(from);
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t *places = from + 2 + 8 * part, high = from[66 + part];
      const float scale = d * static_cast<float>(1 + 2 * ((from[106 + part / 2] >> (4 * (part % 2))) & 15));
      for (int l = 0; l < 4; ++l, to += 8) {
        const float* signs = kSigns[from[74 + 4 * part + l]].data();
        put4(to, scale, grid.at[places[2 * l] | (((high >> (2 * l)) & 1) << 8)], signs);
        put4(to + 4, scale, grid.at[places[2 * l + 1] | (((high >> (2 * l + 1)) & 1) << 8)], signs + 4);
      }
    }
  }
}

// IQ1: the grid is of -1, 0 and 1, all of it moved by an eighth up or down.
void put_moved(float* to, float scale, const std::int8_t* grid, bool down) {
  const float delta = down ? -0.125f : 0.125f;
  for (int j = 0; j < 8; ++j) to[j] = scale * (static_cast<float>(grid[j]) + delta);
}
const UnpackedGrid<2048, 8>& iq1_grid() {
  static const UnpackedGrid<2048, 8> grid(kIq1Codes, kSigned);
  return grid;
}

// d, 32 low places, then per 32 weights two bytes: four times three high bits, the scale, the direction.
void unpack_iq1_s(const std::uint8_t* from, std::size_t blocks, float* to) {
  const auto& grid = iq1_grid();
  for (; blocks > 0; --blocks, from += 50) {
    const float d = half_at(from);
    for (int part = 0; part < 8; ++part) {
      const std::uint32_t h = pair_at(from + 34 + 2 * part);
      const float scale = d * static_cast<float>(2 * ((h >> 12) & 7) + 1);
      for (int l = 0; l < 4; ++l, to += 8)
        put_moved(to, scale, grid.at[from[2 + 4 * part + l] | (((h >> (3 * l)) & 7) << 8)], (h & 0x8000u) != 0);
    }
  }
}

// 32 low places; 16 bytes, a nibble per place: three high bits and the direction; four times two bytes with four scales of three bits and,
// on top, a nibble of d.
void unpack_iq1_m(const std::uint8_t* from, std::size_t blocks, float* to) {
  const auto& grid = iq1_grid();
  for (; blocks > 0; --blocks, from += 56) {
    const std::uint8_t* s = from + 48;
    std::uint32_t bits = 0;
    for (int k = 0; k < 4; ++k) bits |= (pair_at(s + 2 * k) >> 12) << (4 * k);
    const float d = f16::to_float(static_cast<std::uint16_t>(bits));
    for (int part = 0; part < 8; ++part) {
      const std::uint32_t scales = pair_at(s + 2 * (part / 2)) >> (6 * (part % 2));
      for (int l = 0; l < 4; ++l, to += 8) {
        const int h = from[32 + 2 * part + l / 2] >> (4 * (l % 2));
        const float scale = d * static_cast<float>(2 * ((scales >> (3 * (l / 2))) & 7) + 1);
        put_moved(to, scale, grid.at[from[4 * part + l] | ((h & 7) << 8)], (h & 8) != 0);
      }
    }
  }
}

// 16 bytes to 32 weights of uneven steps.
void put_steps(float* to, float scale, const std::uint8_t* q) {
  float value[16];
  for (int v = 0; v < 16; ++v) value[v] = scale * static_cast<float>(kSteps[v]);
  for (int j = 0; j < 16; ++j) {
    to[j] = value[q[j] & 15];
    to[j + 16] = value[q[j] >> 4];
  }
}

void unpack_iq4_nl(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 18, to += 32) put_steps(to, half_at(from), from + 2);
}

// d, eight times two high bits of scales, their low nibbles in 4 bytes, 128 of quants.
void unpack_iq4_xs(const std::uint8_t* from, std::size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 136) {
    const float d = half_at(from);
    const std::uint32_t high = pair_at(from + 2);
    for (int part = 0; part < 8; ++part, to += 32) {
      const int s = ((from[4 + part / 2] >> (4 * (part % 2))) & 15) | static_cast<int>(((high >> (2 * part)) & 3) << 4);
      put_steps(to, d * static_cast<float>(s - 32), from + 8 + 16 * part);
    }
  }
}

constexpr BlockCodec kIq[] = {
    {"IQ1_S", 256, 50, unpack_iq1_s, nullptr, 0},     {"IQ1_M", 256, 56, unpack_iq1_m, nullptr, 0},
    {"IQ2_XXS", 256, 66, unpack_iq2_xxs, nullptr, 0}, {"IQ2_XS", 256, 74, unpack_iq2_xs, nullptr, 0},
    {"IQ2_S", 256, 82, unpack_iq2_s, nullptr, 0},     {"IQ3_XXS", 256, 98, unpack_iq3_xxs, nullptr, 0},
    {"IQ3_S", 256, 110, unpack_iq3_s, nullptr, 0},    {"IQ4_NL", 32, 18, unpack_iq4_nl, nullptr, 0},
    {"IQ4_XS", 256, 136, unpack_iq4_xs, nullptr, 0},
};

}  // namespace

std::span<const BlockCodec> iq_codecs() { return kIq; }

}  // namespace graft
