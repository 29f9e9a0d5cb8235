// The inner tile of matrix products: kRows x (2 vectors) of C in registers, one rank-1 update per step of k (Goto and van de Geijn, Anatomy
// of high-performance matrix multiplication, 2008; the register tile of BLIS). A comes packed as [k][kRows], B as [k][columns], so both are
// read as streams: per step 2 vector loads, kRows broadcasts, 2 kRows multiply-adds. The loads leave room for more: a broadcast may as well
// come from rows that lie in their matrix, and what is loaded of B in its matrix may be stored, so that packing costs little besides the
// way from memory. Packed rows of A come from L2, and broadcasts of 4 bytes do not look like a stream to every processor: the tile asks for
// them ahead. Included once per Highway target.
#if defined(GRAFT_SIMD_GEMM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_GEMM_INL_H
#undef GRAFT_SIMD_GEMM_INL_H
#else
#define GRAFT_SIMD_GEMM_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 vector registers hold 6 x 2 sums, two of B and one of A; 32 registers (AVX-512, NEON) hold 12 x 2.
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)  // better targets of x86 have smaller numbers
inline constexpr int kTileRows = 12;
#else
inline constexpr int kTileRows = 6;
#endif
template <class T>
HWY_INLINE std::int64_t tile_columns() {
  return static_cast<std::int64_t>(2 * hn::Lanes(hn::ScalableTag<T>()));
}

template <class T, int R = kTileRows>
struct Tile {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  V v[R][2];
  HWY_INLINE Tile() {}  // written out, so that it is of the target's instruction set as what calls it is
};

// How a tile finds its rows of A: packed, [k][kTileRows], or in place, rows `a_step` apart that are dense along k.
enum class RowsOfA { packed, in_place };

// b: rows of tile_columns, `b_step` apart; where they are kept they are copied to keep_b, [k][tile_columns], as they go by.
template <class T>
struct TileOperands {
  const T* a;
  std::int64_t a_step;
  const T* b;
  std::int64_t b_step;
  T* keep_b;
};

// Rows of at most two lines, `step` bytes apart, that will be wanted.
struct RowsAhead {
  const char* at = nullptr;
  std::int64_t step = 0, rows = 0;
  RowsAhead part(std::int64_t i, std::int64_t parts) const {
    const std::int64_t from = rows * i / parts;
    return {at + from * step, step, rows * (i + 1) / parts - from};
  }
  void fetch(std::int64_t most) {
    for (; most > 0 && rows > 0; --most, --rows, at += step) {
      hwy::Prefetch(at);
      hwy::Prefetch(at + 64);
    }
  }
};
template <class T>
RowsAhead rows_ahead(const T* at, std::int64_t step, std::int64_t rows) {
  return {reinterpret_cast<const char*>(at), step * static_cast<std::int64_t>(sizeof(T)), rows};
}
// What a tile asks memory for while it multiplies: its own place in C, and rows of B that a later tile wants. A few at a time: all at once,
// they would keep the tile's own loads waiting.
struct TileAhead {
  RowsAhead c, b;
};

