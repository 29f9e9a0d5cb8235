// scatter where lines are few: the output is cut into ranges of n, and whoever owns a range of a line walks all k indices and takes those
// that fall into it. An output element has one owner, so additions keep the order of i and need no atomics. Rung 1: an owner is a thread,
// any strides and indices. Rung 2, where one index serves a whole row (index_select's gradient): an owner is a warp on 32 inner positions,
// which looks at 32 indices at once. Bytes: src and index once, out once per src; indices again for every range, from L2. Ranges depend on
// sizes only. An index outside writes nothing and is reported by the owner of the first range.
#include "kernels/gather/faults.h"
#include "kernels/gather/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// How many elements of n an owner takes: enough owners for `wanted` in all, at least 4 elements each.
std::int64_t range_length(std::int64_t n, std::int64_t lines, std::int64_t wanted) {
  const std::int64_t ranges = wanted / lines < 1 ? 1 : wanted / lines, length = (n + ranges - 1) / ranges;
  return length < 4 ? 4 : length;
}

template <bool add, class T>
__device__ __forceinline__ void put(T& to, T v) {
  if constexpr (add) to = scatter_sum(to, v);
  else to = v;
}

// src, index: [outer, k, inner], out: [outer, n, inner]; thread t owns range t / lines of line t % lines
template <class T, bool add>
__global__ void thread_ranges(ScatterArgs a, std::int64_t owners, std::int64_t length, FaultSink faulty) {
  const std::int64_t t = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, inner = a.src.shape[2], lines = a.src.shape[0] * inner;
  if (t >= owners) return;
  const std::int64_t line = t % lines, begin = t / lines * length, o = line / inner, j = line % inner;
  const std::int64_t end = begin + length < a.out.shape[1] ? begin + length : a.out.shape[1];
  const std::int64_t* index = a.index.as<const std::int64_t>() + o * a.index.stride[0] + j * a.index.stride[2];
  const T* src = a.src.as<const T>() + o * a.src.stride[0] + j * a.src.stride[2];
  T* out = a.out.as<T>() + o * a.out.stride[0] + j * a.out.stride[2];
  for (std::int64_t i = 0; i < a.src.shape[1]; ++i) {
    const std::int64_t at = index[i * a.index.stride[1]];
    if (at >= begin && at < end) put<add>(out[at * a.out.stride[1]], src[i * a.src.stride[1]]);
    else if (begin == 0 && !index_inside(at, a.out.shape[1])) report_fault(faulty, index_position(a.index, o, i, j), at, a.out.shape[1]);
  }
}

// Warp w owns range w / groups of group w % groups; a group is 32 inner positions of one outer one.
template <class T, bool add>
__global__ void warp_ranges(ScatterArgs a, std::int64_t owners, std::int64_t length, FaultSink faulty) {
  const std::int64_t w = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32, k = a.src.shape[1],
                     per_outer = (a.src.shape[2] + 31) / 32;
  const unsigned lane = threadIdx.x % 32;
  if (w >= owners) return;  // whole warps leave
  const std::int64_t groups = a.src.shape[0] * per_outer, group = w % groups, o = group / per_outer, j = group % per_outer * 32 + lane;
  const std::int64_t begin = w / groups * length, end = begin + length < a.out.shape[1] ? begin + length : a.out.shape[1];
  const std::int64_t* index = a.index.as<const std::int64_t>() + o * a.index.stride[0];
  const T* src = a.src.as<const T>() + o * a.src.stride[0] + j * a.src.stride[2];
  T* out = a.out.as<T>() + o * a.out.stride[0] + j * a.out.stride[2];
  for (std::int64_t i0 = 0; i0 < k; i0 += 32) {
    const std::int64_t at = i0 + lane < k ? index[(i0 + lane) * a.index.stride[1]] : -1;
    if (begin == 0 && i0 + lane < k && !index_inside(at, a.out.shape[1]))
      report_fault(faulty, index_position(a.index, o, i0 + lane, 0), at, a.out.shape[1]);
    unsigned mine = __ballot_sync(0xffffffffu, at >= begin && at < end);
    for (; mine; mine &= mine - 1) {
      const int bit = __ffs(static_cast<int>(mine)) - 1;
      const std::int64_t to = __shfl_sync(0xffffffffu, at, bit);
      if (j < a.src.shape[2]) put<add>(out[to * a.out.stride[1]], src[(i0 + bit) * a.src.stride[1]]);
    }
  }
}

}  // namespace

void scatter_ranges(Queue& q, const ScatterArgs& a) {
  if (a.src.numel() == 0 || a.out.numel() == 0) return;
  const std::int64_t lines = a.src.shape[0] * a.src.shape[2], n = a.out.shape[1], length = range_length(n, lines, 1 << 17);
  const std::int64_t owners = lines * ((n + length - 1) / length);
  visit(a.out.dtype, [&]<class T>() {
    launch(q, a.add ? thread_ranges<T, true> : thread_ranges<T, false>, blocks_for(owners, 128, 0x7fffffff), 128, 0, a, owners, length,
           q.fault(a.outside));
  });
}
void scatter_warp_ranges(Queue& q, const ScatterArgs& a) {
  if (a.src.numel() == 0 || a.out.numel() == 0) return;
  const std::int64_t groups = a.src.shape[0] * ((a.src.shape[2] + 31) / 32), n = a.out.shape[1], length = range_length(n, groups, 1 << 12);
  const std::int64_t owners = groups * ((n + length - 1) / length);
  visit(a.out.dtype, [&]<class T>() {
    launch(q, a.add ? warp_ranges<T, true> : warp_ranges<T, false>, blocks_for(owners, 4, 0x7fffffff), 128, 0, a, owners, length,
           q.fault(a.outside));
  });
}

}  // namespace graft::GRAFT_SIMT
