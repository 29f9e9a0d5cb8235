// matmul in pieces of 16 bytes: the tiles of 2_registers, but global memory is read, C written and shared memory read 16 bytes at a time, a
// quarter of the load instructions. Both panels lie [k, row] in shared memory: an operand that is dense along k is turned while it is
// stored. A thread owns groups of four rows and four columns, 64 apart. Elements read: m n k / 64. Limits: rows dense along one axis and
// aligned to 16 bytes. S. Boehm, How to optimize a CUDA matmul kernel, 2022, kernel 6.
#include "kernels/matmul/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kDepth = 16;  // of k at a time

// Panel [kDepth, B] of an operand into s. p: the panel's first element; lines, left: how many lines and how much of k there are from there,
// at most B and kDepth. AlongK: p is [line, k], k dense; else [k, line], lines dense. step: the stride of the other axis.
template <bool AlongK, int B, class T, class A>
__device__ __forceinline__ void load_panel(A (*s)[B + 4], const T* p, std::int64_t step, int lines, int left, int id) {
  constexpr int V = kPiece<T>, pieces = kDepth * B / V;
  GRAFT_UNROLL for (int e = id; e < pieces; e += 256) {
    if constexpr (AlongK) {
      // neighbouring threads take neighbouring lines: their scattered stores then meet different banks
      const int line = e % B, l = e / B * V;
      const Piece<T> v = piece_at(p + line * step + l, line < lines ? left - l : 0);
      GRAFT_UNROLL for (int x = 0; x < V; ++x) s[l + x][line] = static_cast<A>(v.v[x]);
    } else {
      const int line = e % (B / V) * V, l = e / (B / V);
      const Piece<T> v = piece_at(p + l * step + line, l < left ? lines - line : 0);
      Group<A, V> w;
      GRAFT_UNROLL for (int x = 0; x < V; ++x) w.v[x] = static_cast<A>(v.v[x]);
      *reinterpret_cast<Group<A, V>*>(&s[l][line]) = w;
    }
  }
}

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n]; bias: [n]
template <class T, int R, bool AK, bool BK>
__global__ void __launch_bounds__(256, R == 8 ? 1 : 2) vectors(MatmulArgs a) {
  using A = Accum<T>;
  constexpr int B = 16 * R;
  GRAFT_SHARED(A, as, [kDepth][B + 4]);
  GRAFT_SHARED(A, bs, [kDepth][B + 4]);
  const Tile t = tile_at<B, B>(a, blockIdx.x);
  const int id = static_cast<int>(threadIdx.x), tx = id % 16 * 4, ty = id / 16 * 4;
  const std::int64_t k = a.a.shape[2], a_step = AK ? a.a.stride[1] : a.a.stride[2], b_step = BK ? a.b.stride[2] : a.b.stride[1];
  const T* pa = a.a.as<const T>() + t.batch * a.a.stride[0] + t.i0 * a.a.stride[1];
  const T* pb = a.b.as<const T>() + t.batch * a.b.stride[0] + t.j0 * a.b.stride[2];
  A sum[R][R] = {};
  const int rows = clamp_to<B>(a.c.shape[1] - t.i0), cols = clamp_to<B>(a.c.shape[2] - t.j0);
  for (std::int64_t k0 = 0; k0 < k; k0 += kDepth) {
    const int left = clamp_to<kDepth>(k - k0);
    load_panel<AK, B>(as, pa, a_step, rows, left, id);
    load_panel<BK, B>(bs, pb, b_step, cols, left, id);
    pa += AK ? kDepth : kDepth * a_step;
    pb += BK ? kDepth : kDepth * b_step;
    __syncthreads();
    GRAFT_UNROLL for (int l = 0; l < kDepth; ++l) {
      Group<A, 4> x[R / 4], y[R / 4];
      GRAFT_UNROLL for (int h = 0; h < R / 4; ++h) x[h] = group_at<A, 4>(&as[l][ty + 64 * h]), y[h] = group_at<A, 4>(&bs[l][tx + 64 * h]);
      GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; ++j) sum[i][j] += x[i / 4].v[i % 4] * y[j / 4].v[j % 4];
    }
    __syncthreads();
  }
  const bool groups = stores_groups<T, 4>(a);
  GRAFT_UNROLL for (int i = 0; i < R; ++i) GRAFT_UNROLL for (int j = 0; j < R; j += 4)
      finish<T, 4>(a, t.batch, t.i0 + ty + i / 4 * 64 + i % 4, t.j0 + tx + j / 4 * 64, &sum[i][j], groups);
}

}  // namespace

void matmul_vectors(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  visit_float(a.c.dtype, [&]<class T>() {
    with_orders(a, [&]<bool AK, bool BK>() {
      if constexpr (!std::is_same_v<T, double>)
        if (large_tiles(a)) return launch(q, vectors<T, 8, AK, BK>, static_cast<unsigned>(tiles_of<128, 128>(a)), 256, 0, a);
      launch(q, vectors<T, 4, AK, BK>, static_cast<unsigned>(tiles_of<64, 64>(a)), 256, 0, a);
    });
  });
}

}  // namespace graft::GRAFT_SIMT