// The first R rows of a tile. The sums are the same bits in any form.
template <class T, int R, RowsOfA kA, bool kKeepB>
HWY_INLINE void multiply_tile(std::int64_t k, const TileOperands<T>& operands, TileAhead ahead, Tile<T, R>& out) {
  const hn::ScalableTag<T> d;
  const T* HWY_RESTRICT a = operands.a;
  const T* HWY_RESTRICT b = operands.b;
  T* HWY_RESTRICT keep_b = operands.keep_b;
  const std::int64_t a_step = operands.a_step, b_step = operands.b_step;
  const auto lanes = hn::Lanes(d);
  using V = hn::Vec<decltype(d)>;
  constexpr std::int64_t kAhead = 48;   // steps of k: about 600 cycles, for B in its matrix
  constexpr std::int64_t kAheadA = 16;  // for packed rows: 8 to 96 are alike
  constexpr std::int64_t kRun = 16;     // steps between what is asked for ahead
  constexpr bool in_place = kA == RowsOfA::in_place;
  V c[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) c[r][0] = c[r][1] = hn::Zero(d);
  const T *a3 = a, *a6 = a, *a9 = a;  // a register for every third row; the others are reached from these by a_step and twice that
  if constexpr (in_place) a3 += 3 * a_step, a6 += 6 * a_step, a9 += 9 * a_step;
  const std::int64_t runs = std::max<std::int64_t>(1, (k + kRun - 1) / kRun), c_rows = (ahead.c.rows + runs - 1) / runs,
                     b_rows = (ahead.b.rows + runs - 1) / runs;
  for (std::int64_t i0 = 0; i0 < k; i0 += kRun) {
    ahead.c.fetch(c_rows);
    ahead.b.fetch(b_rows);
    // two steps at a time: 5 to 7 % on a Xeon with AMX, where one is 42 instructions for 12 cycles; four are not better
#pragma GCC unroll 2
    for (std::int64_t i = i0, end = i0 + kRun < k ? i0 + kRun : k; i < end; ++i) {
      // 3 to 5 % on a Xeon with AMX; of rows in place, whose lines serve 16 steps each, asking ahead loses as much
      if constexpr (!in_place) hwy::Prefetch(a + kAheadA * kTileRows);
      const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
      if constexpr (kKeepB) {
        hwy::Prefetch(b + kAhead * b_step);
        hwy::Prefetch(b + kAhead * b_step + lanes);
        hn::StoreU(b0, d, keep_b);
        hn::StoreU(b1, d, keep_b + lanes);
        keep_b += 2 * lanes;
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        // In two steps: of (r < 3 ? a : ...)[r % 3 * a_step], GCC 12 with -fsanitize=signed-integer-overflow computes the index for a
        // alone.
        const T* row = in_place ? (r < 3 ? a : r < 6 ? a3 : r < 9 ? a6 : a9) : a;
        const std::int64_t at = in_place ? r % 3 * a_step : r;
        const V x = hn::Set(d, row[at]);
        c[r][0] = hn::MulAdd(x, b0, c[r][0]);
        c[r][1] = hn::MulAdd(x, b1, c[r][1]);
      }
      if constexpr (in_place) ++a, ++a3, ++a6, ++a9;
      else a += kTileRows;
      b += b_step;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    out.v[r][0] = c[r][0];
    out.v[r][1] = c[r][1];
  }
}

// A tile in memory, rows of tile_columns: what partial tiles and converting stores work on.
template <class T, int R>
HWY_INLINE void spill_tile(const Tile<T, R>& t, T* buffer) {
  const hn::ScalableTag<T> d;
  const auto lanes = hn::Lanes(d);
  for (int r = 0; r < R; ++r) {
    hn::StoreU(t.v[r][0], d, buffer + static_cast<std::size_t>(r) * 2 * lanes);
    hn::StoreU(t.v[r][1], d, buffer + static_cast<std::size_t>(r) * 2 * lanes + lanes);
  }
}
inline constexpr std::size_t kTileBuffer = kTileRows * 2 * (HWY_MAX_BYTES / 4);  // elements that hold any tile

#if HWY_TARGET != HWY_SCALAR
// Four floats from each of N / 4 places that are `apart`.
template <std::size_t N>
HWY_INLINE hn::Vec<hn::FixedTag<float, N>> load_fours(const float* p, std::int64_t apart) {
  const hn::FixedTag<float, N> d;
  if constexpr (N == 4) return hn::LoadU(d, p);
  else return hn::Combine(d, load_fours<N / 2>(p + static_cast<std::int64_t>(N / 8) * apart, apart), load_fours<N / 2>(p, apart));
}
// dst[k][N] = src[n * step + k] for n < N; k is a multiple of 4. N / 4 blocks of 4 x 4 are transposed at once, so that a step of k is one
// store: 16 lanes take 0.10 ns an element where 4 take 0.15 (a Xeon with AMX, all of it in L2).
template <std::size_t N>
HWY_INLINE void transpose_rows(const float* src, std::int64_t step, std::int64_t k, float* dst, std::int64_t width, std::int64_t ahead) {
  const hn::FixedTag<float, N> d;
  for (std::int64_t i = 0; i < k; i += 4, src += 4, dst += 4 * width) {
    if (i % 16 == 0)
      for (std::size_t n = 0; n < N; ++n) hwy::Prefetch(src + static_cast<std::int64_t>(n) * step + ahead);
    const auto r0 = load_fours<N>(src, 4 * step), r1 = load_fours<N>(src + step, 4 * step), r2 = load_fours<N>(src + 2 * step, 4 * step),
               r3 = load_fours<N>(src + 3 * step, 4 * step);
    const auto a = hn::InterleaveLower(d, r0, r2), b = hn::InterleaveLower(d, r1, r3);
    const auto e = hn::InterleaveUpper(d, r0, r2), f = hn::InterleaveUpper(d, r1, r3);
    hn::StoreU(hn::InterleaveLower(d, a, b), d, dst);
    hn::StoreU(hn::InterleaveUpper(d, a, b), d, dst + width);
    hn::StoreU(hn::InterleaveLower(d, e, f), d, dst + 2 * width);
    hn::StoreU(hn::InterleaveUpper(d, e, f), d, dst + 3 * width);
  }
}
#endif

// dst[k][group] = src[g * step + k] for g < group: rows that are dense along k, laid side by side; dst rows are `width` apart. k goes in
// blocks whose part of dst stays in L1, and each block asks for the next one of the same rows.
inline void pack_transposed(const float* src, std::int64_t step, std::int64_t group, std::int64_t k, float* dst, std::int64_t width) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t i0 = 0; i0 < k; i0 += kBlock, src += kBlock, dst += kBlock * width) {
    const std::int64_t n = std::min(kBlock, k - i0), whole = n / 4 * 4;
    std::int64_t g = 0;
#if HWY_TARGET != HWY_SCALAR
    if constexpr (HWY_MAX_BYTES >= 64)
      for (; g + 16 <= group; g += 16) transpose_rows<16>(src + g * step, step, whole, dst + g, width, kBlock);
    if constexpr (HWY_MAX_BYTES >= 32)
      for (; g + 8 <= group; g += 8) transpose_rows<8>(src + g * step, step, whole, dst + g, width, kBlock);
    for (; g + 4 <= group; g += 4) transpose_rows<4>(src + g * step, step, whole, dst + g, width, kBlock);
    if (g + 2 <= group) {  // the last two of six
      const hn::FixedTag<float, 4> d;
      const hn::Half<decltype(d)> half;
      const float *s = src + g * step, *t = s + step;
      for (std::int64_t i = 0; i < whole; i += 4) {
        const auto r0 = hn::LoadU(d, s + i), r1 = hn::LoadU(d, t + i);
        const auto a = hn::InterleaveLower(d, r0, r1), b = hn::InterleaveUpper(d, r0, r1);
        hn::StoreU(hn::LowerHalf(half, a), half, dst + i * width + g);
        hn::StoreU(hn::UpperHalf(half, a), half, dst + (i + 1) * width + g);
        hn::StoreU(hn::LowerHalf(half, b), half, dst + (i + 2) * width + g);
        hn::StoreU(hn::UpperHalf(half, b), half, dst + (i + 3) * width + g);
      }
      g += 2;
    }
#endif
    for (std::int64_t i = whole; i < n; ++i)
      for (std::int64_t l = 0; l < g; ++l) dst[i * width + l] = src[l * step + i];
    for (; g < group; ++g)
      for (std::int64_t i = 0; i < n; ++i) dst[i * width + g] = src[g * step + i];
  }
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
