// Walking strided views: axes that lie behind one another in every operand are merged, so that a dense tensor of any rank becomes one run.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/core/thread_pool.h"
#include "kernels/core/view.h"

namespace graft {

// N views of one shape after merging: `outer` positions of runs of `inner` elements; in a run operand k steps by inner_stride[k].
template <int N>
struct Runs {
  int rank = 0;  // outer axes
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::array<std::int64_t, N>, kMaxRank> stride{};
  std::int64_t outer = 1, inner = 1;
  std::array<std::int64_t, N> inner_stride{};

  // From a run to the next, where they follow one another along the innermost of the outer axes.
  std::array<std::int64_t, N> row_step() const { return rank > 0 ? stride[rank - 1] : std::array<std::int64_t, N>{}; }
  // Offsets of the operands at outer position i.
  std::array<std::int64_t, N> at(std::int64_t i) const {
    std::array<std::int64_t, N> o{};
    for (int d = rank - 1; d >= 0; --d) {
      const std::int64_t c = i % shape[d];
      i /= shape[d];
      for (int k = 0; k < N; ++k) o[k] += c * stride[d][k];
    }
    return o;
  }
};

// Axes are put in the order of the first operand's memory (largest stride first), so that a transposed or channels-last tensor is walked as
// it lies; merged where all operands allow. All views have the shape of v[0].
template <int N>
Runs<N> runs_of(const std::array<const View*, N>& v) {
  int axes[kMaxRank], n = 0;
  const View& lead = *v[0];
  for (int d = 0; d < lead.rank; ++d)
    if (lead.shape[d] != 1) axes[n++] = d;
  std::stable_sort(axes, axes + n, [&](int a, int b) {
    const std::int64_t x = lead.stride[a] < 0 ? -lead.stride[a] : lead.stride[a], y = lead.stride[b] < 0 ? -lead.stride[b] : lead.stride[b];
    return x > y;
  });
  Runs<N> r;
  int m = 0;  // merged axes, outermost first
  for (int i = 0; i < n; ++i) {
    const int d = axes[i];
    bool joins = m > 0;
    for (int k = 0; k < N && joins; ++k) joins = r.stride[m - 1][k] == v[k]->stride[d] * lead.shape[d];
    if (joins) {
      r.shape[m - 1] *= lead.shape[d];
    } else {
      r.shape[m++] = lead.shape[d];
    }
    for (int k = 0; k < N; ++k) r.stride[m - 1][k] = v[k]->stride[d];
  }
  if (m > 0) {
    --m;
    r.inner = r.shape[m];
    r.inner_stride = r.stride[m];
  }
  r.rank = m;
  for (int d = 0; d < m; ++d) r.outer *= r.shape[d];
  return r;
}

// f(offsets, rows, length) over blocks: `rows` runs of `length` elements that lie r.row_step() from one another. In parallel; a piece of
// work is at most `grain` elements or, when runs are shorter, some whole runs of about that many; the cut depends on sizes only.
// Elementwise work has no order between pieces.
template <int N, class F>
void each_block(ThreadPool& pool, const Runs<N>& r, std::int64_t grain, F&& f) {
  if (r.outer <= 0 || r.inner <= 0) return;
  if (r.inner >= grain) {
    const std::int64_t pieces = (r.inner + grain - 1) / grain;
    const auto one = [&](std::int64_t t) {
      auto o = r.at(t / pieces);
      const std::int64_t begin = t % pieces * grain;
      for (int k = 0; k < N; ++k) o[k] += begin * r.inner_stride[k];
      f(o, std::int64_t{1}, std::min(grain, r.inner - begin));
    };
    if (r.outer * pieces == 1) one(0);
    else pool.run(r.outer * pieces, [&](std::int64_t t, int) { one(t); });
    return;
  }
  parallel_ranges(pool, r.outer, std::max<std::int64_t>(1, grain / r.inner), [&](std::int64_t b, std::int64_t e) {
    const int last = r.rank - 1;
    std::array<std::int64_t, kMaxRank> at{};
    for (std::int64_t d = last, i = b; d >= 0; --d) {
      at[d] = i % r.shape[d];
      i /= r.shape[d];
    }
    auto o = r.at(b);
    for (std::int64_t i = b; i < e;) {
      const std::int64_t rows = last < 0 ? 1 : std::min(e - i, r.shape[last] - at[last]);
      f(o, rows, r.inner);
      i += rows;
      for (int d = last; d >= 0; --d) {
        const std::int64_t steps = d == last ? rows : 1;
        for (int k = 0; k < N; ++k) o[k] += r.stride[d][k] * steps;
        if ((at[d] += steps) < r.shape[d]) break;
        for (int k = 0; k < N; ++k) o[k] -= r.stride[d][k] * r.shape[d];
        at[d] = 0;
      }
    }
  });
}

// f(offsets, length) over the runs of those blocks, one by one.
template <int N, class F>
void each_run(ThreadPool& pool, const Runs<N>& r, std::int64_t grain, F&& f) {
  const std::array<std::int64_t, N> step = r.row_step();
  each_block(pool, r, grain, [&](std::array<std::int64_t, N> o, std::int64_t rows, std::int64_t length) {
    for (std::int64_t i = 0; i < rows; ++i) {
      f(o, length);
      for (int k = 0; k < N; ++k) o[k] += step[k];
    }
  });
}

}  // namespace graft
