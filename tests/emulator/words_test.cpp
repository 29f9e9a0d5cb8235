// The emulator: what every CUDA word means, with known answers; and what the house adds to them.
#include <limits>
#include <numeric>
#include <thread>

#include "kernels/core/graph.h"
#include "kernels/core/scope.h"
#include "kernels/simt/fault.h"
#include "tests/emulator/launching.h"

namespace graft::emu {
namespace {

// ---- good: indices ----

__global__ void indices(int* out) {
  const unsigned bx = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z),
                 tx = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[bx * threads + tx] += static_cast<int>(1 + blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z + 1000 * threadIdx.x +
                                             10000 * threadIdx.y + 100000 * threadIdx.z);
  __syncthreads();
}
TEST(Good, IndicesInOneTwoAndThreeDimensions) {
  for (const LaneOrder o : kOrders)
    for (const dim3 grid : {dim3(5), dim3(3, 4), dim3(2, 3, 4)})
      for (const dim3 block : {dim3(7), dim3(8, 5), dim3(3, 4, 6)}) {
        Ordered ordered(o);
        const unsigned blocks = grid.x * grid.y * grid.z, threads = block.x * block.y * block.z;
        std::vector<int> out(std::size_t{blocks} * threads);
        launch(queue(), indices, grid, block, 0, out.data());
        std::size_t i = 0;
        for (unsigned bz = 0; bz < grid.z; ++bz)
          for (unsigned by = 0; by < grid.y; ++by)
            for (unsigned bx = 0; bx < grid.x; ++bx)
              for (unsigned tz = 0; tz < block.z; ++tz)
                for (unsigned ty = 0; ty < block.y; ++ty)
                  for (unsigned tx = 0; tx < block.x; ++tx)
                    ASSERT_EQ(out[i++], static_cast<int>(1 + bx + 10 * by + 100 * bz + 1000 * tx + 10000 * ty + 100000 * tz));
      }
}

__global__ void scan(int* out, int n) {  // inclusive scan of 1s, with early return and any block size
  GRAFT_DYNAMIC_SHARED(int, s);
  const unsigned t = threadIdx.x;
  s[t] = 1;
  for (unsigned d = 1; d < blockDim.x; d *= 2) {
    __syncthreads();
    const int v = t >= d ? s[t - d] : 0;
    __syncthreads();
    s[t] += v;
  }
  const int i = static_cast<int>(blockIdx.x * blockDim.x + t);
  if (i >= n) return;
  out[i] = s[t];
}
TEST(Good, AnyBlockSizeAndThousandsOfBlocks) {
  for (const LaneOrder o : kOrders)
    for (const unsigned threads : {1u, 31u, 33u, 100u, 1000u, 1024u}) {
      Ordered ordered(o);
      const int n = static_cast<int>(3 * threads - threads / 2);
      std::vector<int> out(3 * threads, -1);
      launch(queue(), scan, 3, threads, threads * sizeof(int), out.data(), n);
      for (int i = 0; i < static_cast<int>(out.size()); ++i)
        ASSERT_EQ(out[static_cast<std::size_t>(i)], i < n ? i % static_cast<int>(threads) + 1 : -1) << threads;
    }
  std::vector<int> out(5000 * 4);
  launch(queue(), scan, 5000, 4, 16, out.data(), 5000 * 4);
  for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<int>(i % 4) + 1);
}

TEST(Good, TwoHostThreadsWithTwoQueues) {
  const auto work = [](LaneOrder order) {
    Queue q(2, {DeviceKind::emu, 0});
    q.set_lane_order(order);
    std::vector<int> out(200 * 64);
    for (int k = 0; k < 10; ++k) {
      std::fill(out.begin(), out.end(), 0);
      launch(q, reverse_block, 200, 64, 0, out.data());
      for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], 64 - static_cast<int>(i % 64));
    }
  };
  std::thread a(work, LaneOrder::down), b(work, LaneOrder::seeded);
  a.join();
  b.join();
}

// ---- good: every word ----

