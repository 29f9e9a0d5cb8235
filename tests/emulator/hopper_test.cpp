// hopper.h: every word against plain loops, and kernels that must be caught. Bit for bit: the values are small integers.
#include "kernels/simt/hopper.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace graft::emu {
namespace {

constexpr LaneOrder kOrders[] = {LaneOrder::up, LaneOrder::down, LaneOrder::seeded};

template <class... P, class... A>
void run(LaneOrder order, void (*kernel)(P...), unsigned threads, std::size_t bytes, A... args) {
  static Queue q(1, {DeviceKind::emu, 0});
  q.set_lane_order(order);
  launch(q, kernel, 1, threads, bytes, args...);
}
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "nothing was thrown";
}
#define EXPECT_FAULT(call, text)                     \
  for (const LaneOrder order : kOrders) {            \
    const std::string e = error_of([&] { call; });   \
    EXPECT_NE(e.find(text), std::string::npos) << e; \
  }
float value(std::int64_t i, std::int64_t j) { return static_cast<float>((i * 29 + j * 7) % 31 - 15); }
// [rows, cols] in lines of `pitch` elements that begin at multiples of 64 bytes; what lies outside of the matrix is 99
template <class T>
struct Matrix {
  std::vector<T> memory;
  T* data;
  std::int64_t rows, cols, pitch;
  Matrix(std::int64_t r, std::int64_t c, std::int64_t p) : memory(at(r * p) + 32, T(99.0f)), rows(r), cols(c), pitch(p) {
    data = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64 / sizeof(T);
    for (std::int64_t i = 0; i < r; ++i)
      for (std::int64_t j = 0; j < c; ++j) data[i * p + j] = T(value(i, j));
  }
  TensorTile tile(int width, int height, Swizzle s) {
    return {.name = "x",
            .data = data,
            .dtype = dtype_of<T>,
            .rank = 2,
            .size = {cols, rows},
            .stride = {1, pitch},
            .box = {width, height},
            .swizzle = s};
  }
};

// ---- tensor maps ----
TEST(TensorMap, NamesTheRuleThatIsBroken) {
  Matrix<bf16> x(8, 64, 64);
  const TensorTile good = x.tile(64, 8, Swizzle::b128);
  EXPECT_EQ(error_of([&] { tensor_map(good); }), "nothing was thrown");
  const auto with = [&](auto change) {
    TensorTile t = good;
    change(t);
    return error_of([&] { tensor_map(t); });
  };
  EXPECT_EQ(with([](TensorTile& t) { t.data = static_cast<char*>(t.data) + 8; }),
            "tensor map of x: the address is not a multiple of 16 bytes");
  EXPECT_EQ(with([](TensorTile& t) { t.stride[1] = 68; }),
            "tensor map of x: axis 1 has a stride of 136 bytes, wants a multiple of 16 below 2^40");
  EXPECT_EQ(with([](TensorTile& t) { t.rank = 3, t.size[2] = t.box[2] = 1, t.stride[2] = 0; }),
            "tensor map of x: axis 2 has a stride of 0 bytes, wants a multiple of 16 below 2^40");
  EXPECT_EQ(with([](TensorTile& t) { t.stride[0] = 2; }), "tensor map of x: axis 0 has stride 2, wants 1");
  EXPECT_EQ(with([](TensorTile& t) { t.box[1] = 257; }), "tensor map of x: a box of 257 along axis 1, wants 1 to 256");
  EXPECT_EQ(with([](TensorTile& t) { t.size[1] = 0; }), "tensor map of x: axis 1 has 0 elements, wants 1 to 2^32");
  EXPECT_EQ(with([](TensorTile& t) { t.box[0] = 32; }), "tensor map of x: rows of the box have 64 bytes, the swizzle spans 128");
  EXPECT_EQ(with([](TensorTile& t) { t.box[0] = 4, t.swizzle = Swizzle::none; }),
            "tensor map of x: rows of the box have 8 bytes, wants a multiple of 16");
  EXPECT_EQ(with([](TensorTile& t) { t.rank = 1; }), "tensor map of x: rank 1, wants 2 or 3");
}

