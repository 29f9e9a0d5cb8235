// matmul on AMX tiles (simd/amx_tile.h), f32 in three parts of bf16, f16 in two, bf16 as it is; sums in f32. Cut as 2_packed is: a thread
// works on a cell of C and packs for itself, per block of k a block of rows of A that stays in its L2 and panel after panel of 32 columns
// of B. A panel of each gives 32 x 32 sums in four tiles; they go through memory (4 KiB, L1) to C with alpha, bias and epilogue. Bound: 2 m
// n k FLOPs at the rate of tiles, a sixth of it for f32; packing moves 1.5 times the bytes of f32.
#include "kernels/simd/amx_tile.h"

#ifdef GRAFT_HAVE_AMX
#include <vector>

#include "kernels/matmul/packing.h"
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"

HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS)
namespace graft {
namespace {
using amx::Ahead;
using amx::all_finite;
using amx::ceil_div;
using amx::kDepth;
using amx::kPanel;
using amx::kParts;
using amx::kTile;
using amx::Side;

inline constexpr std::int64_t kRows = 256, kUncut = 320, kColumns = 1024;

struct Plan {
  std::int64_t m, n, k, depth;
  CellGrid grid;
  bool one_block;
  std::size_t a_bytes, b_bytes, sum_bytes;
};

template <class T>
Plan plan(const MatmulArgs& a, std::int64_t threads) {
  constexpr std::int64_t most = 1536 / kParts<T>;
  Plan p{a.c.shape[1], a.c.shape[2], a.a.shape[2], 0, {}, false, 0, 0, 0};
  const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(p.k, most));
  p.depth = std::max(kDepth, round_up(ceil_div(p.k, blocks), kDepth));
  p.grid = cell_grid(p.m, p.n, p.k, threads,
                     {kPanel, kPanel, 14.0 * amx::kProducts<kParts<T>> / 6, 0.5, a.b.stride[2] == 1 ? 0.8 : 0.6, false, most, kUncut});
  const auto cut = [](std::int64_t size, std::int64_t parts) { return ceil_div(ceil_div(size, kPanel), parts) * kPanel; };
  const std::int64_t rows = cut(p.m, p.grid.rows), columns = cut(p.n, p.grid.columns);
  p.one_block = blocks == 1 && rows <= kUncut;
  p.a_bytes = static_cast<std::size_t>(std::min(rows, kUncut) / kPanel * amx::panel_bytes<T>(p.depth));
  p.b_bytes = static_cast<std::size_t>((rows <= kUncut ? kPanel : std::min(columns, kColumns)) / kPanel * amx::panel_bytes<T>(p.depth));
  p.sum_bytes = !std::is_same_v<T, float> && blocks > 1 ? static_cast<std::size_t>(p.m * p.n) * sizeof(float) : 0;
  return p;
}

template <class T>
struct Product {
  const MatmulArgs& a;
  const Plan p;
  std::int64_t batch;
  float* sums;  // of a 16-bit C between blocks of k

  const T* rows_of_a(std::int64_t i, std::int64_t l) const {
    return a.a.as<const T>() + batch * a.a.stride[0] + i * a.a.stride[1] + l * a.a.stride[2];
  }
  const T* columns_of_b(std::int64_t j, std::int64_t l) const {
    return a.b.as<const T>() + batch * a.b.stride[0] + j * a.b.stride[2] + l * a.b.stride[1];
  }

  T* place_in_c(std::int64_t i, std::int64_t j) const {
    return a.c.as<T>() + batch * a.c.stride[0] + i * a.c.stride[1] + j * a.c.stride[2];
  }

  // What tiles cannot sum, one product after the other.
  void repair(float* tile, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, std::int64_t l0,
              std::int64_t depth) const {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c) {
        float& out = tile[r * kPanel + c];
        if (std::isfinite(out)) continue;
        const T *x = rows_of_a(i + r, l0), *y = columns_of_b(j + c, l0);
        float sum = 0;
        for (std::int64_t l = 0; l < depth; ++l) sum += static_cast<float>(x[l * a.a.stride[2]]) * static_cast<float>(y[l * a.b.stride[1]]);
        out = sum;
      }
  }

  // rows x columns of C at (i, j) from kPanel columns of sums.
  void finish(const float* tile, std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t columns, bool first, bool last) const {
    T* c = place_in_c(i, j);
    const __m512 alpha = _mm512_set1_ps(static_cast<float>(a.alpha));
    for (std::int64_t s = 0; s < columns; s += kTile) {
      const std::int64_t n = std::min(kTile, columns - s), step = a.c.stride[2];
      __m512 bias = _mm512_setzero_ps();
      if (last && a.bias.data) bias = amx::load(a.bias.as<const T>() + (j + s) * a.bias.stride[0], a.bias.stride[0], n);
      for (std::int64_t r = 0; r < rows; ++r) {
        T* to = c + r * a.c.stride[1] + s * step;
        float* sum = sums ? sums + (i + r) * p.n + j + s : nullptr;
        __m512 v = _mm512_loadu_ps(tile + r * kPanel + s);
        if (a.alpha != 1) v = _mm512_mul_ps(v, alpha);
        if (!first && sum) v = _mm512_add_ps(v, amx::load(sum, 1, n));
        else if (!first || a.accumulate) v = _mm512_add_ps(v, amx::load(to, step, n));
        if (!last && sum) {
          amx::store(v, sum, 1, n);
          continue;
        }
        if (last) {
          if (a.bias.data) v = _mm512_add_ps(v, bias);
          if (a.epilogue == Epilogue::relu) v = _mm512_max_ps(_mm512_setzero_ps(), v);  // the second where one is NaN
          if (a.epilogue == Epilogue::gelu) {
            alignas(64) float each[16];
            _mm512_store_ps(each, v);
            for (float& e : each) e = matmul_epilogue(Epilogue::gelu, e);
            v = _mm512_load_ps(each);
          }
        }
        amx::store(v, to, step, n);
      }
    }
  }