template <class T>
struct Shuffled {
  T idx, idx8, xor5, xor_edge, xor33, down3, down3w8, down33, up3, up3w8, negative;
};
template <class T>
__global__ void shuffles(Shuffled<T>* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T v = static_cast<T>(100 + lane);
  auto& o = out[threadIdx.x];
  o.idx = __shfl_sync(~0u, v, (lane * 7 + 3) % 32);
  o.idx8 = __shfl_sync(~0u, v, 5, 8);
  o.xor5 = __shfl_xor_sync(~0u, v, 5);
  o.xor_edge = __shfl_xor_sync(~0u, v, 16, 16);  // a higher group may not be read, a lower one may
  o.xor33 = __shfl_xor_sync(~0u, v, 33);
  o.down3 = __shfl_down_sync(~0u, v, 3);
  o.down3w8 = __shfl_down_sync(~0u, v, 3, 8);
  o.down33 = __shfl_down_sync(~0u, v, 33);
  o.up3 = __shfl_up_sync(~0u, v, 3);
  o.up3w8 = __shfl_up_sync(~0u, v, 3, 8);
  o.negative = __shfl_sync(~0u, v, -1);
}
template <class T>
void check_shuffles() {
  for (const LaneOrder order : kOrders) {
    Ordered ordered(order);
    std::vector<Shuffled<T>> out(64);
    launch(queue(), shuffles<T>, 1, 64, 0, out.data());
    for (int t = 0; t < 64; ++t) {
      const int l = t % 32, g = l / 8 * 8;
      const auto& o = out[static_cast<std::size_t>(t)];
      EXPECT_EQ(o.idx, static_cast<T>(100 + (l * 7 + 3) % 32));
      EXPECT_EQ(o.idx8, static_cast<T>(100 + g + 5));
      EXPECT_EQ(o.xor5, static_cast<T>(100 + (l ^ 5)));
      EXPECT_EQ(o.xor_edge, static_cast<T>(100 + (l < 16 ? l : l - 16)));
      EXPECT_EQ(o.xor33, static_cast<T>(100 + (l ^ 1)));
      EXPECT_EQ(o.down3, static_cast<T>(100 + (l + 3 < 32 ? l + 3 : l)));
      EXPECT_EQ(o.down3w8, static_cast<T>(100 + (l % 8 + 3 < 8 ? l + 3 : l)));
      EXPECT_EQ(o.down33, static_cast<T>(100 + (l + 1 < 32 ? l + 1 : l)));
      EXPECT_EQ(o.up3, static_cast<T>(100 + (l >= 3 ? l - 3 : l)));
      EXPECT_EQ(o.up3w8, static_cast<T>(100 + (l % 8 >= 3 ? l - 3 : l)));
      EXPECT_EQ(o.negative, static_cast<T>(131));
    }
  }
}
TEST(Words, Shuffles) {
  check_shuffles<int>();
  check_shuffles<unsigned>();
  check_shuffles<float>();
  check_shuffles<double>();
  check_shuffles<std::int64_t>();
}