// ---- tensor copies and mbarriers ----
// out: the bytes of shared memory after the copy of one box
enum class Broken {
  nothing,
  no_expect,
  expects_more,
  expects_less,
  wrong_parity,
  no_fence,
  no_init,
  misplaced,
  outside,
  one_too_many,
  never_waits,
  no_wait
};
template <int Rank>
__global__ void load_box(const __grid_constant__ TensorMap map, int bytes, int x, int y, int z, Broken broken, unsigned char* out) {
  GRAFT_DYNAMIC_SHARED(unsigned char, tile);
  GRAFT_SHARED(Mbarrier, barrier, [1]);
  if (threadIdx.x == 0 && broken != Broken::no_init) {
    mbarrier_init(barrier, 1);
    if (broken != Broken::no_fence) mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned char* to = tile + (broken == Broken::misplaced ? 64 : broken == Broken::outside ? 128 : 0);
    const int announced = broken == Broken::expects_more ? bytes + 16 : broken == Broken::expects_less ? bytes - 16 : bytes;
    if (broken != Broken::no_expect) mbarrier_arrive_expect_tx(barrier, announced);
    if constexpr (Rank == 3) tma_load(map, to, barrier, x, y, z);
    else tma_load(map, to, barrier, x, y);
    if (broken == Broken::no_expect || broken == Broken::one_too_many) mbarrier_arrive(barrier);
  }
  if (broken == Broken::never_waits) return;
  if (broken != Broken::no_wait) mbarrier_wait(barrier, broken == Broken::wrong_parity ? 1 : 0);
  for (int i = static_cast<int>(threadIdx.x); i < bytes; i += 32) out[i] = tile[i];
  if (broken == Broken::wrong_parity || broken == Broken::no_wait) {
    __syncthreads();
    mbarrier_wait(barrier, 0);
  }
}
template <int Rank>
std::vector<unsigned char> loaded(LaneOrder order, const TensorTile& t, int x, int y, int z, Broken broken = Broken::nothing) {
  std::vector<unsigned char> out(at(t.box_bytes()));
  run(order, load_box<Rank>, 32, out.size(), tensor_map(t), t.box_bytes(), x, y, z, broken, out.data());
  return out;
}
TEST(TmaLoad, PermutesThePiecesAsTheSwizzleSays) {
  for (const auto& [s, width] : {std::pair{Swizzle::none, 24}, {Swizzle::b32, 16}, {Swizzle::b64, 32}, {Swizzle::b128, 64}}) {
    Matrix<f16> m(40, 70, 72);
    for (const auto& [x, y] : {std::pair{0, 0}, {8, 3}, {50, 30}, {-3, -2}, {69, 39}, {80, 0}, {0, 40}})  // zeros outside, on each side
      for (const LaneOrder o : kOrders) {
        const auto bytes = loaded<2>(o, m.tile(width, 16, s), x, y, 0);
        for (int r = 0; r < 16; ++r)
          for (int c = 0; c < width; ++c) {
            int piece = c / 8;
            if (s == Swizzle::b128) piece ^= r % 8;
            if (s == Swizzle::b64) piece ^= r / 2 % 4;
            if (s == Swizzle::b32) piece ^= r / 4 % 2;
            f16 got;
            std::memcpy(&got, bytes.data() + r * width * 2 + piece * 16 + c % 8 * 2, 2);
            const std::int64_t i = y + r, j = x + c;
            const bool inside = i >= 0 && i < m.rows && j >= 0 && j < m.cols;
            ASSERT_EQ(static_cast<float>(got), inside ? value(i, j) : 0)
                << "swizzle " << static_cast<int>(s) << " box at " << x << "," << y << " element " << r << "," << c;
          }
      }
  }
}
TEST(TmaLoad, TakesTheThirdAxis) {
  Matrix<float> m(6 * 5, 12, 16);  // [6, 5, 12]
  TensorTile t = m.tile(4, 2, Swizzle::none);
  t.rank = 3, t.size[1] = 5, t.size[2] = 6, t.stride[2] = 5 * 16, t.box[2] = 3;
  const auto bytes = loaded<3>(LaneOrder::seeded, t, 8, 4, 4);
  for (int z = 0; z < 3; ++z)
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 4; ++x) {
        float got;
        std::memcpy(&got, bytes.data() + 4 * ((z * 2 + y) * 4 + x), 4);
        ASSERT_EQ(got, z < 2 && y < 1 ? value((4 + z) * 5 + 4, 8 + x) : 0) << z << y << x;
      }
}
TEST(TmaLoad, BrokenOnesAreCaught) {
  Matrix<bf16> m(16, 64, 64);
  const TensorTile t = m.tile(64, 16, Swizzle::b128);
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::no_expect), "its bytes were not announced by expect_tx");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::expects_more), "phase 0 lacks 0 of 1 arrivals and 16 announced bytes");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::expects_less), "16 bytes more than expect_tx announced");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::no_fence), "no mbarrier_init_fence since mbarrier_init");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::no_init), "the mbarrier was not initialised");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::misplaced), "tma_load");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::outside), "reach outside of the shared array");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::one_too_many), "more arrivals in this phase than the 1 of mbarrier_init");
  EXPECT_FAULT(loaded<2>(order, t, 0, 0, 0, Broken::never_waits), "the block ended while its copy was under way");
  EXPECT_FAULT(loaded<3>(order, t, 0, 0, 0), "3 coordinates for x, which has rank 2");
  for (const Broken b : {Broken::wrong_parity, Broken::no_wait})
    for (const LaneOrder o : kOrders)
      EXPECT_EQ(loaded<2>(o, t, 0, 0, 0, b), std::vector<unsigned char>(2048, 0xff)) << "read before it is there: NaN";
}

