// The emulator: kernels that are broken on purpose and must be caught, each with the words it is reported in; and what every CUDA word
// means, with known answers. A statement that the emulator tells by its line stays on one.
// clang-format off
#include <gtest/gtest.h>
#include <regex.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/graph.h"
#include "kernels/core/scope.h"
#include "kernels/simt/fault.h"
#include "kernels/simt/simt.h"

namespace graft::emu {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true;
#else
constexpr bool kAsan = false;
#endif

Queue& queue() {
  static Queue q(2, {DeviceKind::emu, 0});
  return q;
}
struct Ordered {  // runs in an order, then goes back
  explicit Ordered(LaneOrder o) { queue().set_lane_order(o); }
  ~Ordered() { queue().set_lane_order(LaneOrder::up); }
};
constexpr LaneOrder kOrders[] = {LaneOrder::up, LaneOrder::down, LaneOrder::seeded};

__global__ void reverse_block(int* out) {
  GRAFT_SHARED(int, s, [64]);
  s[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x] + __shfl_xor_sync(~0u, 1, 1);
}
void expect_usable() {
  std::vector<int> out(4 * 64);
  launch(queue(), reverse_block, 4, 64, 0, out.data());
  for (int i = 0; i < 256; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], 64 - i % 64) << "the emulator is broken after a failure";
}

