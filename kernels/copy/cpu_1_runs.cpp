// copy over merged runs: axes that follow one another in both operands become one, walked in the order of the output's memory. A dense run
// of one dtype is a memcpy; a transposition is walked in 32 x 32 tiles so that both sides stay in cache. Moves each byte once. The loops
// are made for each pair of dtypes, the walks around them once: they call the loops through pointers.
#include <cstring>

#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"

namespace graft {
namespace {

using Offsets = std::array<std::int64_t, 2>;  // of output and input, in elements

constexpr std::int64_t kTile = 32;

// Swapped strides on the last two merged axes: the output steps 1 along the inner axis, the input along the outer one.
bool is_transposition(const Runs<2>& r) {
  return r.rank >= 1 && r.inner_stride[0] == 1 && r.row_step()[1] == 1 && r.shape[r.rank - 1] >= 8 && r.inner >= 8;
}
// Rows i0 to i1 of the plane at `begin`.
template <class From, class To>
void transpose_tiles(const CopyArgs& a, const Runs<2>& r, const Offsets& begin, std::int64_t i0, std::int64_t i1) {
  const std::int64_t cols = r.inner, row_out = r.row_step()[0], col_in = r.inner_stride[1];
  const From* in = a.in.as<const From>() + begin[1];
  To* out = a.out.as<To>() + begin[0];
  for (std::int64_t j0 = 0; j0 < cols; j0 += kTile) {
    const std::int64_t j1 = std::min(cols, j0 + kTile);
    for (std::int64_t i = i0; i < i1; ++i)
      for (std::int64_t j = j0; j < j1; ++j) out[i * row_out + j] = convert<To>(in[i + j * col_in]);
  }
}

template <class From, class To>
void copy_block(const CopyArgs& a, const Runs<2>& r, const Offsets& begin, std::int64_t rows, std::int64_t length) {
  const auto [so, si] = r.inner_stride;
  const Offsets step = r.row_step();
  for (std::int64_t row = 0; row < rows; ++row) {
    To* out = a.out.as<To>() + begin[0] + row * step[0];
    const From* in = a.in.as<const From>() + begin[1] + row * step[1];
    if (so == 1 && si == 1) {
      if constexpr (std::is_same_v<From, To>) std::memcpy(static_cast<void*>(out), in, static_cast<std::size_t>(length) * sizeof(To));
      else
        for (std::int64_t i = 0; i < length; ++i) out[i] = convert<To>(in[i]);
    } else {
      for (std::int64_t i = 0; i < length; ++i) out[i * so] = convert<To>(in[i * si]);
    }
  }
}

}  // namespace

void copy_runs(Queue& q, const CopyArgs& a) {
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  if (r.outer == 0 || r.inner == 0) return;
  void (*tiles)(const CopyArgs&, const Runs<2>&, const Offsets&, std::int64_t, std::int64_t) = nullptr;
  void (*block)(const CopyArgs&, const Runs<2>&, const Offsets&, std::int64_t, std::int64_t) = nullptr;
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      tiles = transpose_tiles<From, To>;
      block = copy_block<From, To>;
    });
  });
  if (is_transposition(r)) {
    const std::int64_t rows = r.shape[r.rank - 1], pieces = (rows + kTile - 1) / kTile;
    q.pool().run(r.outer / rows * pieces, [&](std::int64_t t, int) {
      const std::int64_t i0 = t % pieces * kTile;
      tiles(a, r, r.at(t / pieces * rows), i0, std::min(rows, i0 + kTile));
    });
  } else {
    each_block(q.pool(), r, 16384,
               [&](const Offsets& begin, std::int64_t count, std::int64_t length) { block(a, r, begin, count, length); });
  }
}

}  // namespace graft
