// copy over merged runs: axes that follow one another in both operands become one, walked in the order of the output's memory. A dense run
// of one dtype is a memcpy; a transposition is walked in 32 x 32 tiles so that both sides stay in cache. Moves each byte once.
#include <cstring>

#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"

namespace graft {
namespace {

constexpr std::int64_t kTile = 32;

// Swapped strides on the last two merged axes: the output steps 1 along the inner axis, the input along the outer one.
template <class From, class To>
bool transpose_tiles(Queue& q, const CopyArgs& a, const Runs<2>& r) {
  if (r.rank < 1 || r.inner_stride[0] != 1 || r.stride[r.rank - 1][1] != 1) return false;
  const std::int64_t rows = r.shape[r.rank - 1], cols = r.inner, row_out = r.stride[r.rank - 1][0], col_in = r.inner_stride[1];
  if (rows < 8 || cols < 8) return false;
  const std::int64_t planes = r.outer / rows, tiles_r = (rows + kTile - 1) / kTile;
  q.pool().run(planes * tiles_r, [&](std::int64_t t, int) {
    const auto o = r.at(t / tiles_r * rows);
    const From* in = a.in.as<const From>() + o[1];
    To* out = a.out.as<To>() + o[0];
    const std::int64_t i0 = t % tiles_r * kTile, i1 = std::min(rows, i0 + kTile);
    for (std::int64_t j0 = 0; j0 < cols; j0 += kTile) {
      const std::int64_t j1 = std::min(cols, j0 + kTile);
      for (std::int64_t i = i0; i < i1; ++i)
        for (std::int64_t j = j0; j < j1; ++j) out[i * row_out + j] = convert<To>(in[i + j * col_in]);
    }
  });
  return true;
}

}  // namespace

void copy_runs(Queue& q, const CopyArgs& a) {
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  if (r.outer == 0 || r.inner == 0) return;
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      if (transpose_tiles<From, To>(q, a, r)) return;
      each_run(q.pool(), r, 16384, [&](const std::array<std::int64_t, 2>& o, std::int64_t n) {
        To* out = a.out.as<To>() + o[0];
        const From* in = a.in.as<const From>() + o[1];
        const std::int64_t so = r.inner_stride[0], si = r.inner_stride[1];
        if constexpr (std::is_same_v<From, To>) {
          if (so == 1 && si == 1) {
            std::memcpy(static_cast<void*>(out), in, static_cast<std::size_t>(n) * sizeof(To));
            return;
          }
        }
        if (so == 1 && si == 1)
          for (std::int64_t i = 0; i < n; ++i) out[i] = convert<To>(in[i]);
        else
          for (std::int64_t i = 0; i < n; ++i) out[i * so] = convert<To>(in[i * si]);
      });
    });
  });
}

}  // namespace graft