__global__ void partial_masks(int* out) {  // two halves of a warp, each on its own way, and a single lane
  const unsigned t = threadIdx.x;
  int v = static_cast<int>(t);
  if (t < 16) {
    for (int o = 8; o > 0; o /= 2) v += __shfl_xor_sync(0x0000ffffu, v, o);
  } else {
    v = __shfl_sync(0xffff0000u, v, 20);
    __syncwarp(0xffff0000u);
    if (t == 31) v = __shfl_sync(1u << 31, v, 31) + 1;
  }
  out[t] = v;
}
__global__ void votes(unsigned* out) {
  const unsigned t = threadIdx.x;
  unsigned* o = out + 8 * t;
  o[0] = __ballot_sync(~0u, t % 3 == 0);
  o[1] = static_cast<unsigned>(__any_sync(~0u, t == 17));
  o[2] = static_cast<unsigned>(__any_sync(~0u, 0));
  o[3] = static_cast<unsigned>(__all_sync(~0u, 2));
  o[4] = static_cast<unsigned>(__all_sync(~0u, t != 31));
  o[5] = t < 8 ? __ballot_sync(0xffu, t & 1) : 0;
  o[6] = t < 8 ? static_cast<unsigned>(__all_sync(0xffu, 1)) : 0;
  o[7] = static_cast<unsigned>(warpSize);
}
TEST(Words, PartialMasks) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<int> out(32);
    launch(queue(), partial_masks, 1, 32, 0, out.data());
    for (int t = 0; t < 32; ++t) EXPECT_EQ(out[static_cast<std::size_t>(t)], t < 16 ? 120 : t == 31 ? 21 : 20);
  }
}
TEST(Words, Votes) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<unsigned> out(32 * 8);
    launch(queue(), votes, 1, 32, 0, out.data());
    for (unsigned t = 0; t < 32; ++t) {
      const std::vector<unsigned> got(out.begin() + 8 * t, out.begin() + 8 * t + 8);
      EXPECT_EQ(got, (std::vector<unsigned>{0x49249249u, 1, 0, 1, 0, t < 8 ? 0xaau : 0, t < 8 ? 1u : 0, 32}));
    }
  }
}

__global__ void block_votes(int* out) {
  const unsigned t = threadIdx.x;
  int* o = out + 4 * t;
  o[0] = __syncthreads_count(t % 3 == 0);
  o[1] = __syncthreads_or(t == 70);
  o[2] = __syncthreads_or(0);
  o[3] = __syncthreads_count(7);
}
__global__ void named(int* out) {  // warps 0 and 1 hand over to 2 and 3, each pair at its own barrier
  GRAFT_SHARED(int, s, [64]);
  const unsigned t = threadIdx.x;
  if (t < 64) {
    s[t ^ 32] = static_cast<int>(t);
    simt::sync_named(1, 64, simt::Where::current());
    s[t] -= 32 - static_cast<int>(t / 32 * 64);  // what the other warp wrote: t ^ 32
    simt::sync_named(2, 128, simt::Where::current());
  } else {
    simt::sync_named(3, 64, simt::Where::current());
    simt::sync_named(2, 128, simt::Where::current());
    out[t - 64] = s[127 - t];
  }
}
TEST(Words, BlockBarriers) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<int> out(100 * 4);
    launch(queue(), block_votes, 1, 100, 0, out.data());
    for (std::size_t t = 0; t < 100; ++t)
      EXPECT_EQ(std::vector<int>(out.begin() + 4 * t, out.begin() + 4 * t + 4), (std::vector<int>{34, 1, 0, 100}));
    std::vector<int> handed(64);
    launch(queue(), named, 1, 128, 0, handed.data());
    for (int t = 0; t < 64; ++t) EXPECT_EQ(handed[static_cast<std::size_t>(t)], 63 - t);
  }
}