  void cell(std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1, std::byte* packed_a, std::byte* packed_b, bool held) const {
    const std::int64_t each = amx::panel_bytes<T>(p.depth);
    const std::int64_t panels = ceil_div(r1 - r0, kPanel), rows = panels * kPanel, blocks = rows <= kUncut ? 1 : ceil_div(rows, kRows);
    alignas(64) float tile[kPanel * kPanel];
    const amx::Tiles tiles;
    for (std::int64_t j0 = c0; j0 < c1; j0 += kColumns)
      for (std::int64_t l0 = 0; l0 < p.k; l0 += p.depth) {
        const std::int64_t j1 = std::min(c1, j0 + kColumns), depth = std::min(p.depth, p.k - l0), steps = ceil_div(depth, kDepth);
        const bool first = l0 == 0, last = l0 + p.depth >= p.k;
        for (std::int64_t block = 0; block < blocks; ++block) {
          const std::int64_t begin = r0 + panels * block / blocks * kPanel, end = std::min(r1, r0 + panels * (block + 1) / blocks * kPanel);
          const auto a_panel = [&](std::int64_t i) { return packed_a + (i - begin) / kPanel * each; };
          if (!held)
            for (std::int64_t i = begin; i < end; i += kPanel)
              amx::pack_panel<Side::a>(rows_of_a(i, l0), a.a.stride[1], a.a.stride[2], std::min(kPanel, end - i), depth, a_panel(i));
          for (std::int64_t j = j0; j < j1; j += kPanel) {
            const std::int64_t columns = std::min(kPanel, j1 - j);
            std::byte* b_panel = packed_b + (blocks > 1 ? (j - j0) / kPanel * each : 0);
            if (block == 0) amx::pack_panel<Side::b>(columns_of_b(j, l0), a.b.stride[2], a.b.stride[1], columns, depth, b_panel);
            for (std::int64_t i = begin; i < end; i += kPanel) {
              const std::int64_t lines = std::min(kPanel, end - i), row = a.c.stride[1] * static_cast<std::int64_t>(sizeof(T));
              const Ahead c{place_in_c(i, j), row, a.c.stride[2] == 1 ? lines : 0};
              amx::multiply_panels<kParts<T>>(a_panel(i), b_panel, steps, lines, columns, c, tile);
              if (!all_finite(tile, lines, columns)) repair(tile, i, j, lines, columns, l0, depth);
              finish(tile, i, j, lines, columns, first, last);
            }
          }
        }
      }
  }

  void run(ThreadPool& pool, std::byte* scratch, std::int64_t threads) const {
    const auto cut = [](std::int64_t size, std::int64_t part, std::int64_t parts) {
      return std::min(size, ceil_div(size, kPanel) * part / parts * kPanel);
    };
    const CellGrid g = p.grid;
    std::vector<std::int64_t> packed(static_cast<std::size_t>(threads), -1);  // the row of cells whose A a thread holds
    pool.run(g.rows * g.columns, [&](std::int64_t t, int worker) {
      const std::int64_t r = t / g.columns, q = t % g.columns;
      std::int64_t& last = packed[static_cast<std::size_t>(worker % threads)];
      std::byte* own = scratch + worker % threads * static_cast<std::int64_t>(p.a_bytes + p.b_bytes);
      cell(cut(p.m, r, g.rows), cut(p.m, r + 1, g.rows), cut(p.n, q, g.columns), cut(p.n, q + 1, g.columns), own, own + p.a_bytes,
           last == r);
      last = p.one_block ? r : -1;
    });
  }
};

template <class F>
void visit_tiled(DType t, F&& f) {
  t == DType::f32 ? f.template operator()<float>() : t == DType::bf16 ? f.template operator()<bf16>() : f.template operator()<f16>();
}
std::size_t one_product(const MatmulArgs& a, std::int64_t threads) {
  std::size_t bytes = 0;
  visit_tiled(a.c.dtype, [&]<class T>() {
    const Plan p = plan<T>(a, threads);
    bytes = (p.a_bytes + p.b_bytes) * static_cast<std::size_t>(threads) + p.sum_bytes;
  });
  return (bytes + 63) / 64 * 64;
}
void one_product(ThreadPool& pool, const MatmulArgs& a, std::int64_t batch, std::byte* scratch, std::int64_t threads) {
  visit_tiled(a.c.dtype, [&]<class T>() {
    const Plan p = plan<T>(a, threads);
    float* sums = p.sum_bytes ? reinterpret_cast<float*>(scratch + (p.a_bytes + p.b_bytes) * static_cast<std::size_t>(threads)) : nullptr;
    Product<T>{a, p, batch, sums}.run(pool, scratch, threads);
  });
}
}  // namespace

std::size_t matmul_amx_scratch(const MatmulArgs& a, int threads) {
  return batch_in_parallel(a) ? one_product(a, 1) * static_cast<std::size_t>(threads) : one_product(a, threads);
}

void matmul_amx(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  std::byte* scratch = q.scratch(matmul_amx_scratch(a, q.threads()));
  if (!batch_in_parallel(a)) {
    for (std::int64_t b = 0; b < a.c.shape[0]; ++b) one_product(q.pool(), a, b, scratch, q.threads());
    return;
  }
  const std::size_t stride = one_product(a, 1);
  q.pool().run(a.c.shape[0],
               [&](std::int64_t b, int worker) { one_product(q.pool(), a, b, scratch + stride * static_cast<std::size_t>(worker), 1); });
}
}  // namespace graft
HWY_POP_ATTRIBUTES
#endif
