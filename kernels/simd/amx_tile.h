// Products in f32 accuracy on tiles that multiply bf16: a number of f32 is the sum of three of bf16, exactly (8 + 8 + 8 bits), and of the
// nine products of parts the six largest are summed; what is left out is below 2^-24 of each product, as a rounding is. (Henry, Tang,
// Heinecke: Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations, 2019.) f16 has two parts and needs
// all four products, bf16 is one part. A tile product is 16 x 16 sums over 32 steps of k in 16 cycles, 16 times the multiply-adds of
// AVX-512; f32 keeps 16 / 6 of that.
//
// Operands come packed: a panel is 32 lines (rows of A, columns of B), per 32 steps of k as [part][16 lines each], 1 KiB a tile. In a tile
// steps l and l + 16 stand side by side. A has a row per line, B a row per pair of steps; both are made of the same pairs of vectors.
//
// What bf16 cannot say. Tiles take denormals for zeros: a panel of small numbers is packed times a power of two (`scale`); a number below
// 2^-110 of the largest in its panel loses low bits, as where denormals are flushed. An infinite number has no parts: sums that are not
// finite must be done again by other means.
#pragma once
#include "kernels/core/amx.h"

#ifdef GRAFT_HAVE_AMX
#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/core/dtype.h"

// GCC 12 takes its own _mm512_undefined_ps() for a variable that was forgotten (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
// What code of tiles stands between: HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS) and HWY_POP_ATTRIBUTES.
#define GRAFT_AMX_TARGETS "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16"

HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS)
namespace graft::amx {

inline constexpr std::int64_t kTile = 16, kPanel = 2 * kTile, kDepth = 32;  // lines of a tile and of a panel; steps of a tile
inline constexpr std::int64_t kTileBytes = 1024, kHead = 64;                // a panel begins with its scale
template <class T>
inline constexpr int kParts = std::is_same_v<T, float>  ? 3
                              : std::is_same_v<T, bf16> ? 1
                                                        : 2;
template <int P>
inline constexpr int kProducts = P == 3 ? 6 : P* P;  // of parts
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
template <class T>
constexpr std::int64_t panel_bytes(std::int64_t k) {
  return kHead + ceil_div(k, kDepth) * kParts<T> * 2 * kTileBytes;
}

// The tiles of this thread, given back at the end: 0 to 3 are sums, 4 and 5 lines of A (`lines` of each, which is what a product takes in
// cycles), 6 and 7 columns of B. Rows have 64 bytes.
struct Tiles {
  explicit Tiles(std::int64_t lines = kTile) {
    struct alignas(64) {
      std::uint8_t palette = 1, start = 0, none[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {};
    } config;
    for (int t = 0; t < 8; ++t) config.rows[t] = static_cast<std::uint8_t>(t < 6 ? lines : kTile);
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

inline __m512 load16(const float* p) { return _mm512_loadu_ps(p); }
inline __m512 load16(const bf16* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline __m512 load16(const f16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline __mmask16 first_lanes(std::int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1); }
// The first `lanes`, zeros behind them.
inline __m512 load16(const float* p, __mmask16 lanes) { return _mm512_maskz_loadu_ps(lanes, p); }
inline __m512 load16(const bf16* p, __mmask16 lanes) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p)), 16));
}
inline __m512 load16(const f16* p, __mmask16 lanes) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p)); }

