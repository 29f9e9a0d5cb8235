// matmul with packed panels and a register tile (simd/gemm-inl.h), f32, f64, bf16 and f16 (16-bit operands are widened when packed, sums
// stay f32). A thread works on a cell of C (packing.h) and packs for itself: per block of k a block of rows of A, which stays in its L2,
// then panel after panel of columns of B. Columns that lie side by side are packed by the first tile that meets them, beside its
// multiply-adds, and rows of A that are dense along k may stay where they are. Any strides: packing absorbs them. Bound: 2 m n k FLOPs at
// the FMA rate.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu_2_packed.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>
#include <vector>

#include "kernels/matmul/packing.h"
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"
#include "kernels/simd/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// `group` lines (rows of A, columns of B) of `k` elements -> dst[k][width], zeros beyond group.
template <class From, class T>
void pack_group(const From* src, std::int64_t line, std::int64_t along, std::int64_t group, std::int64_t k, T* HWY_RESTRICT dst,
                std::int64_t width) {
  if (group < width)
    for (std::int64_t i = 0; i < k * width; ++i) dst[i] = 0;
  if constexpr (std::is_same_v<From, float>) {
    if (along == 1) return pack_transposed(src, line, group, k, dst, width);
  }
  if (line == 1) {
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t g = 0; g < group; ++g) dst[i * width + g] = static_cast<T>(src[i * along + g]);
  } else {
    for (std::int64_t g = 0; g < group; ++g)
      for (std::int64_t i = 0; i < k; ++i) dst[i * width + g] = static_cast<T>(src[g * line + i * along]);
  }
}

// Whole panels of lines that lie side by side: step by step of k, as memory has them, and the rows after the next asked for ahead. (Tiles
// that copied them beside their multiply-adds, as they do with B, took three times as long as others on a Xeon where steps were 4 KiB
// apart.)
template <std::int64_t W, class T>
void pack_side_by_side(const T* src, std::int64_t along, std::int64_t lines, std::int64_t k, std::int64_t lead, T* dst) {
  constexpr std::int64_t kAhead = 4;
  for (std::int64_t i = 0; i < k; ++i, src += along, dst += W) {
    for (std::int64_t l = 0; l < lines; l += static_cast<std::int64_t>(64 / sizeof(T))) hwy::Prefetch(src + kAhead * along + l);
    for (std::int64_t l = 0; l < lines; l += W) std::memcpy(dst + l * lead, src + l, W * sizeof(T));
  }
}

// Lines (rows of A, columns of B) of k elements, as panels dst[lead][W]: what the tiles do not pack themselves.
template <std::int64_t W, class From, class T>
void pack(const From* src, std::int64_t line, std::int64_t along, std::int64_t lines, std::int64_t k, std::int64_t lead, T* dst) {
  if constexpr (std::is_same_v<From, T>) {
    if (const std::int64_t whole = lines / W * W; line == 1 && whole > 0) {
      pack_side_by_side<W>(src, along, whole, k, lead, dst);
      src += whole, dst += whole * lead, lines -= whole;
    }
  }
  for (std::int64_t l = 0; l < lines; l += W) pack_group(src + l * line, line, along, std::min(W, lines - l), k, dst + l * lead, W);
}

template <class From, class T>
struct PackedProduct {
  const MatmulArgs& a;
  const PackPlan p;
  T* scratch;  // per thread: a block of A and panels of B
  T* sums;
  std::int64_t threads;