// A ring: lane 0 of warp 0 loads rows of `in` [rounds, 64], warps 1 and 2 add them up. Broken::wrong_parity: stages are filled again before
// they are free.
__global__ void ring(const __grid_constant__ TensorMap map, int rounds, Broken broken, float* out) {
  GRAFT_DYNAMIC_SHARED(float, stages);  // [3, 64]
  GRAFT_SHARED(Mbarrier, full, [3]);
  GRAFT_SHARED(Mbarrier, free, [3]);
  if (threadIdx.x == 0) {
    for (int s = 0; s < 3; ++s) mbarrier_init(&full[s], 1), mbarrier_init(&free[s], 64);
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    if (elect_one())
      for (int r = 0; r < rounds; ++r) {
        const unsigned turn = static_cast<unsigned>(r / 3 % 2);
        mbarrier_wait(&free[r % 3], broken == Broken::wrong_parity ? turn : turn ^ 1);
        mbarrier_arrive_expect_tx(&full[r % 3], 256);
        tma_load(map, stages + r % 3 * 64, &full[r % 3], 0, r);
      }
    return;
  }
  float sum = 0;
  for (int r = 0; r < rounds; ++r) {
    mbarrier_wait(&full[r % 3], static_cast<unsigned>(r / 3 % 2));
    sum += stages[r % 3 * 64 + static_cast<int>(threadIdx.x) - 32];
    mbarrier_arrive(&free[r % 3]);
  }
  out[threadIdx.x - 32] = sum;
}
TEST(Mbarrier, CarriesARingThroughItsPhases) {
  Matrix<float> in(14, 64, 64);
  std::vector<float> want(64);
  for (std::int64_t r = 0; r < 14; ++r)
    for (std::int64_t c = 0; c < 64; ++c) want[at(c)] += value(r, c);
  const TensorMap map = tensor_map(in.tile(64, 1, Swizzle::none));
  for (const LaneOrder o : kOrders) {
    std::vector<float> out(64);
    run(o, ring, 96, 3 * 256, map, 14, Broken::nothing, out.data());
    EXPECT_EQ(out, want);
  }
  std::vector<float> out(64);
  EXPECT_FAULT(run(order, ring, 96, 3 * 256, map, 14, Broken::wrong_parity, out.data()),
               "mbarrier_wait (phase 0 lacks 64 of 64 arrivals and 0 announced bytes)");
}

