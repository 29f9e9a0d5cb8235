// Gradient of row_norm in one visit: a team (a warp up to 512 columns of f32, a block of 256 above) walks through its rows, holds dy and
// xhat of a row in registers, writes dx and adds to dweight and dbias of its own columns; the teams' sums meet in a second launch in a
// fixed tree. Bytes: 2 reads and 1 write per element instead of 6 and 1. Limits: rows on 16-byte boundaries, at most 16 elements per thread
// (4096 columns; f64: 2048).
#include "kernels/norm/held.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

// dy, x, dx: [rows, cols]; parts: [teams, 2, cols] or nullptr; a team takes `length` rows.
template <class T, int kThreads, int kPieces>
__global__ void __launch_bounds__(256) held_row_grad(Backward<RowKind> b, Accum<T>* parts, std::int64_t teams, std::int64_t length) {
  using A = Accum<T>;
  using Team = RowTeam<kThreads, A>;
  constexpr int V = kPiece<T>;
  GRAFT_SHARED(A, lines, [32]);
  const Team team{lines};
  const std::int64_t t = Team::index(), cols = b.kind.inner, end = (t + 1) * length < b.kind.groups ? (t + 1) * length : b.kind.groups;
  if (t >= teams) return;  // whole teams leave
  const auto column = [](int p) { return (std::int64_t{p} * kThreads + Team::thread()) * V; };
  A dw[kPieces][V] = {}, db[kPieces][V] = {};
  for (std::int64_t r = t * length; r < end; ++r) {
    const A mean = b.rms ? A(0) : stat<A>(b.mean, b.kind.stat(b.mean, r)), rstd = stat<A>(b.rstd, b.kind.stat(b.rstd, r));
    const T* dy = b.dy.as<const T>() + r * b.dy.stride[0];
    const T* x = b.x.as<const T>() + r * b.x.stride[0];
    A g[kPieces][V] = {}, xhat[kPieces][V] = {}, sum = 0, sum_xhat = 0;
    GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
      if (column(p) >= cols) continue;
      load_piece<T>(dy + column(p), g[p]);
      load_piece<T>(x + column(p), xhat[p]);
    }
    GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
      if (column(p) >= cols) continue;
      A w[V] = {};
      if (b.weight.data) load_piece<T>(b.weight.as<const T>() + column(p), w);
      GRAFT_UNROLL for (int k = 0; k < V; ++k) {
        xhat[p][k] = (xhat[p][k] - mean) * rstd;
        dw[p][k] += g[p][k] * xhat[p][k];
        db[p][k] += g[p][k];
        if (b.weight.data) g[p][k] *= w[k];
        sum += g[p][k];
        sum_xhat += g[p][k] * xhat[p][k];
      }
    }
    if (!b.dx.data) continue;
    sum = b.rms ? A(0) : team.sum(sum) / static_cast<A>(cols);
    sum_xhat = team.sum(sum_xhat) / static_cast<A>(cols);
    T* dx = b.dx.as<T>() + r * b.dx.stride[0];
    GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
      if (column(p) >= cols) continue;
      GRAFT_UNROLL for (int k = 0; k < V; ++k) g[p][k] = rstd * (g[p][k] - sum - xhat[p][k] * sum_xhat);
      store_piece<T>(dx + column(p), g[p]);
    }
  }
  if (!parts) return;
  GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
    if (column(p) >= cols) continue;
    GRAFT_UNROLL for (int k = 0; k < V; ++k) {
      parts[2 * t * cols + column(p) + k] = dw[p][k];
      parts[(2 * t + 1) * cols + column(p) + k] = db[p][k];
    }
  }
}

}  // namespace

void row_norm_grad_held_row(Queue& q, const RowNormGradArgs& a) {
  if (a.x.shape[1] == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    using A = Accum<T>;
    const Parameters p = parameters_of(a);
    const std::int64_t rows = a.x.shape[0], cols = a.x.shape[1];
    const Cut teams = rows == 0 ? Cut{0, 1} : cut_held(a.x);
    A* parts = wanted(p) ? reinterpret_cast<A*>(q.scratch(static_cast<std::size_t>(2 * teams.parts * cols) * sizeof(A))) : nullptr;
    if (rows > 0)
      visit_held<T, std::min(4, 16 / kPiece<T>)>(cols, [&]<int kThreads, int kPieces>() {
        using Team = RowTeam<kThreads, A>;
        const unsigned blocks = blocks_for(teams.parts, Team::kTeams, 1 << 30);
        launch(q, held_row_grad<T, kThreads, kPieces>, blocks, Team::kBlock, 0, backward_of(a), parts, teams.parts, teams.length);
      });
    if (parts) launch(q, fold_parts<T>, blocks_for(cols, 32, 1 << 30), dim3(32, 32), 0, p, static_cast<const A*>(parts), teams.parts);
  });
}

}  // namespace graft::GRAFT_SIMT