  // One tile of C at (i, j): rows x columns of it exist.
  template <int R>
  void store(const Tile<T, R>& tile, From* c, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, bool first,
             bool last) const {
    const hn::ScalableTag<T> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    if constexpr (std::is_same_v<From, T>) {
      const bool plain = a.alpha == 1 && (!last || a.epilogue != Epilogue::gelu) && (!last || !a.bias.data || a.bias.stride[0] == 1);
      if (plain && rows == R && columns == 2 * lanes && a.c.stride[2] == 1) {
        const bool load = !first || a.accumulate;
        auto b0 = hn::Zero(d), b1 = hn::Zero(d);
        const bool bias = last && a.bias.data, relu = last && a.epilogue == Epilogue::relu;
        if (bias) {
          b0 = hn::LoadU(d, a.bias.as<const T>() + j);
          b1 = hn::LoadU(d, a.bias.as<const T>() + j + lanes);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          T* row = c + (i + r) * a.c.stride[1] + j;
          auto v0 = tile.v[r][0], v1 = tile.v[r][1];
          if (load) {
            v0 = hn::Add(v0, hn::LoadU(d, row));
            v1 = hn::Add(v1, hn::LoadU(d, row + lanes));
          }
          if (bias) {
            v0 = hn::Add(v0, b0);
            v1 = hn::Add(v1, b1);
          }
          if (relu) {
            v0 = hn::IfThenElse(hn::Lt(v0, hn::Zero(d)), hn::Zero(d), v0);
            v1 = hn::IfThenElse(hn::Lt(v1, hn::Zero(d)), hn::Zero(d), v1);
          }
          hn::StoreU(v0, d, row);
          hn::StoreU(v1, d, row + lanes);
        }
        return;
      }
    }
    T buffer[kTileBuffer];
    spill_tile(tile, buffer);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t s = 0; s < columns; ++s) {
        From& out = c[(i + r) * a.c.stride[1] + (j + s) * a.c.stride[2]];
        T v = buffer[r * 2 * lanes + s] * static_cast<T>(a.alpha);
        T* sum = sums ? sums + (i + r) * p.n + j + s : nullptr;
        if (!first) v += sum ? *sum : static_cast<T>(out);
        else if (a.accumulate) v += static_cast<T>(out);
        if (!last) {
          if (sum) *sum = v;
          else out = static_cast<From>(v);
          continue;
        }
        if (a.bias.data) v += static_cast<T>(a.bias.as<const From>()[(j + s) * a.bias.stride[0]]);
        out = static_cast<From>(matmul_epilogue(a.epilogue, v));
      }
  }

  using Operands = TileOperands<T>;

  template <int R, RowsOfA kA = RowsOfA::packed, bool kKeepB = false>
  void tile(std::int64_t depth, const Operands& o, RowsAhead next, From* c, std::int64_t i, std::int64_t j, std::int64_t rows,
            std::int64_t columns, bool first, bool last) const {
    Tile<T, R> sum;
    multiply_tile<T, R, kA, kKeepB>(depth, o, {rows_ahead(c + i * a.c.stride[1] + j * a.c.stride[2], a.c.stride[1], rows), next}, sum);
    store(sum, c, i, j, rows, columns, first, last);
  }
  // The operands as they are; the first tile of a panel finds B where it is.
  template <class... Place>
  void whole_tile(RowsOfA form, std::int64_t depth, const Operands& o, RowsAhead next, Place... place) const {
    if constexpr (std::is_same_v<From, T>) {
      const bool keep = o.keep_b != nullptr;
      if (form == RowsOfA::in_place)
        return keep ? tile<kTileRows, RowsOfA::in_place, true>(depth, o, next, place...)
                    : tile<kTileRows, RowsOfA::in_place>(depth, o, next, place...);
      if (keep) return tile<kTileRows, RowsOfA::packed, true>(depth, o, next, place...);
    }
    tile<kTileRows>(depth, o, next, place...);
  }

  // Rows [r0, r1) x columns [c0, c1) of one product. held: the thread's last cell has packed these rows of A, or, where A is read in
  // place, these columns of B.
  void cell(std::int64_t batch, std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1, T* packed_a, T* packed_b,
            bool held) const {
    const From* x = a.a.as<const From>() + batch * a.a.stride[0];
    const From* y = a.b.as<const From>() + batch * a.b.stride[0];
    From* c = a.c.as<From>() + batch * a.c.stride[0];
    constexpr std::int64_t kColumns = 2 * hn::MaxLanes(hn::ScalableTag<T>());
    const bool a_held = held && !p.in_place, b_held = held && p.in_place;
    // blocks of nearly the same number of tiles
    const std::int64_t tiles = (r1 - r0 + kTileRows - 1) / kTileRows, rows = tiles * kTileRows;
    const std::int64_t blocks = rows <= kUncutRows ? 1 : (rows + kRowBlock - 1) / kRowBlock;
    for (std::int64_t j0 = c0; j0 < c1; j0 += kPanelColumns) {
      const std::int64_t n = std::min(kPanelColumns, c1 - j0);
      for (std::int64_t l0 = 0; l0 == 0 || l0 < p.k; l0 += p.depth) {
        const std::int64_t depth = std::min(p.depth, p.k - l0);
        const bool first = l0 == 0, last = l0 + p.depth >= p.k;
        for (std::int64_t block = 0; block < blocks; ++block) {
          const std::int64_t begin = r0 + tiles * block / blocks * kTileRows,
                             end = std::min(r1, r0 + tiles * (block + 1) / blocks * kTileRows);
          const std::int64_t whole = begin + (end - begin) / kTileRows * kTileRows;  // rows of whole tiles
          const From* rows_of_a = x + begin * a.a.stride[1] + l0 * a.a.stride[2];
          const std::int64_t line = a.a.stride[1], along = a.a.stride[2], step = a.b.stride[1];
          const std::int64_t packed_from = p.in_place ? whole : begin;  // what is beyond whole tiles is packed in any case
          if (packed_from < end && !a_held) {
            T* to = packed_a + (p.in_place ? 0 : (packed_from - begin) * p.lead);
            pack<kTileRows>(rows_of_a + (packed_from - begin) * line, line, along, end - packed_from, depth, p.lead, to);
          }
          for (std::int64_t j = 0; j < n; j += kColumns) {
            const std::int64_t columns = std::min(kColumns, n - j);
            T* panel = packed_b + (blocks > 1 || (p.in_place && p.one_block) ? j * p.lead : 0);
            const From* columns_of_b = y + l0 * step + (j0 + j) * a.b.stride[2];
            // A whole panel whose columns lie side by side is packed by the first tile that it meets.
            bool to_keep = std::is_same_v<From, T> && block == 0 && !b_held && a.b.stride[2] == 1 && columns == kColumns && whole > begin;
            if (block == 0 && !b_held && !to_keep) pack<kColumns>(columns_of_b, a.b.stride[2], step, columns, depth, p.lead, panel);
            // Where the next panel is now: packed by an earlier block, in a far cache perhaps, or in its matrix, where each row is
            // elsewhere. The tiles of this one ask for it, a part each.
            RowsAhead next;
            if (j + kColumns < n) {
              if (block > 0 || b_held) next = rows_ahead(panel + kColumns * p.lead, kColumns, depth);
              else if (a.b.stride[2] == 1) next = rows_ahead(columns_of_b + kColumns, step, depth);
            }
            const RowsOfA form = p.in_place ? RowsOfA::in_place : RowsOfA::packed;
            for (std::int64_t i = begin; i < whole; i += kTileRows) {
              T* packed = packed_a + (i - begin) * p.lead;
              Operands o{packed, 0, panel, kColumns, nullptr};
              if constexpr (std::is_same_v<From, T>) {
                if (p.in_place) o.a = rows_of_a + (i - begin) * line, o.a_step = line;
                if (to_keep) o.b = columns_of_b, o.b_step = step, o.keep_b = panel;
              }
              whole_tile(form, depth, o, next.part((i - begin) / kTileRows, (whole - begin) / kTileRows), c, i, j0 + j,
                         std::int64_t{kTileRows}, columns, first, last);
              to_keep = false;
            }
            if (const std::int64_t rest = end - whole; rest > 0) {
              const Operands o{packed_a + (p.in_place ? 0 : (whole - begin) * p.lead), 0, panel, kColumns, nullptr};
              if (rest > kTileRows / 3 * 2) tile<kTileRows>(depth, o, {}, c, whole, j0 + j, rest, columns, first, last);
              else if (rest > kTileRows / 3) tile<kTileRows / 3 * 2>(depth, o, {}, c, whole, j0 + j, rest, columns, first, last);
              else tile<kTileRows / 3>(depth, o, {}, c, whole, j0 + j, rest, columns, first, last);
            }
          }
        }
      }
    }
  }

  void run(ThreadPool& pool, std::int64_t batch) const {
    const auto cut = [](std::int64_t size, std::int64_t unit, std::int64_t part, std::int64_t parts) {
      return std::min(size, (size + unit - 1) / unit * part / parts * unit);
    };
    const CellGrid g = p.grid;
    // What each thread holds packed: a row of cells, or a column of them where A is read in place.
    std::vector<std::int64_t> packed(static_cast<std::size_t>(threads), -1);
    pool.run(g.rows * g.columns, [&](std::int64_t t, int worker) {
      // A thread's cells follow each other along what they share.
      const std::int64_t r = p.in_place ? t % g.rows : t / g.columns, q = p.in_place ? t / g.rows : t % g.columns,
                         shared = p.in_place ? q : r;
      std::int64_t& last = packed[static_cast<std::size_t>(worker % threads)];
      T* own = scratch + worker % threads * static_cast<std::int64_t>(p.a_elements + p.b_elements);
      cell(batch, cut(p.m, kMaxTileRows, r, g.rows), cut(p.m, kMaxTileRows, r + 1, g.rows), cut(p.n, kMaxTileColumns, q, g.columns),
           cut(p.n, kMaxTileColumns, q + 1, g.columns), own, own + p.a_elements, last == shared);
      last = p.one_block ? shared : -1;
    });
  }
};

