// row_norm with the row held in registers: a warp per row up to 1024 columns of f32, a block of 256 above, 16 bytes per load, so that the
// three visits of the other rungs cost one read and one write per element. Limits: rows on 16-byte boundaries, at most 32 elements per
// thread (8192 columns; f64: 4096).
#include "kernels/norm/held.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

// x, y: [rows, cols]
template <class T, int kThreads, int kPieces>
__global__ void __launch_bounds__(256) held_row(Forward<RowKind> f) {
  using A = Accum<T>;
  using Team = RowTeam<kThreads, A>;
  constexpr int V = kPiece<T>;
  GRAFT_SHARED(A, lines, [32]);
  const Team team{lines};
  const std::int64_t r = Team::index(), cols = f.kind.inner;
  if (r >= f.kind.groups) return;  // whole teams leave
  const T* x = f.x.as<const T>() + r * f.x.stride[0];
  A v[kPieces][V] = {};
  GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
    const std::int64_t c = (std::int64_t{p} * kThreads + Team::thread()) * V;
    if (c < cols) load_piece<T>(x + c, v[p]);
  }
  Stats<A> s;
  if (!f.rms) {
    s.shift = static_cast<A>(x[0]);
    A sum = 0;
    GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) if ((std::int64_t{p} * kThreads + Team::thread()) * V < cols)
        GRAFT_UNROLL for (int k = 0; k < V; ++k) sum += v[p][k] - s.shift;
    s.delta = team.sum(sum) / static_cast<A>(cols);
  }
  A squares = 0;
  GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) if ((std::int64_t{p} * kThreads + Team::thread()) * V < cols)
      GRAFT_UNROLL for (int k = 0; k < V; ++k) {
    v[p][k] = s.centred(v[p][k]);
    squares += v[p][k] * v[p][k];
  }
  s.rstd = 1 / std::sqrt(team.sum(squares) / static_cast<A>(cols) + static_cast<A>(f.eps));
  if (Team::thread() == 0) save_stats(f, r, s);
  T* y = f.y.as<T>() + r * f.y.stride[0];
  GRAFT_UNROLL for (int p = 0; p < kPieces; ++p) {
    const std::int64_t c = (std::int64_t{p} * kThreads + Team::thread()) * V;
    if (c >= cols) continue;
    A w[V] = {}, b[V] = {};
    if (f.weight.data) load_piece<T>(f.weight.as<const T>() + c, w);
    if (f.bias.data) load_piece<T>(f.bias.as<const T>() + c, b);
    GRAFT_UNROLL for (int k = 0; k < V; ++k) {
      v[p][k] *= s.rstd;
      if (f.weight.data) v[p][k] *= w[k];
      if (f.bias.data) v[p][k] += b[k];
    }
    store_piece<T>(y + c, v[p]);
  }
}

}  // namespace

void row_norm_held_row(Queue& q, const RowNormArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    visit_held<T, std::min(8, 32 / kPiece<T>)>(a.x.shape[1], [&]<int kThreads, int kPieces>() {
      using Team = RowTeam<kThreads, Accum<T>>;
      launch(q, held_row<T, kThreads, kPieces>, blocks_for(a.x.shape[0], Team::kTeams, 1 << 30), Team::kBlock, 0, forward_of(a));
    });
  });
}

}  // namespace graft::GRAFT_SIMT