__global__ void starving(int* out) {  // warp 0 loops over a warp operation until warp 1 has written
  GRAFT_SHARED(int, flag, [1]);
  if (threadIdx.x == 0) flag[0] = 0;
  __syncthreads();
  if (threadIdx.x >= 32) flag[0] = 1;
  else
    while (!__any_sync(~0u, *static_cast<volatile int*>(flag) != 0)) {}
  out[threadIdx.x] = flag[0];
}
TEST(Words, AWarpThatLoopsLetsOthersRun) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<int> out(64);
    launch(queue(), starving, 1, 64, 0, out.data());
    EXPECT_EQ(std::accumulate(out.begin(), out.end(), 0), 64);
  }
}
__global__ void polls(int* out) {
  GRAFT_SHARED(int, count, [1]);
  if (threadIdx.x == 5) count[0] = 0;
  __syncthreads();
  if (threadIdx.x != 9) atomicAdd(count, 1);
  else
    simt::wait_until(
        "mbarrier", [](void* p) { return *static_cast<int*>(p) == 63; }, count, simt::Where::current());
  out[threadIdx.x] = threadIdx.x == 9 ? count[0] : 0;
}
__global__ void polls_for_ever(int*) {
  simt::wait_until(
      "mbarrier", [](void*) { return false; }, nullptr, simt::Where::current());
}
TEST(Words, WaitUntil) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<int> out(64);
    launch(queue(), polls, 1, 64, 0, out.data());
    EXPECT_EQ(out[9], 63);
  }
  expect_error(Code::bug, "deadlock: lanes 0-31 in mbarrier at ", [] { launch(queue(), polls_for_ever, 1, 32, 0, nullptr); });
}
__global__ void warp_groups(int* out) {
  struct Mine {
    int in, sum;
  } mine{static_cast<int>(threadIdx.x), 0};
  simt::meet_warp_group(
      "wgmma", &mine,
      [](void* const* args) {
        int sum = 0;
        for (int i = 0; i < 128; ++i) sum += static_cast<Mine*>(args[i])->in;
        for (int i = 0; i < 128; ++i) static_cast<Mine*>(args[i])->sum = sum;
      },
      simt::Where::current());
  out[threadIdx.x] = mine.sum;
}
TEST(Words, WarpGroups) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<int> out(256);
    launch(queue(), warp_groups, 1, 256, 0, out.data());
    for (int t = 0; t < 256; ++t) ASSERT_EQ(out[static_cast<std::size_t>(t)], 128 * 127 / 2 + (t / 128) * 128 * 128);
  }
  expect_error(Code::bug, "the warp group is not whole: the block has 64 lanes", [] { launch(queue(), warp_groups, 1, 64, 0, nullptr); });
}

struct Cells {
  int sum;
  unsigned usum;
  unsigned long long wide;
  float f;
  double d;
  int top, bottom;
  unsigned utop;
  int cas;
  int first;
};
__global__ void atomics(Cells* c, int* seen) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  ++seen[atomicAdd(&c->sum, 1)];  // every value before is there once
  atomicAdd(&c->usum, 2u);
  atomicAdd(&c->wide, 1ull << 32);
  atomicAdd(&c->f, 1.0f);
  atomicAdd(&c->d, 0.5);
  atomicMax(&c->top, i);
  atomicMin(&c->bottom, -i);
  atomicMax(&c->utop, static_cast<unsigned>(i));
  int now = 0;
  for (int was; (was = atomicCAS(&c->cas, now, now + 3)) != now;) now = was;
  if (atomicExch(&c->first, 1) == 0) __threadfence();
}
TEST(Words, AtomicsAcrossBlocksAndThreads) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    Cells c{};
    std::vector<int> seen(64 * 100);
    launch(queue(), atomics, 64, 100, 0, &c, seen.data());
    EXPECT_EQ(c.sum, 6400);
    EXPECT_EQ(c.usum, 12800u);
    EXPECT_EQ(c.wide, 6400ull << 32);
    EXPECT_EQ(c.f, 6400.0f);
    EXPECT_EQ(c.d, 3200.0);
    EXPECT_EQ(c.top, 6399);
    EXPECT_EQ(c.bottom, -6399);
    EXPECT_EQ(c.utop, 6399u);
    EXPECT_EQ(c.cas, 3 * 6400);
    EXPECT_EQ(c.first, 1);
    for (int s : seen) ASSERT_EQ(s, 1);
  }
}
TEST(Words, AtomicsReturnTheValueBefore) {
  int v = 5;
  EXPECT_EQ(atomicAdd(&v, 2), 5);
  EXPECT_EQ(atomicExch(&v, 9), 7);
  EXPECT_EQ(atomicCAS(&v, 8, 1), 9);
  EXPECT_EQ(atomicCAS(&v, 9, 1), 9);
  EXPECT_EQ(atomicMax(&v, 0), 1);
  EXPECT_EQ(atomicMax(&v, 4), 1);
  EXPECT_EQ(atomicMin(&v, 6), 4);
  EXPECT_EQ(atomicMin(&v, -2), 4);
  EXPECT_EQ(v, -2);
}

// ---- house words: faults, graphs ----