// Shared memory to global: [16, 32] floats that the threads write, each piece where the swizzle wants it.
enum class Lost { nothing, fence, wait, early_reuse };
__global__ void store_box(const __grid_constant__ TensorMap map, int x, int y, Lost lost) {
  GRAFT_DYNAMIC_SHARED(float, tile);
  for (unsigned i = threadIdx.x; i < 16 * 32; i += 32) tile[swizzled(i * 4, Swizzle::b128) / 4] = static_cast<float>(i);
  if (lost != Lost::fence) fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(map, tile, x, y);
    tma_store_commit();
    if (lost == Lost::early_reuse) tile[0] = 7, fence_proxy_async();
    if (lost != Lost::wait) tma_store_wait_read<0>();
    tma_store_wait<0>();
  }
}
TEST(TmaStore, WritesWhatIsInside) {
  for (const LaneOrder o : kOrders) {
    Matrix<float> m(20, 40, 48);
    run(o, store_box, 32, 2048, tensor_map(m.tile(32, 16, Swizzle::b128)), 20, 10, Lost::nothing);
    for (int i = 0; i < 20; ++i)
      for (int j = 0; j < 48; ++j)
        ASSERT_EQ(m.data[i * 48 + j], j >= 40              ? 99
                                      : i >= 10 && j >= 20 ? static_cast<float>((i - 10) * 32 + j - 20)
                                                           : value(i, j))
            << i << "," << j;
  }
}
__global__ void store_and_leave(const __grid_constant__ TensorMap map) {
  GRAFT_DYNAMIC_SHARED(float, tile);
  tma_store(map, tile, 0, 0);
  tma_store_commit();
}
TEST(TmaStore, BrokenOnesAreCaught) {
  Matrix<float> m(16, 32, 32);
  const TensorMap map = tensor_map(m.tile(32, 16, Swizzle::b128));
  EXPECT_FAULT(run(order, store_box, 32, 2048, map, 0, 0, Lost::early_reuse), "its shared memory was overwritten before this wait");
  EXPECT_FAULT(run(order, store_and_leave, 1, 2048, map), "the block ended before tma_store_wait");
  for (const LaneOrder o : kOrders) {
    run(o, store_box, 32, 2048, map, 0, 0, Lost::fence);
    for (int i = 0; i < 16 * 32; ++i) ASSERT_TRUE(std::isnan(m.data[i])) << "TMA does not see ordinary writes without a fence";
  }
}