// scratch: as one_product says, for `threads`
void packed_any(ThreadPool& pool, const MatmulArgs& a, std::int64_t batch, std::byte* scratch, std::int64_t threads) {
  visit_float(a.c.dtype, [&]<class From>() {
    using T = Accum<From>;
    const PackPlan p = pack_plan(a, threads);
    T* base = reinterpret_cast<T*>(scratch);
    T* sums = p.sum_elements ? base + (p.a_elements + p.b_elements) * static_cast<std::size_t>(threads) : nullptr;
    PackedProduct<From, T>{a, p, base, sums, threads}.run(pool, batch);
  });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(packed_any);

namespace {
std::size_t one_product(const MatmulArgs& a, std::int64_t threads) {
  const PackPlan p = pack_plan(a, threads);
  const std::size_t bytes =
      ((p.a_elements + p.b_elements) * static_cast<std::size_t>(threads) + p.sum_elements) * (a.c.dtype == DType::f64 ? 8 : 4);
  return (bytes + 63) / 64 * 64;
}
}  // namespace

std::size_t matmul_packed_scratch(const MatmulArgs& a, int threads) {
  return batch_in_parallel(a) ? one_product(a, 1) * static_cast<std::size_t>(threads) : one_product(a, threads);
}

void matmul_packed(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  std::byte* scratch = q.scratch(matmul_packed_scratch(a, q.threads()));
  const auto product = HWY_DYNAMIC_DISPATCH(packed_any);
  if (!batch_in_parallel(a)) {
    for (std::int64_t b = 0; b < a.c.shape[0]; ++b) product(q.pool(), a, b, scratch, q.threads());
    return;
  }
  const std::size_t stride = one_product(a, 1);  // one cell per product, on its thread
  q.pool().run(a.c.shape[0],
               [&](std::int64_t b, int worker) { product(q.pool(), a, b, scratch + stride * static_cast<std::size_t>(worker), 1); });
}
}  // namespace graft
#endif
