// The emulator: kernels that are broken on purpose and must be caught, each with the words it is reported in. A statement that the emulator
// tells by its line stays on one.
// clang-format off
#include <atomic>
#include <csignal>
#include <numeric>

#include "kernels/core/graph.h"
#include "kernels/core/scope.h"
#include "tests/emulator/launching.h"

namespace graft::emu {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true;
#else
constexpr bool kAsan = false;
#endif

std::string at_line(int line) { return "tests/emulator/broken_test\\.cpp:" + std::to_string(line); }
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

}  // namespace
}  // namespace graft::emu