// ---- wgmma ----
enum class Fault {
  nothing,
  no_fence,
  no_wait,
  no_load_wait,
  touched,
  overwritten,
  other_swizzle,
  outside,
  half_a_group,
  apart,
  no_proxy_fence
};
// One product [64, 64] x [64, N] of tiles that TMA brings; a: the memory of A, [64, 64] or its transpose when AMn, b the same. W: elements
// of a span.
template <class T, int N, bool AMn, bool BMn, Swizzle S>
__global__ void product(const __grid_constant__ TensorMap ma, const __grid_constant__ TensorMap mb, Fault broken, float* out) {
  constexpr int W = 8 * static_cast<int>(swizzle_pieces(S)), kBytesA = 64 * 64 * 2, kBytesB = 64 * N * 2;
  GRAFT_DYNAMIC_SHARED(unsigned char, shared);
  GRAFT_SHARED(Mbarrier, barrier, [1]);
  unsigned char *const a = shared, *const b = shared + kBytesA;
  const int lane = static_cast<int>(threadIdx.x);
  if (lane == 0) {
    mbarrier_init(barrier, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect_tx(barrier, kBytesA + kBytesB);
    for (int i = 0; i < 64 / W; ++i) tma_load(ma, a + i * 64 * W * 2, barrier, i * W, 0);
    for (int i = 0; i < (BMn ? N : 64) / W; ++i) tma_load(mb, b + i * (BMn ? 64 : N) * W * 2, barrier, i * W, 0);
  }
  __syncthreads();
  if (broken == Fault::no_proxy_fence) {  // the same bytes, by ordinary writes
    mbarrier_wait(barrier, 0);
    __syncthreads();
    for (int i = lane; i < 64 * 64; i += 128) reinterpret_cast<T*>(a)[i] = T(1.0f);
    __syncthreads();
  }
  if (broken != Fault::no_load_wait) mbarrier_wait(barrier, 0);
  if (broken == Fault::half_a_group && lane >= 64) return;
  float d[N / 2];
  for (float& v : d) v = 1000;
  if (broken != Fault::no_fence) wgmma_fence();
  for (int k = 0; k < 64; k += 16) {
    const auto descriptor = [&](unsigned char* p, int lines, bool mn, Swizzle said) {
      const unsigned box = static_cast<unsigned>((mn ? 64 : lines) * W * 2), eight = 8 * W * 2;
      const auto at_k = static_cast<unsigned>(k);
      if (mn)
        return wgmma_advanced(wgmma_descriptor(p, said, S == Swizzle::none ? eight : box, S == Swizzle::none ? box : eight), at_k * W * 2);
      return wgmma_advanced(wgmma_descriptor(p, said, S == Swizzle::none ? box : 0, eight), at_k / W * box + at_k % W * 2);
    };
    std::uint64_t da = descriptor(a, 64, AMn, broken == Fault::other_swizzle ? Swizzle::b64 : S);
    if (broken == Fault::outside) da = wgmma_advanced(da, 1 << 17);
    if (broken == Fault::apart && lane == 77) da += 1;
    wgmma_m64k16<T, N, AMn, BMn>(d, da, descriptor(b, N, BMn, S), k > 0);
    if (broken == Fault::touched && k == 16) d[3] *= 2;
  }
  wgmma_commit();
  if (broken == Fault::overwritten && lane == 0) {
    mbarrier_arrive_expect_tx(barrier, 64 * W * 2);
    tma_load(ma, a, barrier, 0, 0);
  }
  if (broken != Fault::no_wait) wgmma_wait_all(d);
  for (int i = 0; i < N / 2; ++i) out[(lane / 32 * 16 + lane % 32 / 4 + i / 2 % 2 * 8) * N + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
  if (broken == Fault::no_wait) wgmma_wait_all(d);
  if (broken == Fault::no_load_wait || broken == Fault::overwritten) mbarrier_wait(barrier, broken == Fault::overwritten);
}
template <class T, int N, bool AMn, bool BMn, Swizzle S>
struct Wgmma {
  static constexpr int W = 8 * static_cast<int>(swizzle_pieces(S));
  Matrix<T> a{64, 64, 64}, b{BMn ? 64 : N, BMn ? N : 64, BMn ? N : 64};
  float want(int i, int j) const {
    float s = 0;
    for (int k = 0; k < 64; ++k) s += (AMn ? value(k, i) : value(i, k)) * (BMn ? value(k, j) : value(j, k));
    return s;
  }
  std::vector<float> got(LaneOrder order, Fault broken = Fault::nothing) {
    std::vector<float> out(64 * N, NAN);
    const TensorMap ma = tensor_map(a.tile(W, 64, S)), mb = tensor_map(b.tile(W, BMn ? 64 : N, S));
    run(order, product<T, N, AMn, BMn, S>, 128, at(64 * 64 * 2 + 64 * N * 2), ma, mb, broken, out.data());
    return out;
  }
  int wrong(const std::vector<float>& out) const {
    int n = 0;
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < N; ++j) n += !(out[at(i * N + j)] == want(i, j));
    return n;
  }
};
template <class T, int N, Swizzle S>
void all_orders() {
  EXPECT_EQ((Wgmma<T, N, false, false, S>{}.wrong(Wgmma<T, N, false, false, S>{}.got(LaneOrder::up))), 0);
  EXPECT_EQ((Wgmma<T, N, false, true, S>{}.wrong(Wgmma<T, N, false, true, S>{}.got(LaneOrder::down))), 0);
  EXPECT_EQ((Wgmma<T, N, true, false, S>{}.wrong(Wgmma<T, N, true, false, S>{}.got(LaneOrder::seeded))), 0);
  EXPECT_EQ((Wgmma<T, N, true, true, S>{}.wrong(Wgmma<T, N, true, true, S>{}.got(LaneOrder::seeded))), 0);
}
TEST(Wgmma, IsTheProductInAllOrdersAndSwizzles) {
  all_orders<bf16, 64, Swizzle::b128>();
  all_orders<f16, 128, Swizzle::b128>();
  all_orders<bf16, 256, Swizzle::b128>();
  all_orders<f16, 64, Swizzle::b64>();
  all_orders<bf16, 128, Swizzle::b32>();
  all_orders<f16, 64, Swizzle::none>();
}
TEST(Wgmma, BrokenOnesAreCaught) {
  Wgmma<bf16, 64, false, true, Swizzle::b128> w;
  EXPECT_FAULT(w.got(order, Fault::no_fence), "no wgmma_fence since its registers could be touched");
  EXPECT_FAULT(w.got(order, Fault::touched), "an accumulator was written while products into it were under way");
  EXPECT_FAULT(w.got(order, Fault::overwritten), "an operand in shared memory was overwritten before wgmma_wait");
  EXPECT_FAULT(w.got(order, Fault::outside), "wgmma: operand");
  EXPECT_FAULT(w.got(order, Fault::apart), "lanes of the warp group bring different operands");
  EXPECT_FAULT(w.got(order, Fault::half_a_group), "in wgmma_fence");
  for (const LaneOrder o : kOrders) {
    for (const Fault f : {Fault::no_wait, Fault::no_load_wait})
      for (const float v : w.got(o, f)) ASSERT_TRUE(std::isnan(v)) << "too early";
    EXPECT_GT(w.wrong(w.got(o, Fault::other_swizzle)), 64 * 32) << "tiles lie in another order than the descriptor says";
    EXPECT_EQ(w.wrong(w.got(o, Fault::no_proxy_fence)), 0)
        << "wgmma does not see ordinary writes without a fence: the product is that of the old bytes";
  }
}
// Two accumulators, the older group waited for while the younger is under way.
__global__ void two_groups(float* out) {
  GRAFT_DYNAMIC_SHARED(bf16, shared);  // A: [64, 16], B: [16, 64], both dense along k, no swizzle
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 2 * 64 * 16; i += 128) shared[i] = bf16(i < 64 * 16 ? 1.0f : 2.0f);
  fence_proxy_async();
  __syncthreads();
  const std::uint64_t a = wgmma_descriptor(shared, Swizzle::none, 1024, 128),
                      b = wgmma_descriptor(shared + 64 * 16, Swizzle::none, 1024, 128);
  float x[32], y[32];
  for (float& v : y) v = 5;
  wgmma_fence();
  wgmma_m64k16<bf16, 64, false, false>(x, a, b, false);
  wgmma_commit();
  wgmma_m64k16<bf16, 64, false, false>(y, a, b, true);
  wgmma_commit();
  wgmma_wait<1>();
  out[lane * 2] = x[31];
  const bool early = std::isnan(y[31]);
  wgmma_wait<0>();
  out[lane * 2 + 1] = early ? y[31] : -1;
}
TEST(Wgmma, GroupsEndInTheirOrder) {
  for (const LaneOrder o : kOrders) {
    std::vector<float> out(256);
    run(o, two_groups, 128, 2 * 64 * 16 * 2, out.data());
    for (std::size_t i = 0; i < 128; ++i) ASSERT_TRUE(out[i * 2] == 32 && out[i * 2 + 1] == 37) << out[i * 2] << " " << out[i * 2 + 1];
  }
}

