// Positions sorted by id, equal ids in the order of i: a radix sort from the lowest digit, 8 bits a pass (Merrill and Grimshaw 2011 without
// its fused scan). A pass counts digits per chunk of 1024 keys, scans the counts digit by digit, and places keys; nothing depends on the
// order in which threads run: integer counts are exact, and a key's rank among equal digits comes from ballots. Only for .cu files.
#pragma once
#include "kernels/embed/embed.h"
#include "kernels/embed/positions.h"
#include "kernels/simt/fault.h"

namespace graft::GRAFT_SIMT {
namespace positions {

inline constexpr int kThreads = 256, kWarps = kThreads / 32, kRounds = kSortChunk / kThreads;
static_assert(kThreads == kSortDigits, "a thread per digit");

// ids: [n]; those of no row (which are reported), and the padding row's, get the key vocab and end behind all others
template <class Ids>
__global__ void make_keys(Ids ids, std::int64_t vocab, std::int64_t padding, std::int32_t* keys, std::int32_t* order, FaultSink faults) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= ids.shape[0]) return;
  const std::int64_t id = ids.template as<const std::int64_t>()[i * ids.stride[0]];
  const bool inside = index_inside(id, vocab);
  if (!inside) report_fault(faults, i, id, vocab);
  keys[i] = static_cast<std::int32_t>(inside && id != padding ? id : vocab);
  order[i] = static_cast<std::int32_t>(i);
}

// keys: [n]; counts: [digits, chunks]
template <int shift>
__global__ void count_digits(const std::int32_t* keys, std::int64_t n, std::int32_t* counts) {
  GRAFT_SHARED(std::int32_t, seen, [kSortDigits]);
  seen[threadIdx.x] = 0;
  __syncthreads();
  for (int r = 0; r < kRounds; ++r) {
    const std::int64_t i = std::int64_t{blockIdx.x} * kSortChunk + r * kThreads + threadIdx.x;
    if (i < n) atomicAdd(&seen[keys[i] >> shift & 255], 1);
  }
  __syncthreads();
  counts[std::int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = seen[threadIdx.x];
}

// v: [n], replaced by the sum of all before it. One block of 1024 threads.
template <class Int>
__global__ void scan(Int* v, std::int64_t n) {
  GRAFT_SHARED(Int, warps, [32]);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Int carry = 0;
  for (std::int64_t first = 0; first < n; first += blockDim.x) {
    const std::int64_t i = first + threadIdx.x;
    const Int mine = i < n ? v[i] : 0;
    Int sum = mine;
    for (unsigned by = 1; by < 32; by *= 2) {
      const Int other = __shfl_up_sync(0xffffffffu, sum, by);
      if (lane >= by) sum += other;
    }
    if (lane == 31) warps[warp] = sum;
    __syncthreads();
    Int before = 0, all = 0;
    for (unsigned w = 0; w < 32; ++w) {
      if (w == warp) before = all;
      all += warps[w];
    }
    if (i < n) v[i] = carry + before + sum - mine;
    carry += all;
    __syncthreads();  // the next round writes `warps`
  }
}

// keys, order: [n]; offsets: [digits, chunks], where a chunk's keys of a digit begin. Warp w takes keys 128 w.. of the chunk, in order.
template <int shift>
__global__ void place(const std::int32_t* keys, const std::int32_t* order, std::int64_t n, const std::int32_t* offsets,
                      std::int32_t* keys_to, std::int32_t* order_to) {
  GRAFT_SHARED(std::int32_t, held, [kWarps][kSortDigits]);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const std::int64_t first = std::int64_t{blockIdx.x} * kSortChunk + warp * (32 * kRounds) + lane;
  for (int w = 0; w < kWarps; ++w) held[w][threadIdx.x] = 0;
  __syncthreads();
  std::int32_t key[kRounds], rank[kRounds];
  for (int r = 0; r < kRounds; ++r) {
    const bool inside = first + 32 * r < n;
    key[r] = inside ? keys[first + 32 * r] : 0;
    const unsigned digit = static_cast<unsigned>(key[r]) >> shift & 255;
    unsigned peers = __ballot_sync(0xffffffffu, inside);  // lanes with the same digit
    for (int bit = 0; bit < 8; ++bit) {
      const unsigned ones = __ballot_sync(0xffffffffu, digit >> bit & 1);
      peers &= digit >> bit & 1 ? ones : ~ones;
    }
    const std::int32_t before = held[warp][digit];
    rank[r] = before + __popc(peers & ((1u << lane) - 1));
    __syncwarp();
    if (inside && peers >> lane == 1) held[warp][digit] = before + __popc(peers);  // the last of its peers
    __syncwarp();
  }
  __syncthreads();
  std::int32_t at = offsets[std::int64_t{threadIdx.x} * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const std::int32_t count = held[w][threadIdx.x];
    held[w][threadIdx.x] = at;
    at += count;
  }
  __syncthreads();
  for (int r = 0; r < kRounds; ++r) {
    if (first + 32 * r >= n) continue;
    const std::int32_t to = held[warp][static_cast<unsigned>(key[r]) >> shift & 255] + rank[r];
    keys_to[to] = key[r];
    order_to[to] = order[first + 32 * r];
  }
}

// keys: [n], sorted; start: [vocab + 1], the first position whose key is not below v
template <class Int>
__global__ void find_starts(const Int* keys, std::int64_t n, std::int64_t vocab, Int* start) {
  const std::int64_t v = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (v > vocab) return;
  std::int64_t low = 0, high = n;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (keys[middle] < v) low = middle + 1;
    else high = middle;
  }
  start[v] = static_cast<Int>(low);
}

struct Sorted {
  const std::int32_t *start, *order;
};
template <int shift>
void pass(Queue& q, SortedPositions& s, std::int64_t n) {
  const unsigned chunks = blocks_for(n, kSortChunk, 0x7fffffff);
  launch(q, count_digits<shift>, chunks, kThreads, 0, s.keys[0], n, s.counts);
  launch(q, scan<std::int32_t>, 1, 1024, 0, s.counts, std::int64_t{kSortDigits} * chunks);
  launch(q, place<shift>, chunks, kThreads, 0, s.keys[0], s.order[0], n, s.counts, s.keys[1], s.order[1]);
  std::swap(s.keys[0], s.keys[1]);
  std::swap(s.order[0], s.order[1]);
}
inline Sorted sort(Queue& q, const EmbedGradArgs& a) {
  const std::int64_t n = a.ids.shape[0], vocab = a.dtable.shape[0];
  SortedPositions s(q.scratch(SortedPositions(nullptr, n, vocab).bytes), n, vocab);
  if (n > 0) {
    launch(q, make_keys<View>, blocks_for(n, 256, 0x7fffffff), 256, 0, a.ids, vocab, a.padding_index, s.keys[0], s.order[0],
           q.fault(FaultKind::id));
    pass<0>(q, s, n);
    if (vocab >> 8) pass<8>(q, s, n);
    if (vocab >> 16) pass<16>(q, s, n);
    if (vocab >> 24) pass<24>(q, s, n);
  }
  launch(q, find_starts<std::int32_t>, blocks_for(vocab + 1, 256, 0x7fffffff), 256, 0, s.keys[0], n, vocab, s.start);
  return {s.start, s.order[0]};
}

}  // namespace positions
}  // namespace graft::GRAFT_SIMT