bool contains(const char* text, const std::string& expression) {
  regex_t r;
  if (regcomp(&r, expression.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool yes = regexec(&r, text, 0, nullptr, 0) == 0;
  regfree(&r);
  return yes;
}
// What a launch throws: code and words (a regular expression). Afterwards the emulator works as before.
template <class F>
void expect_error(Code code, const std::string& words, F&& f) {
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    try {
      f();
      ADD_FAILURE() << "nothing was thrown, wanted: " << words;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_TRUE(contains(e.what(), words)) << e.what() << "\nwanted: " << words;
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
    expect_usable();
  }
}
std::string at_line(int line) { return "tests/emulator/emulator_test\\.cpp:" + std::to_string(line); }
std::string block_of(int x) { return "block \\(" + std::to_string(x) + ",0,0\\)"; }

// ---- broken: barriers ----

__global__ void missing_barrier(int* out) {
  GRAFT_SHARED(int, s, [128]);
  s[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = s[127 - threadIdx.x];
}
__global__ void missing_barrier_between_warps(float* out) {  // each warp keeps step by itself, which must not hide it
  GRAFT_SHARED(float, s, [4]);
  const float sum = warp_sum(1.0f + static_cast<float>(threadIdx.x / 32));
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = sum;
  __syncwarp();
  out[threadIdx.x] = s[3 - threadIdx.x / 32];
}
template <class T, class K>
std::vector<std::vector<unsigned char>> under_orders(K kernel) {
  std::vector<std::vector<unsigned char>> results;
  for (const LaneOrder o : kOrders) {
    Ordered ordered(o);
    std::vector<T> out(128);
    launch(queue(), kernel, 1, 128, 0, out.data());
    const auto* bytes = reinterpret_cast<const unsigned char*>(out.data());
    results.emplace_back(bytes, bytes + 128 * sizeof(T));
  }
  return results;
}
TEST(Broken, MissingBarrierDependsOnTheOrder) {
  const auto r = under_orders<int>(missing_barrier);
  EXPECT_NE(r[0], r[1]);
  EXPECT_NE(r[0], r[2]);
  EXPECT_NE(r[1], r[2]);
  const auto w = under_orders<float>(missing_barrier_between_warps);
  EXPECT_NE(w[0], w[1]);
  expect_usable();
}

constexpr int kDivergent = __LINE__ + 2;
__global__ void divergent(int*) {
  if (threadIdx.x < 40) __syncthreads();
  else __syncthreads();
}
TEST(Broken, DivergentBarrier) {
  const std::string places = "(" + at_line(kDivergent) + "|" + at_line(kDivergent + 1) + ")";
  expect_error(Code::bug, "^emu: " + places + ", " + block_of(0) + ", thread \\([0-9]+,0,0\\): divergent barrier: "
               "thread \\([0-9]+,0,0\\) waits in __syncthreads at " + places,
               [] { launch(queue(), divergent, 1, 64, 0, nullptr); });
}
__global__ void divergent_on_a_line(int*) {
  threadIdx.x < 40 ? __syncthreads() : __syncthreads();
}
TEST(Broken, DivergentBarriersOnOneLine) {
  expect_error(Code::bug, "divergent barrier", [] { launch(queue(), divergent_on_a_line, 1, 64, 0, nullptr); });
}

constexpr int kStuck = __LINE__ + 3;
__global__ void barrier_missed(int*) {
  const unsigned t = threadIdx.x;
  if (t < 64 || t == 66) __syncthreads();
  else __shfl_sync(~0u, 1, 0);
}
TEST(Broken, BarrierThatSomeLanesMissIsADeadlock) {
  const int launched = __LINE__ + 3;
  expect_error(Code::bug, "^emu: kernel launched at " + at_line(launched) + ", " + block_of(0) + ": deadlock: "
               "lanes 0-63,66 in __syncthreads at " + at_line(kStuck) +
               "; lanes 64-65,67-95 in __shfl_sync at " + at_line(kStuck + 1) + "$", [] { launch(queue(), barrier_missed, 1, 96, 0, nullptr); });
}
constexpr int kNamed = __LINE__ + 3;
__global__ void named_too_few(int*) {
  if (threadIdx.x >= 64) return;
  simt::sync_named(3, 96, simt::Where::current());
}
__global__ void named_two_counts(int*) { simt::sync_named(1, threadIdx.x < 32 ? 32 : 64, simt::Where::current()); }
__global__ void named_bad(int*, int id, int lanes) { simt::sync_named(id, lanes, simt::Where::current()); }
TEST(Broken, NamedBarriers) {
  expect_error(Code::bug, "deadlock: lanes 0-63 in bar.sync at " + at_line(kNamed) + "; 32 lanes have returned$",
               [] { launch(queue(), named_too_few, 1, 96, 0, nullptr); });
  {
    Ordered seeded(LaneOrder::seeded);  // in the others one warp has left the barrier before the other comes
    EXPECT_THROW(launch(queue(), named_two_counts, 1, 64, 0, nullptr), Error);
    expect_usable();
  }
  expect_error(Code::bug, "barrier 16 does not exist", [] { launch(queue(), named_bad, 1, 64, 0, nullptr, 16, 64); });
  expect_error(Code::bug, "barrier of 33 lanes: wants a multiple of 32", [] { launch(queue(), named_bad, 1, 64, 0, nullptr, 1, 33); });
}

// ---- broken: masks ----

constexpr int kMask = __LINE__ + 1;
__global__ void mask_without_caller(int*) { if (threadIdx.x == 5) __shfl_sync(0x0fu, 1, 0); }
TEST(Broken, MaskThatDoesNotNameTheCaller) {
  expect_error(Code::bug, "^emu: " + at_line(kMask) + ", " + block_of(0) + ", thread \\(5,0,0\\): __shfl_sync: the mask does not name the calling lane 5$",
               [] { launch(queue(), mask_without_caller, 1, 32, 0, nullptr); });
}
constexpr int kTwoMasks = __LINE__ + 2;
__global__ void two_masks(int*) {
  __ballot_sync(threadIdx.x < 16 ? 0x0001ffffu : 0xffff8000u, 1);  // each names a lane of the other
}
TEST(Broken, TwoMasksThatOverlap) {
  expect_error(Code::bug, "^emu: " + at_line(kTwoMasks) + ", " + block_of(0) + ", thread \\([0-9]+,0,0\\): "
               "lane [0-9]+ calls __ballot_sync with another mask or operation than lane [0-9]+, " +
               "which waits in __ballot_sync at " + at_line(kTwoMasks), [] { launch(queue(), two_masks, 1, 32, 0, nullptr); });
}
__global__ void two_operations(int*) {
  if (threadIdx.x < 16) __any_sync(~0u, 1);
  else __all_sync(~0u, 1);
}
TEST(Broken, TwoOperations) {
  expect_error(Code::bug, "calls __a(ny|ll)_sync with another mask or operation than lane [0-9]+, which waits in __a(ll|ny)_sync",
               [] { launch(queue(), two_operations, 1, 32, 0, nullptr); });
}
constexpr int kReturned = __LINE__ + 3;
__global__ void mask_of_a_returned_lane(int*) {
  if (threadIdx.x == 33) return;
  __shfl_down_sync(~0u, 1, 1);
}
TEST(Broken, MaskNamesALaneThatHasReturned) {  // it may leave before or after the others come
  expect_error(Code::bug, "^emu: " + at_line(kReturned) + ", " + block_of(0) + ", thread \\([0-9]+,0,0\\): __shfl_down_sync: .*lane 1, which has returned$",
               [] { launch(queue(), mask_of_a_returned_lane, 1, 64, 0, nullptr); });
}
__global__ void full_mask(int*) { __syncwarp(); }
TEST(Broken, MaskNamesALaneThatTheBlockDoesNotHave) {
  expect_error(Code::bug, "__syncwarp: the mask names lane 8, which the block does not have$", [] { launch(queue(), full_mask, 1, 40, 0, nullptr); });
}
constexpr int kOutside = __LINE__ + 2;
__global__ void reads_outside_of_the_mask(int*) {
  if (threadIdx.x < 4) __shfl_sync(0xfu, 1, threadIdx.x == 2 ? 9 : 0);
}
TEST(Broken, ShuffleReadsALaneOutsideOfTheMask) {
  expect_error(Code::bug, "^emu: " + at_line(kOutside) + ", " + block_of(0) + ", thread .*shuffle: lane 2 reads lane 9, which the mask does not name$",
               [] { launch(queue(), reads_outside_of_the_mask, 1, 32, 0, nullptr); });
}
__global__ void odd_width(int*) { __shfl_xor_sync(~0u, 1, 1, 12); }
TEST(Broken, ShuffleWidth) {
  expect_error(Code::bug, "a shuffle of width 12: wants a power of 2, at most 32", [] { launch(queue(), odd_width, 1, 32, 0, nullptr); });
}

// ---- broken: memory ----

// An index that the compiler cannot see through.
int hidden(int i) {
  static std::atomic<int> zero{0};
  return i + zero.load();
}
constexpr int kArray = __LINE__ + 2;
__global__ void shared_write_out(int*, int i, bool barrier) {
  GRAFT_SHARED(float, s, [33]);
  float* p = s;
  if (threadIdx.x == 0) p[i] = 1;
  if (barrier) __syncthreads();
  __syncwarp();
}
__global__ void dynamic_write_out(int*, int i) {
  GRAFT_DYNAMIC_SHARED(float, p);
  if (threadIdx.x == 0) p[i] = 1;
}
__global__ void shared_read_out(float* out, int i) {
  GRAFT_SHARED(float, s, [33]);
  float* p = s;
  if (threadIdx.x == 0) out[0] = p[i];
}
TEST(Broken, WriteOutsideOfSharedMemoryIsSeenByTheGuards) {
  if (kAsan) GTEST_SKIP() << "AddressSanitizer stops at the access: see the next test";
  const int launched = __LINE__ + 3;
  expect_error(Code::bug, "^emu: " + block_of(0) + ", kernel launched at " + at_line(launched) + ": "
               "wrote outside of the shared array declared at " + at_line(kArray) + ", 0 bytes past the end$",
               [] { launch(queue(), shared_write_out, 1, 32, 0, nullptr, hidden(33), false); });
  expect_error(Code::bug, ", at the latest by the barrier at " + at_line(kArray + 3) + ": wrote outside of .*, 4 bytes past the end$",
               [] { launch(queue(), shared_write_out, 1, 32, 0, nullptr, hidden(34), true); });
  expect_error(Code::bug, "wrote outside of dynamic shared memory, 0 bytes past the end$",
               [] { launch(queue(), dynamic_write_out, 1, 32, 40, nullptr, hidden(10)); });
  expect_error(Code::bug, "wrote outside of dynamic shared memory, 4 bytes before$",
               [] { launch(queue(), dynamic_write_out, 1, 32, 40, nullptr, hidden(-1)); });
}
// What runs is said as well, from the workers too, and when the launch is a graph's.
TEST(Broken, TheOperationTheKernelAndTheLaunchAreNamed) {
  const OpScope op("softmax", [](const void*) { return std::string("softmax(axis=1) of f32[8,1024]"); });
  const KernelScope kernel("softmax", "emu.1_warp_row");
  const int launched = __LINE__ + 4;
  const std::string tail = "; launched at " + at_line(launched) + ", grid 3x1x1, block 64x1x1, in softmax\\(axis=1\\) of f32\\[8,1024\\], kernel softmax=emu.1_warp_row$";
  expect_error(Code::bug, "divergent barrier: .*" + tail,
               [] {
                 launch(queue(), divergent, 3, 64, 0, nullptr);
               });
  expect_error(Code::usage, ": dynamic shared memory of 1048576 bytes: .*, grid 3x1x1, .* in softmax", [] { launch(queue(), divergent, 3, 64, 1 << 20, nullptr); });
}
TEST(Broken, AKernelOfAGraphFailsAtTheReplayWithItsOperation) {
  Graph graph(queue());
  {
    const OpScope op("relu", [](const void*) { return std::string("relu of f32[7]"); });
    graph.capture([] { launch(queue(), divergent, 3, 64, 0, nullptr); });
  }
  expect_error(Code::bug, "divergent barrier: .*, grid 3x1x1, block 64x1x1, in relu of f32\\[7\\]$", [&] { graph.replay(); });
}

TEST(BrokenDeathTest, AccessOutsideOfSharedMemoryIsSeenByAddressSanitizer) {
  if (!kAsan) GTEST_SKIP() << "built without AddressSanitizer";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<float> out(1);
  const char* words = "AddressSanitizer: use-after-poison";
  EXPECT_DEATH(launch(queue(), shared_write_out, 1, 32, 0, nullptr, hidden(33), false), words);
  EXPECT_DEATH(launch(queue(), shared_read_out, 1, 32, 0, out.data(), hidden(33)), words);
  EXPECT_DEATH(launch(queue(), dynamic_write_out, 1, 32, 40, nullptr, hidden(10)), words);
  EXPECT_DEATH(launch(queue(), dynamic_write_out, 1, 32, 40, nullptr, hidden(-1)), words);
}

__global__ void global_write(float* p, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) p[i] = 1;  // <= for <
}
TEST(Broken, WriteOutsideOfGlobalMemoryIsSeenByTheCallersGuard) {
  std::vector<float> guarded(128, -7.0f);  // the caller's guard: what follows the 40 elements that the kernel may write
  launch(queue(), global_write, 2, 32, 0, guarded.data(), 40);
  EXPECT_EQ(guarded[39], 1);
  EXPECT_EQ(guarded[40], 1) << "the guard should show the write";
  EXPECT_EQ(guarded[41], -7);
}
TEST(BrokenDeathTest, AccessOutsideOfGlobalMemoryIsSeenByAddressSanitizer) {
  if (!kAsan) GTEST_SKIP() << "built without AddressSanitizer";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<float> exact(40);
  EXPECT_DEATH(launch(queue(), global_write, 2, 32, 0, exact.data(), 40), "AddressSanitizer: heap-buffer-overflow");
}

__global__ void uninitialised(float* out) {
  GRAFT_SHARED(float, s, [32]);
  GRAFT_DYNAMIC_SHARED(float, d);
  out[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x];
  out[blockIdx.x * 64 + 32 + threadIdx.x] = d[threadIdx.x];
  __syncthreads();
  s[threadIdx.x] = d[threadIdx.x] = 1;  // the next block sees nothing of it
}
TEST(Broken, SharedMemoryIsNanUntilWritten) {
  std::vector<float> out(8 * 64);
  launch(queue(), uninitialised, 8, 32, 128, out.data());
  for (float v : out) ASSERT_TRUE(std::isnan(v));
}

constexpr int kBig = __LINE__ + 2;
__global__ void static_too_big(int*) {
  GRAFT_SHARED(char, s, [49153]);
  s[0] = 1;
}
__global__ void static_two(int*) {
  GRAFT_SHARED(char, s, [30000]);
  GRAFT_SHARED(char, u, [20000]);
  s[0] = u[0] = 1;
}
__global__ void static_most(int* out) {
  GRAFT_SHARED(char, s, [49152]);
  s[49151] = 3;
  *out = s[49151];
}
__global__ void uses_dynamic(int* out) {
  GRAFT_DYNAMIC_SHARED(char, d);
  d[0] = 5;
  *out = d[0];
}
TEST(Broken, OversizeSharedMemory) {
  int out = 0;
  expect_error(Code::bug, "^emu: " + at_line(kBig) + ", " + block_of(0) + ", thread .*: "
               "shared arrays of 49153 bytes: a block may declare 49152; use dynamic shared memory$",
               [] { launch(queue(), static_too_big, 1, 1, 0, nullptr); });
  expect_error(Code::bug, "shared arrays of 50000 bytes", [] { launch(queue(), static_two, 1, 1, 0, nullptr); });
  launch(queue(), static_most, 1, 1, 232448 - 49152, &out);
  EXPECT_EQ(out, 3);
  expect_error(Code::bug, "shared memory of 232449 bytes: a block may have 232448$", [&] { launch(queue(), static_most, 1, 1, 232449 - 49152, &out); });
  launch(queue(), uses_dynamic, 1, 1, 232448, &out);
  EXPECT_EQ(out, 5);
  expect_error(Code::usage, "^kernel launched at .*dynamic shared memory of 232449 bytes: a block may have 232448$",
               [&] { launch(queue(), uses_dynamic, 1, 1, 232449, &out); });
  expect_error(Code::bug, "uses dynamic shared memory but was launched with 0 bytes", [&] { launch(queue(), uses_dynamic, 1, 1, 0, &out); });
}

__global__ void nothing(int*) {}
TEST(Broken, LaunchGeometry) {
  struct { dim3 grid, block; const char* words; } bad[] = {
      {{0}, {32}, "a grid of 0x1x1 blocks"},         {{1, 0}, {32}, "a grid of 1x0x1 blocks"},      {{1}, {2048}, "a block of 2048x1x1 threads: 1 to 1024"},
      {{1}, {0}, "a block of 0x1x1 threads"},        {{1}, {1, 1, 65}, "z at most 64"},             {{1}, {32, 33}, "a block of 32x33x1 threads"},
      {{1, 65536}, {1}, "a grid of 1x65536x1"},      {{1, 1, 65536}, {1}, "a grid of 1x1x65536"},   {{0x80000000u}, {1}, "a grid of 2147483648x1x1 blocks"},
      {{1}, {65536, 65536}, "a block of 65536x65536x1"},
  };
  for (const auto& b : bad) {
    const int launched = __LINE__ + 1;
    expect_error(Code::usage, "^kernel launched at " + at_line(launched) + ": .*" + b.words, [&] { launch(queue(), nothing, b.grid, b.block, 0, nullptr); });
  }
  launch(queue(), nothing, 1, dim3(1, 16, 64), 0, nullptr);
  launch(queue(), nothing, dim3(1, 65535), 1, 0, nullptr);
}

__global__ void leaves_early(int* out) {
  if (threadIdx.x == 0) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
TEST(Broken, EarlyExitsAreCounted) {
  std::vector<int> out(64);
  const auto before = simt::early_exits();
  launch(queue(), leaves_early, 1, 64, 0, out.data());
  EXPECT_EQ(simt::early_exits(), before + 1);
  EXPECT_EQ(std::accumulate(out.begin(), out.end(), 0), 63);
  expect_usable();
  EXPECT_EQ(simt::early_exits(), before + 1);
}

[[gnu::noinline]] int deep(volatile int* p, int n) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(n);
  return n == 0 ? p[0] : deep(p, n - 1) + frame[0];
}
__global__ void overflows(int* p, int n) {
  __syncthreads();
  p[threadIdx.x] = deep(p, n);
}
TEST(BrokenDeathTest, StackOverflowHitsTheGuardPage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<int> p(32);
  launch(queue(), overflows, 1, 32, 0, p.data(), hidden(40));
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_DEATH(launch(queue(), overflows, 1, 32, 0, p.data(), hidden(1000)), "AddressSanitizer: (stack-overflow|SEGV)");
#elif defined(__SANITIZE_THREAD__)
  EXPECT_DEATH(launch(queue(), overflows, 1, 32, 0, p.data(), hidden(1000)), "");
#else
  EXPECT_EXIT(launch(queue(), overflows, 1, 32, 0, p.data(), hidden(1000)), testing::KilledBySignal(SIGSEGV), "");
#endif
}

// ---- exceptions ----

struct Counted {
  std::atomic<int>& n;
  explicit Counted(std::atomic<int>& c) : n(c) { ++n; }
  ~Counted() { --n; }
};
__global__ void throws_while_others_wait(std::atomic<int>* alive, std::atomic<int>* born) {
  Counted c(*alive);
  ++*born;
  if (threadIdx.x == 40) throw std::out_of_range("lane 40");
  __syncthreads();
}
TEST(Exceptions, PropagateAndUnwindTheLanesThatWait) {
  for (const LaneOrder o : kOrders)
    for (unsigned blocks : {1u, 20u}) {
      Ordered ordered(o);
      std::atomic<int> alive{0}, born{0};
      EXPECT_THROW(launch(queue(), throws_while_others_wait, blocks, 64, 0, &alive, &born), std::out_of_range);
      EXPECT_EQ(alive.load(), 0);
      EXPECT_GT(born.load(), 0);
      expect_usable();
    }
}
__global__ void fails_in_block(int* ran, unsigned bad) {
  if (blockIdx.x == bad) simt::fault(simt::Where::current(), "this one");
  ++ran[blockIdx.x];
}
TEST(Exceptions, NameTheBlockThatFails) {
  std::vector<int> ran(100);
  expect_error(Code::bug, block_of(77) + ", thread \\(0,0,0\\): this one$", [&] { launch(queue(), fails_in_block, 100, 1, 0, ran.data(), 77u); });
}

// ---- good: indices ----

__global__ void indices(int* out) {
  const unsigned bx = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z), tx = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[bx * threads + tx] += static_cast<int>(1 + blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z +
                                               1000 * threadIdx.x + 10000 * threadIdx.y + 100000 * threadIdx.z);
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
struct Shuffled { T idx, idx8, xor5, xor_edge, xor33, down3, down3w8, down33, up3, up3w8, negative; };
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
    for (std::size_t t = 0; t < 100; ++t) EXPECT_EQ(std::vector<int>(out.begin() + 4 * t, out.begin() + 4 * t + 4), (std::vector<int>{34, 1, 0, 100}));
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
  else simt::wait_until("mbarrier", [](void* p) { return *static_cast<int*>(p) == 63; }, count, simt::Where::current());
  out[threadIdx.x] = threadIdx.x == 9 ? count[0] : 0;
}
__global__ void polls_for_ever(int*) { simt::wait_until("mbarrier", [](void*) { return false; }, nullptr, simt::Where::current()); }
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
  struct Mine { int in, sum; } mine{static_cast<int>(threadIdx.x), 0};
  simt::meet_warp_group("wgmma", &mine, [](void* const* args) {
    int sum = 0;
    for (int i = 0; i < 128; ++i) sum += static_cast<Mine*>(args[i])->in;
    for (int i = 0; i < 128; ++i) static_cast<Mine*>(args[i])->sum = sum;
  }, simt::Where::current());
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

struct Cells { int sum; unsigned usum; unsigned long long wide; float f; double d; int top, bottom; unsigned utop; int cas; int first; };
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
  EXPECT_EQ(sizeof(float4) + alignof(float4) + sizeof(float2) + alignof(float2) + alignof(double2) +
                alignof(int4) + alignof(uint4) + alignof(int2) + alignof(uint2), 112u);
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
