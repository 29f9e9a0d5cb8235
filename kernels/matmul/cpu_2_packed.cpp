// matmul with packed panels and a register tile (simd/gemm-inl.h), f32, f64, bf16 and f16 (16-bit operands are widened when packed, sums stay f32).
// Per block of k: all threads pack A and B, then tasks of kRowBlock x kColumnBlock of C run through tiles. Any strides: packing absorbs them.
// Bound: 2 m n k FLOPs at the FMA rate. Packing moves 2 (m k + k n) elements: small beside the product, but a tenth of 2048^3 when each panel walks
// the source alone (a new page per row), so the runs of a row are dealt out to several panels at once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu_2_packed.cpp"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

#include "kernels/matmul/packing.h"
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"
#include "kernels/simd/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// `group` lines (rows of A, columns of B) of `k` elements -> dst[k][width], zeros beyond group.
template <class From, class T>
void pack_group(const From* src, std::int64_t line, std::int64_t along, std::int64_t group, std::int64_t k, T* HWY_RESTRICT dst, std::int64_t width) {
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

// `panels` whole groups of W lines that lie side by side in memory: a row of the source is read in one run and dealt out to the panels, so that the
// source is walked page by page. One panel at a time would touch a new page per row and wait for its translation.
template <std::int64_t W, class T>
void pack_side_by_side(const T* src, std::int64_t along, std::int64_t panels, std::int64_t k, T* HWY_RESTRICT dst) {
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t p = 0; p < panels; ++p) std::memcpy(dst + (p * k + i) * W, src + i * along + p * W, W * sizeof(T));
}

// Lines [0, lines) in groups of `width`, each group a panel dst[k][width].
template <class From, class T>
void pack_lines(const From* src, std::int64_t line, std::int64_t along, std::int64_t lines, std::int64_t k, T* HWY_RESTRICT dst, std::int64_t width) {
  std::int64_t done = 0;
  if constexpr (std::is_same_v<From, T>) {
    const std::int64_t whole = lines / width;
    if (line == 1 && width == kTileRows) pack_side_by_side<kTileRows>(src, along, whole, k, dst), done = whole * width;
    else if (line == 1 && width == 16) pack_side_by_side<16>(src, along, whole, k, dst), done = whole * width;
    else if (line == 1 && width == 8) pack_side_by_side<8>(src, along, whole, k, dst), done = whole * width;
  }
  for (; done < lines; done += width) pack_group(src + done * line, line, along, std::min(width, lines - done), k, dst + done * k, width);
}

template <class From, class T>
struct PackedProduct {
  const MatmulArgs& a;
  const PackPlan p;
  T *packed_a, *packed_b, *sums;