// Up to 16 numbers that are `step` apart.
template <class T>
inline __m512 load(const T* from, std::int64_t step, std::int64_t n) {
  if (step == 1) return load16(from, first_lanes(n));
  alignas(64) float v[16] = {};
  for (std::int64_t i = 0; i < n; ++i) v[i] = static_cast<float>(from[i * step]);
  return _mm512_load_ps(v);
}
template <class T>
inline void store(__m512 v, T* to, std::int64_t step, std::int64_t n) {
  if (step == 1) {
    if constexpr (std::is_same_v<T, float>) return _mm512_mask_storeu_ps(to, first_lanes(n), v);
    else if constexpr (std::is_same_v<T, f16>)
      return _mm256_mask_storeu_epi16(to, first_lanes(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  alignas(64) float each[16];
  _mm512_store_ps(each, v);
  for (std::int64_t i = 0; i < n; ++i) to[i * step] = static_cast<T>(each[i]);
}

// Two vectors of f32 as P vectors of pairs of bf16 (x0[i], x1[i]), `apart` bytes from one to the next; returns the first. The first of
// several parts is cut off and the second rounded, so that what is left out of products is of either sign; the third is exact.
template <int P>
inline __m512i split(__m512 x0, __m512 x1, std::byte* to, std::int64_t apart) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const auto cut = [&](__m512 a, __m512 b) {  // (a >> 16) | (b & high)
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(_mm512_castps_si512(a), 16), _mm512_castps_si512(b), high, 0xf8);
  };
  const auto rounded = [&](__m512 a, __m512 b) {
    const __m512i pairs = _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008, 0x170007,
                                           0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
    return _mm512_permutexvar_epi16(pairs, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
  };
  const __m512i first = cut(x0, x1);
  _mm512_storeu_si512(to, first);
  if constexpr (P > 1) {
    x0 = _mm512_sub_ps(x0, _mm512_and_ps(x0, _mm512_castsi512_ps(high)));
    x1 = _mm512_sub_ps(x1, _mm512_and_ps(x1, _mm512_castsi512_ps(high)));
    const __m512i second = rounded(x0, x1);
    _mm512_storeu_si512(to + apart, second);
    if constexpr (P > 2) {
      x0 = _mm512_sub_ps(x0, _mm512_castsi512_ps(_mm512_slli_epi32(second, 16)));
      x1 = _mm512_sub_ps(x1, _mm512_castsi512_ps(_mm512_and_si512(second, high)));
      _mm512_storeu_si512(to + 2 * apart, cut(x0, x1));
    }
  }
  return first;
}

// Four floats from each of rows 0, 4, 8, 12.
inline __m512 fours(const float* p, std::int64_t step) {
  const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * step), 1);
  const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 8 * step)), _mm_loadu_ps(p + 12 * step), 1);
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
// to[j * to_step + i] = from[i * step + j], 16 x 16; asks for the rows `ahead` of these.
inline void transpose16(const float* from, std::int64_t step, float* to, std::int64_t to_step, std::int64_t ahead) {
  for (std::int64_t i = 0; i < 16; ++i) _mm_prefetch(reinterpret_cast<const char*>(from + i * step + ahead), _MM_HINT_T0);
#pragma GCC unroll 4
  for (int j = 0; j < 16; j += 4, from += 4, to += 4 * to_step) {
    const __m512 r0 = fours(from, step), r1 = fours(from + step, step), r2 = fours(from + 2 * step, step),
                 r3 = fours(from + 3 * step, step);
    const __m512 a = _mm512_unpacklo_ps(r0, r2), b = _mm512_unpacklo_ps(r1, r3), e = _mm512_unpackhi_ps(r0, r2),
                 f = _mm512_unpackhi_ps(r1, r3);
    _mm512_storeu_ps(to, _mm512_unpacklo_ps(a, b));
    _mm512_storeu_ps(to + to_step, _mm512_unpackhi_ps(a, b));
    _mm512_storeu_ps(to + 2 * to_step, _mm512_unpacklo_ps(e, f));
    _mm512_storeu_ps(to + 3 * to_step, _mm512_unpackhi_ps(e, f));
  }
}

// to[R][C] = from[r * row + c * column] * scale for r < rows, c < columns, zeros elsewhere; R and C are 16 or 32. `ahead`: from `from` to
// what is gathered next.
template <std::int64_t R, std::int64_t C, class T>
inline void gather(const T* from, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns, float scale, float* to,
                   std::int64_t ahead) {
  if constexpr (std::is_same_v<T, float>) {
    if (row == 1 && rows == R && columns == C && scale == 1) {
      for (std::int64_t r = 0; r < R; r += 16)
        for (std::int64_t c = 0; c < C; c += 16) transpose16(from + r + c * column, column, to + r * C + c, C, ahead);
      return;
    }
  }
  const __m512 times = _mm512_set1_ps(scale);
  if (column == 1) {
    for (std::int64_t r = 0; r < R; ++r)
      for (std::int64_t c = 0; c < C; c += 16) {
        const auto lanes = first_lanes(r < rows ? std::clamp<std::int64_t>(columns - c, 0, 16) : 0);
        _mm512_storeu_ps(to + r * C + c, _mm512_mul_ps(load16(from + (r < rows ? r * row + c : 0), lanes), times));
      }
  } else if (row == 1) {
    alignas(64) float turned[C * R];
    for (std::int64_t c = 0; c < C; ++c)
      for (std::int64_t r = 0; r < R; r += 16) {
        const auto lanes = first_lanes(c < columns ? std::clamp<std::int64_t>(rows - r, 0, 16) : 0);
        _mm512_store_ps(turned + c * R + r, _mm512_mul_ps(load16(from + (c < columns ? c * column + r : 0), lanes), times));
      }
    for (std::int64_t r = 0; r < R; r += 16)
      for (std::int64_t c = 0; c < C; c += 16) transpose16(turned + r + c * R, R, to + r * C + c, C, 0);
  } else {
    for (std::int64_t r = 0; r < R; ++r)
      for (std::int64_t c = 0; c < C; ++c)
        to[r * C + c] = r < rows && c < columns ? static_cast<float>(from[r * row + c * column]) * scale : 0.0f;
  }
}

enum class Side { a, b };

