// matmul with packed panels and a register tile (simd/gemm-inl.h), f32, f64, bf16 and f16 (16-bit operands are widened when packed, sums stay f32).
// Per block of k: all threads pack B, then tasks of kRowBlock rows x one panel of columns of C run through tiles. The rows of A are packed by the thread
// that works on them into a block of its own, which stays in its L2 from task to task. Any strides: packing absorbs them.
// Bound: 2 m n k FLOPs at the FMA rate. Packing moves 2 (m k + k n) elements, a tenth of the time of 512^3 unless the source is read as a stream
// and asked for ahead.
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

// Steps [begin, end) of whole groups whose lines lie side by side in memory. Of kPackSteps rows of the source a run of two lines or more is dealt out to its
// panels, then the next run: its pages are translated and its lines asked for. All panels of a row at once would write to as many pages as there are panels
// (7 to 13 % of 512^3 to 512x768x3072 on Zen 4), all steps of a panel at once would read from as many as there are steps.
template <std::int64_t W, class T>
void pack_side_by_side(const T* src, std::int64_t along, std::int64_t panels, std::int64_t begin, std::int64_t end, T* HWY_RESTRICT dst, std::int64_t panel) {
  constexpr std::int64_t kLine = 64 / sizeof(T), kAhead = 8;
  constexpr std::int64_t kRun = W < 16 ? 8 : std::max<std::int64_t>(1, 128 / static_cast<std::int64_t>(W * sizeof(T)));  // narrow panels are those of A
  for (std::int64_t i0 = begin; i0 < end; i0 += kPackSteps) {
    const std::int64_t i1 = std::min(i0 + kPackSteps, end);
    for (std::int64_t p0 = 0; p0 < panels; p0 += kRun) {
      const std::int64_t run = std::min(kRun, panels - p0);
      const std::int64_t ahead = run < panels ? run * W : kAhead * along;  // the next run, or a later row where there is one run only
      T* to = dst + p0 * panel + i0 * W;
      const T* from = src + i0 * along + p0 * W;
      for (std::int64_t i = i0; i < i1; ++i, to += W, from += along) {
        for (std::int64_t l = 0; l < run * W; l += kLine) hwy::Prefetch(from + ahead + l);
        for (std::int64_t p = 0; p < run; ++p) std::memcpy(to + p * panel, from + p * W, W * sizeof(T));
      }
    }
  }
}

// Lines (rows of A, columns of B) of k elements, as panels dst[lead][W]: all of them, or a task of some kPackElements, which is a run of steps where
// lines lie side by side, else a run of lines.
template <class From, class T, std::int64_t W>
struct Packing {
  const From* src;
  std::int64_t line, along, lines, k, lead;
  T* dst;

  bool by_steps() const { return std::is_same_v<From, T> && line == 1; }
  std::int64_t grain() const {
    return by_steps() ? std::max(kPackSteps, kPackElements / lines) : std::max<std::int64_t>(1, kPackElements / (W * std::max<std::int64_t>(k, 1))) * W;
  }
  std::int64_t tasks() const { return ((by_steps() ? k : lines) + grain() - 1) / grain(); }
  void task(std::int64_t t) const { run(t * grain(), std::min(by_steps() ? k : lines, (t + 1) * grain())); }
  void all() const { run(0, by_steps() ? k : lines); }

  void run(std::int64_t begin, std::int64_t end) const {
    if constexpr (std::is_same_v<From, T>) {
      if (by_steps()) {
        const std::int64_t whole = lines / W;
        pack_side_by_side<W>(src, along, whole, begin, end, dst, lead * W);
        const From* rest = src + whole * W + begin * along;
        if (whole * W < lines) pack_group(rest, line, along, lines - whole * W, end - begin, dst + (whole * lead + begin) * W, W);
        return;
      }
    }
    for (std::int64_t l = begin; l < end; l += W) pack_group(src + l * line, line, along, std::min(W, lines - l), k, dst + l * lead, W);
  }
};

template <class From, class T>
struct PackedProduct {
  const MatmulArgs& a;
  const PackPlan p;
  T *packed_a, *packed_b, *sums;
  std::int64_t* held;  // per slot: the block of A that it holds

