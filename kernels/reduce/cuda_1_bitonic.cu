// sort in shared memory: a block per row of at most 2048 elements (rung 1), padded to a power of two; each thread compares and exchanges
// one pair per stage. The index decides between equals, so the order is total and the network, which is not stable, gives what a stable
// sort gives. Longer rows (rung 2) are sorted in tiles of 2048 and merged two by two: a thread per element finds its place by bisection of
// the sibling run; values and indices go back and forth between two halves of scratch. Bytes: one read and write per element, and per merge
// another. Limits: rung 2 below 2^31 elements. Networks: Batcher 1968. Merging by rank: Satish, Harris, Garland 2009.
#include "kernels/reduce/pieces.h"
#include "kernels/reduce/plain.h"
#include "kernels/reduce/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// Where a sorted run goes: element p of row r to v[r * row_v + p * step_v], i[...] likewise, the first k of a row.
template <class T, class I>
struct Places {
  T* v;
  I* i;
  std::int64_t row_v, step_v, row_i, step_i, k;
};

// in: [rows, n]; tiles per row; size: a power of two, twice the threads. Shared: size values, size indices.
template <class T, class I>
__global__ void bitonic(View in, Places<T, I> to, unsigned tiles, int size, bool descending) {
  GRAFT_DYNAMIC_SHARED(unsigned char, bytes);
  T* value = reinterpret_cast<T*>(bytes);
  auto* index = reinterpret_cast<std::int32_t*>(bytes + static_cast<std::size_t>(size) * sizeof(T));
  const std::int64_t r = blockIdx.x / tiles, begin = std::int64_t{blockIdx.x % tiles} * size, left = in.shape[1] - begin;
  const int n = static_cast<int>(left < size ? left : size), t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const T* x = in.as<const T>() + r * in.stride[0] + begin * in.stride[1];
  for (int p = t; p < size; p += threads) {
    index[p] = p;  // n and above: padding, behind everything
    value[p] = x[(p < n ? p : 0) * in.stride[1]];
  }
  for (int width = 2; width <= size; width *= 2)
    for (int step = width / 2; step > 0; step /= 2) {
      __syncthreads();
      const int low = t / step * step * 2 + t % step, high = low + step;
      const bool up = (low & width) == 0;
      const std::int32_t i = index[low], j = index[high];
      const T v = value[low], w = value[high];
      const bool sorted = i >= n || j >= n ? i < j : before(v, w, descending) || (i < j && !before(w, v, descending));
      if (sorted != up) {
        index[low] = j;
        index[high] = i;
        value[low] = w;
        value[high] = v;
      }
    }
  __syncthreads();
  for (int p = t; p < n; p += threads) {
    if (begin + p >= to.k) break;
    to.v[r * to.row_v + (begin + p) * to.step_v] = value[p];
    to.i[r * to.row_i + (begin + p) * to.step_i] = static_cast<I>(begin + index[p]);
  }
}

// v, i: [rows, n] of sorted runs of `width` -> runs of 2 * width
template <class T, class I>
__global__ void merge_runs(const T* v, const std::int32_t* i, Places<T, I> to, std::int64_t rows, std::int64_t n, std::int64_t width,
                           bool descending) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= rows * n) return;
  const std::int64_t r = at / n, p = at % n, run = p / width, left = run / 2 * 2 * width;
  const bool is_left = run % 2 == 0;
  const std::int64_t begin = is_left ? left + width : left;
  std::int64_t low = begin < n ? begin : n, high = begin + width < n ? begin + width : n;
  const T mine = v[at], *other = v + r * n;
  const std::int64_t first = low;
  while (low < high) {  // the first of the sibling run that stands behind this one; of equals those of the left run come first
    const std::int64_t middle = (low + high) / 2;
    const bool stands_before = is_left ? before(other[middle], mine, descending) : !before(mine, other[middle], descending);
    if (stands_before) low = middle + 1;
    else high = middle;
  }
  const std::int64_t place = left + (p - run * width) + (low - first);
  if (place >= to.k) return;
  to.v[r * to.row_v + place * to.step_v] = mine;
  to.i[r * to.row_i + place * to.step_i] = static_cast<I>(i[at]);
}

template <class T>
Places<T, std::int64_t> final_places(const SortArgs& a) {
  return {a.values.as<T>(),    a.indices.as<std::int64_t>(), a.values.stride[0], a.values.stride[1],
          a.indices.stride[0], a.indices.stride[1],          a.values.shape[1]};
}

}  // namespace

void sort_bitonic(Queue& q, const SortArgs& a) {
  if (a.in.numel() == 0 || a.values.numel() == 0) return;
  int size = 64;
  while (size < a.in.shape[1]) size *= 2;
  visit(a.in.dtype, [&]<class T>() {
    launch(q, bitonic<T, std::int64_t>, static_cast<unsigned>(a.in.shape[0]), static_cast<unsigned>(size / 2),
           static_cast<std::size_t>(size) * (sizeof(T) + 4), a.in, final_places<T>(a), 1u, size, a.descending);
  });
}
void sort_merge(Queue& q, const SortArgs& a) {
  if (a.in.numel() == 0 || a.values.numel() == 0) return;
  const std::int64_t rows = a.in.shape[0], n = a.in.shape[1], all = rows * n;
  const auto tiles = static_cast<unsigned>((n + kSortTile - 1) / kSortTile);
  std::byte* scratch = q.scratch(sort_merge_scratch(a, 1));
  visit(a.in.dtype, [&]<class T>() {
    // [values 0][values 1][indices 0][indices 1]
    T* v[2] = {reinterpret_cast<T*>(scratch), reinterpret_cast<T*>(scratch + all * 8)};
    std::int32_t* i[2] = {reinterpret_cast<std::int32_t*>(scratch + all * 16), reinterpret_cast<std::int32_t*>(scratch + all * 20)};
    const auto places = [&](int half) { return Places<T, std::int32_t>{v[half], i[half], n, 1, n, 1, n}; };
    launch(q, bitonic<T, std::int32_t>, static_cast<unsigned>(rows) * tiles, static_cast<unsigned>(kSortTile / 2),
           kSortTile * (sizeof(T) + 4), a.in, places(0), tiles, static_cast<int>(kSortTile), a.descending);
    int from = 0;
    for (std::int64_t width = kSortTile; width < n; width *= 2, from = 1 - from) {
      const unsigned blocks = blocks_for(all, 256, 0x7fffffff);
      if (2 * width < n)
        launch(q, merge_runs<T, std::int32_t>, blocks, 256, 0, v[from], i[from], places(1 - from), rows, n, width, a.descending);
      else launch(q, merge_runs<T, std::int64_t>, blocks, 256, 0, v[from], i[from], final_places<T>(a), rows, n, width, a.descending);
    }
  });
}

}  // namespace graft::GRAFT_SIMT