// The largest magnitude of what was split: of first parts, NaN and infinities as their bits say, above all others.
struct Largest {
  __m512i pairs;
  Largest() : pairs(_mm512_setzero_si512()) {}  // written out, so that it is compiled for the instructions that it uses
  void take(__m512i first) { pairs = _mm512_max_epu16(pairs, _mm512_and_si512(first, _mm512_set1_epi16(0x7fff))); }
  float value() const {
    return std::bit_cast<float>(_mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_slli_epi32(pairs, 16), pairs)) & 0xffff0000u);
  }
};
// What makes numbers of that magnitude about 1 where products with them might be denormal, else 1.
inline float scale_for(float largest) {
  return largest > 0 && largest < 0x1p-30f ? std::ldexp(1.0f, std::min(100, -std::ilogb(largest))) : 1.0f;
}

// One tile: up to kTile lines of up to kDepth steps, times `scale`. Rows lie row_bytes apart (of side a only those of `lines` are written),
// parts part_bytes.
template <Side S, class T>
inline void split_tile(const T* from, std::int64_t line, std::int64_t along, std::int64_t lines, std::int64_t steps, float scale,
                       std::byte* to, std::int64_t row_bytes, std::int64_t part_bytes, Largest& largest) {
  constexpr bool by_line = S == Side::a;
  const std::int64_t ahead = kDepth * along;  // where the same lines go on
  const auto rows = [&](const float* p, std::int64_t row, std::int64_t second, std::int64_t next) {
    const std::int64_t count = by_line ? lines : kTile;
#pragma GCC unroll 2
    for (std::int64_t r = 0; r < count; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(p + r * row + next), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(p + r * row + second + next), _MM_HINT_T0);
      largest.take(split<kParts<T>>(load16(p + r * row), load16(p + r * row + second), to + r * row_bytes, part_bytes));
    }
  };
  if constexpr (std::is_same_v<T, float>) {
    if ((by_line ? along : line) == 1 && (by_line || lines == kTile) && steps == kDepth && scale == 1)
      return rows(from, by_line ? line : along, by_line ? kTile : kTile * along, ahead);
  }
  alignas(64) float ordered[kTile * kDepth];
  if constexpr (by_line) gather<kTile, kDepth>(from, line, along, lines, steps, scale, ordered, ahead), rows(ordered, kDepth, kTile, 0);
  else gather<kDepth, kTile>(from, along, line, steps, lines, scale, ordered, ahead), rows(ordered, kTile, kTile * kTile, 0);
}

// Up to kPanel lines of k steps, times `scale`.
template <Side S, class T>
inline float pack_lines(const T* from, std::int64_t line, std::int64_t along, std::int64_t lines, std::int64_t k, float scale,
                        std::byte* to) {
  Largest largest;
  for (std::int64_t k0 = 0; k0 < k; k0 += kDepth, to += kParts<T> * 2 * kTileBytes)
    for (std::int64_t l = 0; l < lines; l += kTile)
      split_tile<S>(from + l * line + k0 * along, line, along, std::min(kTile, lines - l), std::min(kDepth, k - k0), scale,
                    to + l / kTile * kTileBytes, 64, 2 * kTileBytes, largest);
  return largest.value();
}

// A panel with its scale: 1, or a power of two where all of it is so small that products might be denormal.
template <Side S, class T>
__attribute__((noinline)) void pack_panel(const T* from, std::int64_t line, std::int64_t along, std::int64_t lines, std::int64_t k,
                                          std::byte* panel) {
  const float scale = scale_for(pack_lines<S>(from, line, along, lines, k, 1.0f, panel + kHead));
  if (scale != 1) pack_lines<S>(from, line, along, lines, k, scale, panel + kHead);
  std::memcpy(panel, &scale, sizeof scale);
}

inline void unscale(float* sums, std::int64_t lines, float a, float b) {
  if (a != 1 || b != 1)
    for (std::int64_t i = 0; i < lines * kPanel; ++i) sums[i] = sums[i] / a / b;
}

// Rows of at most two lines of cache, `step` bytes apart, that will be wanted after a product.
struct Ahead {
  const void* at = nullptr;
  std::int64_t step = 0, rows = 0;
};

// Where tiles of A are: `part` of lines [16 t, 16 t + 16) at step s, rows row_bytes apart.
template <int P>
struct PackedLines {
  const std::byte* at;
  static constexpr std::int64_t row_bytes = 64;
  const std::byte* tile(std::int64_t s, int part, int t) const { return at + ((s * P + part) * 2 + t) * kTileBytes; }
};