__global__ void report_all(FaultSink to, const int* bad, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n && bad[i]) report_fault(to, i, 1000 + i, 7);
}
TEST(Faults, TheSmallestPositionOfTheEarliestLaunchIsHeldWhoeverComesFirst) {
  std::vector<int> bad(6 * 64, 1);
  std::fill(bad.begin(), bad.begin() + 37, 0);
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    for (int round = 0; round < 2; ++round) {
      const OpScope op("lookup");
      launch(queue(), report_all, 6, 64, 0, queue().fault(FaultKind::index), bad.data(), 6 * 64);
      {
        const OpScope later("other");
        std::vector<int> first = {1};
        launch(queue(), report_all, 1, 64, 0, queue().fault(FaultKind::target), first.data(), 1);
      }
      try {
        queue().look();
        ADD_FAILURE() << "nothing was thrown";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Code::usage);
        EXPECT_STREQ(e.what(), "lookup: index 1037 at position 37 is out of range for an axis of 7");
      }
      EXPECT_NO_THROW(queue().look());
    }
  }
}

__global__ void add_to(int* to, int by) { atomicAdd(to, by); }
TEST(Graphs, ReplayLaunchesWithTheArgumentsOfTheCapture) {
  int sum = 0, by = 3;
  Graph graph(queue());
  graph.capture([&] {
    launch(queue(), add_to, 2, 32, 0, &sum, by);
    by = 100;
    launch(queue(), add_to, 1, 1, 0, &sum, by);
  });
  by = 0;
  EXPECT_EQ(sum, 0);
  for (int i = 1; i <= 3; ++i) {
    graph.replay();
    EXPECT_EQ(sum, i * (64 * 3 + 100));
  }
  launch(queue(), add_to, 1, 1, 0, &sum, 1);  // not captured any more
  EXPECT_EQ(sum, 3 * 292 + 1);
}
// A bad index of a replay is reported like any other.
TEST(Graphs, AReplayReportsBadIndices) {
  int bad[4] = {};
  Graph graph(queue());
  {
    const OpScope op("lookup");
    graph.capture([&] { launch(queue(), report_all, 1, 32, 0, queue().fault(FaultKind::id), bad, 4); });
  }
  graph.replay();
  EXPECT_NO_THROW(queue().synchronize());
  bad[2] = 1;
  graph.replay();
  try {
    queue().synchronize();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("lookup: id 1002 at position 2 is outside the table of 7 rows"), 0u) << e.what();
  }
}

TEST(Words, Arithmetic) {
  EXPECT_EQ(__popc(0), 0);
  EXPECT_EQ(__popc(0xf00000ffu), 12);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(-1), 0);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(1), 1);
  EXPECT_EQ(__ffs(static_cast<int>(0x80000000u)), 32);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__umulhi(0x10000u, 0x10000u), 1u);
  EXPECT_EQ(__float_as_int(1.0f), 0x3f800000);
  EXPECT_EQ(__float_as_uint(-2.0f), 0xc0000000u);
  EXPECT_EQ(__int_as_float(0x40490fdb), 3.14159274f);
  EXPECT_EQ(__uint_as_float(0x3f000000u), 0.5f);
  EXPECT_EQ(__fmaf_rn(1.0f + 0x1p-12f, 1.0f + 0x1p-12f, -1.0f), 0x1p-11f + 0x1p-24f);  // rounded once
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(__fdividef(3.0f, 2.0f), 1.5f);
  EXPECT_EQ(__expf(0.0f), 1.0f);
  const int seven = 7;
  EXPECT_EQ(__ldg(&seven), 7);
  const auto f = make_float4(1, 2, 3, 4);
  EXPECT_EQ(f.x + 10 * f.y + 100 * f.z + 1000 * f.w, 4321);
  const auto u = make_uint4(1, 2, 3, 4);
  EXPECT_EQ(u.x + 10 * u.y + 100 * u.z + 1000 * u.w, 4321u);
  const auto i = make_int4(1, 2, 3, 4);
  EXPECT_EQ(i.x + 10 * i.y + 100 * i.z + 1000 * i.w, 4321);
  EXPECT_EQ(make_float2(1, 2).y + make_double2(1, 2).x, 3);
  EXPECT_EQ(make_int2(1, 2).y + static_cast<int>(make_uint2(1, 2).x), 3);
  EXPECT_EQ(sizeof(float4) + alignof(float4) + sizeof(float2) + alignof(float2) + alignof(double2) + alignof(int4) + alignof(uint4) +
                alignof(int2) + alignof(uint2),
            112u);
}