  // One tile of C at (i, j): rows x columns of it exist.
  template <int R>
  void store(const Tile<T, R>& tile, From* c, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, bool first, bool last) const {
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

  template <int R>
  void tile(std::int64_t depth, const T* x, const T* y, From* c, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, bool first,
            bool last) const {
    Tile<T, R> sum;
    multiply_tile(depth, x, y, sum);
    store(sum, c, i, j, rows, columns, first, last);
  }

  // The tile's place in C is asked for before the product, which takes longer than memory does.
  void fetch_rows(const From* c, std::int64_t rows) const {
    for (std::int64_t r = 0; r < rows; ++r) hwy::Prefetch(c + r * a.c.stride[1]), hwy::Prefetch(c + r * a.c.stride[1] + 64 / sizeof(From));
  }

  // `slots` blocks of A: as many as threads, or one where the product runs on one thread.
  void run(ThreadPool& pool, std::int64_t batch, std::int64_t slots) const {
    const From* x = a.a.as<const From>() + batch * a.a.stride[0];
    const From* y = a.b.as<const From>() + batch * a.b.stride[0];
    From* c = a.c.as<From>() + batch * a.c.stride[0];
    constexpr std::int64_t kColumns = 2 * hn::MaxLanes(hn::ScalableTag<T>()), kBlockTiles = kRowBlock / kTileRows;
    // an even number of blocks of nearly the same number of tiles
    const std::int64_t tiles = (p.m + kTileRows - 1) / kTileRows, blocks = std::min(tiles, 2 * ((tiles + 2 * kBlockTiles - 1) / (2 * kBlockTiles)));
    for (std::int64_t j0 = 0; j0 < p.n; j0 += kPanelColumns) {
      const std::int64_t n = std::min(kPanelColumns, p.n - j0), panels = (n + kColumns - 1) / kColumns;
      for (std::int64_t l0 = 0; l0 == 0 || l0 < p.k; l0 += p.depth) {
        const std::int64_t depth = std::min(p.depth, p.k - l0);
        const bool first = l0 == 0, last = l0 + p.depth >= p.k;
        const Packing<From, T, kColumns> pack_b{y + l0 * a.b.stride[1] + j0 * a.b.stride[2], a.b.stride[2], a.b.stride[1], n, depth, p.lead, packed_b};
        parallel_ranges(pool, pack_b.tasks(), 1, [&](std::int64_t t, std::int64_t) { pack_b.task(t); });
        std::fill(held, held + slots, -1);
        pool.run(blocks * panels, [&](std::int64_t t, int worker) {
          const std::int64_t block = t / panels, j = t % panels * kColumns, slot = worker % slots;
          const std::int64_t begin = tiles * block / blocks * kTileRows, end = std::min(p.m, tiles * (block + 1) / blocks * kTileRows);
          T* own = packed_a + slot * static_cast<std::int64_t>(p.a_elements);
          if (std::int64_t& mine = held[slot]; mine != block) {
            mine = block;
            Packing<From, T, kTileRows>{x + begin * a.a.stride[1] + l0 * a.a.stride[2], a.a.stride[1], a.a.stride[2], end - begin, depth, p.lead, own}.all();
          }
          for (std::int64_t i = begin; i < end; i += kTileRows) {
            const std::int64_t rows = std::min<std::int64_t>(kTileRows, p.m - i), columns = std::min(kColumns, n - j);
            fetch_rows(c + i * a.c.stride[1] + (j0 + j) * a.c.stride[2], rows);
            const T *pa = own + (i - begin) * p.lead, *pb = packed_b + j * p.lead;
            if (rows > kTileRows / 3 * 2) tile<kTileRows>(depth, pa, pb, c, i, j0 + j, rows, columns, first, last);
            else if (rows > kTileRows / 3) tile<kTileRows / 3 * 2>(depth, pa, pb, c, i, j0 + j, rows, columns, first, last);
            else tile<kTileRows / 3>(depth, pa, pb, c, i, j0 + j, rows, columns, first, last);
          }
        });
      }
    }
  }
};

// scratch holds the panels of one product
void packed_any(ThreadPool& pool, const MatmulArgs& a, std::int64_t batch, std::byte* scratch, std::int64_t slots) {
  visit_float(a.c.dtype, [&]<class From>() {
    using T = Accum<From>;
    const PackPlan p = pack_plan(a);
    const std::size_t a_elements = p.a_elements * static_cast<std::size_t>(slots);
    T* base = reinterpret_cast<T*>(scratch + held_bytes(slots));
    const PackedProduct<From, T> product{a, p, base, base + a_elements, p.sum_elements ? base + a_elements + p.b_elements : nullptr,
                                         reinterpret_cast<std::int64_t*>(scratch)};
    product.run(pool, batch, slots);
  });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(packed_any);

namespace {
std::size_t one_product(const MatmulArgs& a, std::int64_t slots) {
  const PackPlan p = pack_plan(a);
  const std::size_t bytes = (p.a_elements * static_cast<std::size_t>(slots) + p.b_elements + p.sum_elements) * (a.c.dtype == DType::f64 ? 8 : 4);
  return held_bytes(slots) + (bytes + 63) / 64 * 64;
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
  const std::size_t stride = one_product(a, 1);  // inside a task the pool runs inline, so each product stays on its thread
  q.pool().run(a.c.shape[0], [&](std::int64_t b, int worker) { product(q.pool(), a, b, scratch + stride * static_cast<std::size_t>(worker), 1); });
}
}  // namespace graft
#endif