// sums[16 R][kPanel] of lines of A times a panel of B, over `steps` x kDepth; R, C: tiles of them that are wanted. `ahead`: what comes from
// L2, one step after the other; a step of it is asked for while the one before is multiplied.
template <int P, int R, int C, class Lines>
inline void multiply(const Lines& a, const std::byte* b, std::int64_t steps, const std::byte* ahead, Ahead next, float* sums) {
  constexpr std::int64_t kStep = P * 2 * kTileBytes;
  const auto line = [&]<int I>(std::integral_constant<int, I>, std::int64_t s) {
#pragma GCC unroll 32
    for (int i = 0; i < kStep / 64 / kProducts<P>; ++i, ahead += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    _tile_loadd(4, a.tile(s, I, 0), a.row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (C > 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (R > 1) {
      _tile_loadd(5, a.tile(s, I, 1), a.row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (C > 1) _tile_dpbf16ps(3, 5, 7);
    }
  };
  const auto columns = [&]<int J>(std::integral_constant<int, J>, std::int64_t s) {
    _tile_loadd(6, b + J * 2 * kTileBytes, 64);
    if constexpr (C > 1) _tile_loadd(7, b + J * 2 * kTileBytes + kTileBytes, 64);
    if constexpr (J == 0 && P > 2) line(std::integral_constant<int, 2>{}, s);
    if constexpr (J <= 1 && P > 1) line(std::integral_constant<int, 1>{}, s);
    line(std::integral_constant<int, 0>{}, s);
  };
  __asm__ volatile("" ::: "memory");  // what was packed is in memory before tiles read it
  _tile_zero(0);
  if constexpr (C > 1) _tile_zero(1);
  if constexpr (R > 1) _tile_zero(2);
  if constexpr (R > 1 && C > 1) _tile_zero(3);
  const char* wanted = static_cast<const char*>(next.at);
  const std::int64_t each = steps > 0 ? ceil_div(next.rows, steps) : 0;
  for (std::int64_t s = 0; s < steps; ++s, b += kStep) {
    for (std::int64_t r = std::min(each, next.rows); r > 0; --r, --next.rows, wanted += next.step) {
      _mm_prefetch(wanted, _MM_HINT_T0);
      _mm_prefetch(wanted + 64, _MM_HINT_T0);
    }
    if constexpr (P > 2) columns(std::integral_constant<int, 2>{}, s);  // small ones first
    if constexpr (P > 1) columns(std::integral_constant<int, 1>{}, s);
    columns(std::integral_constant<int, 0>{}, s);
  }
  constexpr int step = kPanel * sizeof(float);
  _tile_stored(0, sums, step);
  if constexpr (C > 1) _tile_stored(1, sums + kTile, step);
  if constexpr (R > 1) _tile_stored(2, sums + kTile * kPanel, step);
  if constexpr (R > 1 && C > 1) _tile_stored(3, sums + kTile * kPanel + kTile, step);
  __asm__ volatile("" ::: "memory");
}
// Two tiles of lines, or one; `columns` of the panel.
template <int P, class Lines>
__attribute__((noinline)) void multiply_lines(const Lines& a, bool two, const std::byte* b, std::int64_t columns, std::int64_t steps,
                                              const std::byte* ahead, Ahead next, float* sums) {
  if (two) columns > kTile ? multiply<P, 2, 2>(a, b, steps, ahead, next, sums) : multiply<P, 2, 1>(a, b, steps, ahead, next, sums);
  else columns > kTile ? multiply<P, 1, 2>(a, b, steps, ahead, next, sums) : multiply<P, 1, 1>(a, b, steps, ahead, next, sums);
}
// lines x columns sums of panels of A and of B.
template <int P>
inline void multiply_panels(const std::byte* a, const std::byte* b, std::int64_t steps, std::int64_t lines, std::int64_t columns,
                            Ahead next, float* sums) {
  multiply_lines<P>(PackedLines<P>{a + kHead}, lines > kTile, b + kHead, columns, steps, a + kHead + P * 2 * kTileBytes, next, sums);
  float a_scale, b_scale;
  std::memcpy(&a_scale, a, sizeof a_scale);
  std::memcpy(&b_scale, b, sizeof b_scale);
  unscale(sums, lines, a_scale, b_scale);
}

// Are the first `columns` of `lines` rows of kPanel sums all finite?
inline bool all_finite(const float* sums, std::int64_t lines, std::int64_t columns) {
  const __mmask16 m0 = first_lanes(columns), m1 = first_lanes(std::max<std::int64_t>(columns - 16, 0));
  unsigned bad = 0;
  for (std::int64_t i = 0; i < lines; ++i, sums += kPanel)
    bad |= _mm512_mask_fpclass_ps_mask(m0, _mm512_loadu_ps(sums), 0x99) |
           _mm512_mask_fpclass_ps_mask(m1, _mm512_loadu_ps(sums + 16), 0x99);  // NaN, infinities
  return bad == 0;
}

}  // namespace graft::amx
HWY_POP_ATTRIBUTES
#endif