__global__ void helpers(float* out) {
  GRAFT_SHARED(float, lines, [32]);
  const float v = static_cast<float>(threadIdx.x), nan = std::numeric_limits<float>::quiet_NaN();
  float* o = out + 4 * threadIdx.x;
  o[0] = warp_sum(v);
  o[1] = warp_max(threadIdx.x == 3 ? nan : v);
  o[2] = block_sum(v, lines);
  o[3] = block_fold(v, -INFINITY, lines, [](float a, float b) { return max_or_nan(a, b); });
}
TEST(Words, FoldsOfTheHouse) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<float> out(96 * 4);
    launch(queue(), helpers, 1, 96, 0, out.data());
    for (std::size_t t = 0; t < 96; ++t) {
      const std::size_t w = t / 32;
      EXPECT_EQ(out[4 * t], static_cast<float>(w * 32 * 32 + 496));
      if (w == 0) EXPECT_TRUE(std::isnan(out[4 * t + 1]));
      else EXPECT_EQ(out[4 * t + 1], static_cast<float>(w * 32 + 31));
      EXPECT_EQ(out[4 * t + 2], 4560.0f);
      EXPECT_EQ(out[4 * t + 3], 95.0f);
    }
  }
  EXPECT_EQ(blocks_for(0, 128), 1u);
  EXPECT_EQ(blocks_for(129, 128), 2u);
  EXPECT_EQ(blocks_for(1 << 30, 1, 100), 100u);
}

__global__ void shared_places(int* out) {
  GRAFT_SHARED(float, a, [3][5]);
  GRAFT_SHARED(int, one, );
  GRAFT_DYNAMIC_SHARED(double, d);
  const simt::Where at = simt::Where::current();
  if (threadIdx.x == 0) {
    one = 4;
    a[2][4] = 1;
    d[9] = 2;
    const std::uint32_t p = simt::shared_address(&a[2][4], at);
    out[0] = simt::shared_pointer(p) == &a[2][4];
    out[1] = reinterpret_cast<std::uintptr_t>(d) % 1024 == 0 && reinterpret_cast<std::uintptr_t>(&a) % 128 == 0;
    out[2] = static_cast<int>(simt::shared_dynamic_bytes());
  }
  __syncthreads();
  if (threadIdx.x == 40) out[3] = one + static_cast<int>(a[2][4]) + static_cast<int>(d[9]);
}
__global__ void not_shared(int* out) { simt::shared_address(out, simt::Where::current()); }
__global__ void reaches_out(int*) {
  GRAFT_SHARED(int, s, [4]);
  simt::check_shared(&s[1], 16, 4, "ldmatrix", simt::Where::current());
}
__global__ void misaligned(int*) {
  GRAFT_SHARED(int, s, [8]);
  simt::check_shared(&s[1], 16, 16, "ldmatrix", simt::Where::current());
}
TEST(Words, SharedMemory) {
  std::vector<int> out(4);
  launch(queue(), shared_places, 1, 64, 80, out.data());
  EXPECT_EQ(out, (std::vector<int>{1, 1, 80, 7}));
  expect_error(Code::bug, "the address is not in shared memory", [&] { launch(queue(), not_shared, 1, 1, 0, out.data()); });
  expect_error(Code::bug, "ldmatrix: 16 bytes reach outside of the shared array", [] { launch(queue(), reaches_out, 1, 1, 0, nullptr); });
  expect_error(Code::bug, "ldmatrix: the shared address is not a multiple of 16", [] { launch(queue(), misaligned, 1, 1, 0, nullptr); });
}

}  // namespace
}  // namespace graft::emu