// ---- registers, roles ----
template <int Give, int Take>
__global__ void budget(int* out) {
  if (threadIdx.x < 128) give_registers<Give>();
  else take_registers<Take>();
  out[threadIdx.x] = 1;
}
TEST(Registers, AreHandedOverWithinTheBlock) {
  for (const LaneOrder o : kOrders) {
    std::vector<int> out(384);
    run(o, budget<40, 232>, 384, 0, out.data());
    EXPECT_EQ(out, std::vector<int>(384, 1));
  }
  std::vector<int> out(384);
  EXPECT_FAULT(run(order, budget<40, 240>, 384, 0, out.data()), "in take_registers (the block's registers are given out)");
  EXPECT_FAULT(run(order, budget<20, 232>, 384, 0, out.data()), "wants a multiple of 8 from 24 to 256");
  EXPECT_FAULT(run(order, budget<40, 160>, 384, 0, out.data()), "from 168 to 160 is the other direction");
}
__global__ void elected(int* out) { out[threadIdx.x] = elect_one(); }
TEST(ElectOne, ChoosesOneLaneOfAWarp) {
  std::vector<int> out(64);
  run(LaneOrder::seeded, elected, 64, 0, out.data());
  int first = 0, second = 0;
  for (std::size_t i = 0; i < 32; ++i) first += out[i], second += out[32 + i];
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
}
// Two groups of 64 threads, each with a barrier of its own.
__global__ void halves(float* out) {
  GRAFT_SHARED(float, s, [128]);
  const unsigned half = threadIdx.x / 64;
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  sync_some(1 + static_cast<int>(half), 64);
  out[threadIdx.x] = s[half * 64 + 63 - threadIdx.x % 64];
}
TEST(SyncSome, IsABarrierOfTheThreadsThatNameIt) {
  for (const LaneOrder o : kOrders) {
    std::vector<float> out(128);
    run(o, halves, 128, 0, out.data());
    for (std::size_t i = 0; i < 128; ++i) ASSERT_EQ(out[i], static_cast<float>(i / 64 * 64 + 63 - i % 64));
  }
}

}  // namespace
}  // namespace graft::emu