  // One tile of C at (i, j): rows x columns of it exist.
  void store(const Tile<T>& tile, From* c, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, bool first, bool last) const {
    const hn::ScalableTag<T> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    if constexpr (std::is_same_v<From, T>) {
      const bool plain = a.alpha == 1 && (!last || a.epilogue != Epilogue::gelu) && (!last || !a.bias.data || a.bias.stride[0] == 1);
      if (plain && rows == kTileRows && columns == 2 * lanes && a.c.stride[2] == 1) {
        const bool load = !first || a.accumulate;
        auto b0 = hn::Zero(d), b1 = hn::Zero(d);
        const bool bias = last && a.bias.data, relu = last && a.epilogue == Epilogue::relu;
        if (bias) {
          b0 = hn::LoadU(d, a.bias.as<const T>() + j);
          b1 = hn::LoadU(d, a.bias.as<const T>() + j + lanes);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kTileRows; ++r) {
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

  // The tile's place in C is asked for before the product, which takes longer than memory does.
  void fetch_rows(const From* c, std::int64_t rows) const {
    for (std::int64_t r = 0; r < rows; ++r) hwy::Prefetch(c + r * a.c.stride[1]);
  }

  void run(ThreadPool& pool, std::int64_t batch) const {
    const From* x = a.a.as<const From>() + batch * a.a.stride[0];
    const From* y = a.b.as<const From>() + batch * a.b.stride[0];
    From* c = a.c.as<From>() + batch * a.c.stride[0];
    const std::int64_t nr = tile_columns<T>();
    for (std::int64_t j0 = 0; j0 < p.n; j0 += kPanelColumns) {
      const std::int64_t n = std::min(kPanelColumns, p.n - j0);
      for (std::int64_t l0 = 0; l0 == 0 || l0 < p.k; l0 += p.depth) {
        const std::int64_t depth = std::min(p.depth, p.k - l0);
        const bool first = l0 == 0, last = l0 + p.depth >= p.k;
        for (std::int64_t i0 = 0; i0 < p.m; i0 += kPanelRows) {
          const std::int64_t m = std::min(kPanelRows, p.m - i0);
          // pack, kPackLines lines per task; B only for the first rows
          const std::int64_t b_lines = kPackLines / nr * nr, a_lines = kPackLines / kTileRows * kTileRows;
          const std::int64_t b_tasks = i0 == 0 ? (n + b_lines - 1) / b_lines : 0, a_tasks = (m + a_lines - 1) / a_lines;
          parallel_ranges(pool, b_tasks + a_tasks, 1, [&](std::int64_t t, std::int64_t) {
            if (t < b_tasks) {
              const std::int64_t j = t * b_lines;
              pack_lines(y + l0 * a.b.stride[1] + (j0 + j) * a.b.stride[2], a.b.stride[2], a.b.stride[1], std::min(b_lines, n - j), depth, packed_b + j * depth, nr);
            } else {
              const std::int64_t i = (t - b_tasks) * a_lines;
              pack_lines(x + (i0 + i) * a.a.stride[1] + l0 * a.a.stride[2], a.a.stride[1], a.a.stride[2], std::min(a_lines, m - i), depth, packed_a + i * depth,
                         kTileRows);
            }
          });
          const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock, column_blocks = (n + kColumnBlock - 1) / kColumnBlock;
          parallel_ranges(pool, row_blocks * column_blocks, 1, [&](std::int64_t t, std::int64_t) {
            const std::int64_t ib = t % row_blocks * kRowBlock, jb = t / row_blocks * kColumnBlock;
            for (std::int64_t j = jb; j < std::min(n, jb + kColumnBlock); j += nr)
              for (std::int64_t i = ib; i < std::min(m, ib + kRowBlock); i += kTileRows) {
                Tile<T> tile;
                fetch_rows(c + (i0 + i) * a.c.stride[1] + (j0 + j) * a.c.stride[2], std::min<std::int64_t>(kTileRows, m - i));
                multiply_tile(depth, packed_a + i * depth, packed_b + j * depth, tile);
                store(tile, c, i0 + i, j0 + j, std::min<std::int64_t>(kTileRows, m - i), std::min(nr, n - j), first, last);
              }
          });
        }
      }
    }
  }
};

// scratch holds the panels of one product
void packed_any(ThreadPool& pool, const MatmulArgs& a, std::int64_t batch, std::byte* scratch) {
  visit_float(a.c.dtype, [&]<class From>() {
    using T = Accum<From>;
    const PackPlan p = pack_plan(a);
    T* base = reinterpret_cast<T*>(scratch);
    const PackedProduct<From, T> product{a, p, base, base + p.a_elements, p.sum_elements ? base + p.a_elements + p.b_elements : nullptr};
    product.run(pool, batch);
  });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(packed_any);

namespace {
std::size_t one_product(const MatmulArgs& a) {
  const PackPlan p = pack_plan(a);
  const std::size_t bytes = (p.a_elements + p.b_elements + p.sum_elements) * (a.c.dtype == DType::f64 ? 8 : 4);
  return (bytes + 63) / 64 * 64;
}
}  // namespace

std::size_t matmul_packed_scratch(const MatmulArgs& a, int threads) {
  return one_product(a) * (batch_in_parallel(a) ? static_cast<std::size_t>(threads) : 1);
}

void matmul_packed(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  std::byte* scratch = q.scratch(matmul_packed_scratch(a, q.threads()));
  const auto product = HWY_DYNAMIC_DISPATCH(packed_any);
  if (!batch_in_parallel(a)) {
    for (std::int64_t b = 0; b < a.c.shape[0]; ++b) product(q.pool(), a, b, scratch);
    return;
  }
  const std::size_t stride = one_product(a);  // inside a task the pool runs inline, so each product stays on its thread
  q.pool().run(a.c.shape[0], [&](std::int64_t b, int worker) { product(q.pool(), a, b, scratch + stride * static_cast<std::size_t>(worker)); });
}
}  // namespace graft
#endif
