// prims.h: every primitive against plain loops, with another value in every position, and kernels that must be caught. Bit for bit: the
// values are small integers.
#include "kernels/simt/prims.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace graft::emu {
namespace {

constexpr LaneOrder kOrders[] = {LaneOrder::up, LaneOrder::down, LaneOrder::seeded};

template <class K, class... A>
void run(LaneOrder order, K kernel, unsigned threads, std::size_t bytes, A... args) {
  static Queue q(1, {DeviceKind::emu, 0});
  q.set_lane_order(order);
  launch(q, kernel, 1, threads, bytes, args...);
}
std::size_t at(int i) { return static_cast<std::size_t>(i); }
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "nothing was thrown";
}
// A different small integer for each (i, j) below 16 x 16, exact in bf16, f16 and tf32.
float value(int i, int j) { return static_cast<float>((i * 16 + j) * 37 % 256 - 128); }

// ---- mma ----
// a: [16, 16], b: [16, 8], c, d: [16, 8], row-major; the fragments are loaded by the map that prims.h documents
template <class T>
__global__ void one_mma(const T* a, const T* b, const float* c, float* d) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](T low, T high) { return low.bits | static_cast<unsigned>(high.bits) << 16; };
  const auto of_a = [&](int i, int k) { return pair(a[i * 16 + k], a[i * 16 + k + 1]); };
  const auto of_b = [&](int k, int j) { return pair(b[k * 8 + j], b[(k + 1) * 8 + j]); };
  const unsigned fa[4] = {of_a(g, 2 * t), of_a(g + 8, 2 * t), of_a(g, 2 * t + 8), of_a(g + 8, 2 * t + 8)};
  const unsigned fb[2] = {of_b(2 * t, g), of_b(2 * t + 8, g)};
  float fc[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t], c[(g + 8) * 8 + 2 * t + 1]};
  mma_m16n8k16<T>(fc, fa, fb, fc);
  d[g * 8 + 2 * t] = fc[0], d[g * 8 + 2 * t + 1] = fc[1], d[(g + 8) * 8 + 2 * t] = fc[2], d[(g + 8) * 8 + 2 * t + 1] = fc[3];
}
template <class T>
class HalfMma : public ::testing::Test {};
using Halves = ::testing::Types<bf16, f16>;
TYPED_TEST_SUITE(HalfMma, Halves);
TYPED_TEST(HalfMma, IsTheProductOfTheMatrices) {
  std::vector<TypeParam> a(256), b(128);
  std::vector<float> c(128), want(128);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) a[at(i * 16 + j)] = value(i, j);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) b[at(i * 8 + j)] = value(j, i) + 3, c[at(i * 8 + j)] = static_cast<float>(1000 * i + j);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float s = c[at(i * 8 + j)];
      for (int k = 0; k < 16; ++k) s += static_cast<float>(a[at(i * 16 + k)]) * static_cast<float>(b[at(k * 8 + j)]);
      want[at(i * 8 + j)] = s;
    }
  for (const LaneOrder o : kOrders) {
    std::vector<float> d(128, NAN);
    run(o, one_mma<TypeParam>, 32, 0, a.data(), b.data(), c.data(), d.data());
    EXPECT_EQ(d, want);
  }
}

// a: [16, 8], b: [8, 8], c, d: [16, 8]
__global__ void one_tf32(const float* a, const float* b, const float* c, float* d) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const unsigned fa[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]), to_tf32(a[(g + 8) * 8 + t + 4])};
  const unsigned fb[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  const float fc[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t], c[(g + 8) * 8 + 2 * t + 1]};
  float fd[4];
  mma_m16n8k8_tf32(fd, fa, fb, fc);
  d[g * 8 + 2 * t] = fd[0], d[g * 8 + 2 * t + 1] = fd[1], d[(g + 8) * 8 + 2 * t] = fd[2], d[(g + 8) * 8 + 2 * t + 1] = fd[3];
}
TEST(Tf32Mma, IsTheProductOfTheMatrices) {
  std::vector<float> a(128), b(64), c(128), want(128);
  for (int i = 0; i < 128; ++i) a[at(i)] = value(i / 8, i % 8), c[at(i)] = static_cast<float>(1000 * i);
  for (int i = 0; i < 64; ++i) b[at(i)] = value(i / 8, i % 8 + 8);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float s = c[at(i * 8 + j)];
      for (int k = 0; k < 8; ++k) s += a[at(i * 8 + k)] * b[at(k * 8 + j)];
      want[at(i * 8 + j)] = s;
    }
  for (const LaneOrder o : kOrders) {
    std::vector<float> d(128, NAN);
    run(o, one_tf32, 32, 0, a.data(), b.data(), c.data(), d.data());
    EXPECT_EQ(d, want);
  }
}
TEST(Tf32Mma, OperandsHaveTenBits) {
  EXPECT_EQ(to_tf32(1.0f), __float_as_uint(1.0f));
  EXPECT_EQ(to_tf32(1.0f + 0x1p-11f), __float_as_uint(1.0f + 0x1p-10f)) << "a tie goes away from zero";
  EXPECT_EQ(to_tf32(-1.0f - 0x1p-11f), __float_as_uint(-1.0f - 0x1p-10f));
  EXPECT_EQ(to_tf32(1.0f + 0x1p-12f), __float_as_uint(1.0f));
  EXPECT_EQ(to_tf32(INFINITY), __float_as_uint(INFINITY));
  EXPECT_TRUE(std::isnan(__uint_as_float(to_tf32(NAN))));
}

// ---- ldmatrix ----
enum class Load { x4, x4_trans, x2, x2_trans };
// source: 4 matrices [8, 8], one after the other; out: [32, 4]
__global__ void load(const std::uint16_t* source, unsigned* out, Load how) {
  GRAFT_SHARED(std::uint16_t, s, [4 * 64]);
  for (unsigned i = threadIdx.x; i < 256; i += 32) s[i] = source[i];
  __syncthreads();
  const std::uint16_t* row = s + threadIdx.x * 8;
  unsigned r[4] = {7, 7, 7, 7}, p[2] = {7, 7};
  if (how == Load::x4) ldmatrix_x4(r, row);
  else if (how == Load::x4_trans) ldmatrix_x4_trans(r, row);
  else if (how == Load::x2)
    ldmatrix_x2(p, threadIdx.x < 16 ? row : nullptr), r[0] = p[0], r[1] = p[1];  // the upper lanes' addresses do not count
  else ldmatrix_x2_trans(p, threadIdx.x < 16 ? row : nullptr), r[0] = p[0], r[1] = p[1];
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + static_cast<unsigned>(i)] = r[i];
}
TEST(Ldmatrix, GivesEveryLaneItsElements) {
  std::vector<std::uint16_t> source(256);
  for (std::size_t i = 0; i < 256; ++i) source[i] = static_cast<std::uint16_t>(1000 + i);
  for (const Load how : {Load::x4, Load::x4_trans, Load::x2, Load::x2_trans})
    for (const LaneOrder o : kOrders) {
      std::vector<unsigned> out(128);
      run(o, load, 32, 0, source.data(), out.data(), how);
      const bool trans = how == Load::x4_trans || how == Load::x2_trans;
      for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned i = 0; i < 4; ++i) {
          const unsigned g = lane / 4, t = lane % 4, step = trans ? 8 : 1, first = trans ? 2 * t * 8 + g : g * 8 + 2 * t;
          const bool unloaded = i >= 2 && (how == Load::x2 || how == Load::x2_trans);
          const unsigned want = unloaded ? 7u : source[i * 64 + first] | static_cast<unsigned>(source[i * 64 + first + step]) << 16;
          ASSERT_EQ(out[lane * 4 + i], want) << "lane " << lane << " register " << i;
        }
    }
}
__global__ void load_from(int what) {
  GRAFT_SHARED(std::uint16_t, s, [64 * 4]);
  std::uint16_t elsewhere[8] = {};
  unsigned r[4];
  const std::uint16_t* row = s + threadIdx.x * 8;
  if (threadIdx.x == 9) row = what == 0 ? row + 4 : what == 1 ? elsewhere : s + 64 * 4;
  ldmatrix_x4(r, row);
}
TEST(Ldmatrix, RefusesAddressesThatTheHardwareRefuses) {
  EXPECT_NE(error_of([] { run(LaneOrder::up, load_from, 32, 0, 0); }).find("ldmatrix_x4: the shared address is not a multiple of 16"),
            std::string::npos);
  EXPECT_NE(error_of([] { run(LaneOrder::up, load_from, 32, 0, 1); }).find("ldmatrix_x4: the address is not in shared memory"),
            std::string::npos);
  EXPECT_NE(error_of([] { run(LaneOrder::up, load_from, 32, 0, 2); }).find("ldmatrix_x4: 16 bytes reach outside"), std::string::npos);
}
__global__ void part_of_a_warp() {
  GRAFT_SHARED(std::uint16_t, s, [64 * 4]);
  unsigned r[4];
  if (threadIdx.x < 16) return;
  ldmatrix_x4(r, s + threadIdx.x * 8);
}
TEST(Ldmatrix, WantsTheWholeWarp) {
  for (const LaneOrder o : kOrders)
    EXPECT_NE(error_of([&] { run(o, part_of_a_warp, 32, 0); }).find("which has returned"), std::string::npos);
}

// Registers of mma as ldmatrix fills them: a [16, 16] row-major, b [16, 8] row-major (trans) or its columns one after the other (plain).
template <bool Trans>
__global__ void product_by_ldmatrix(const f16* a, const f16* b, float* d) {
  GRAFT_SHARED(f16, sa, [16 * 16]);
  GRAFT_SHARED(f16, sb, [16 * 8]);
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) sa[i] = a[i];
  for (unsigned i = lane; i < 128; i += 32) sb[Trans ? i : i % 8 * 16 + i / 8] = b[i];
  __syncwarp();
  unsigned fa[4], fb[2];
  ldmatrix_x4(fa, sa + lane % 16 * 16 + lane / 16 * 8);
  if (Trans) ldmatrix_x2_trans(fb, sb + lane % 16 * 8);
  else ldmatrix_x2(fb, sb + lane % 8 * 16 + lane / 8 % 2 * 8);
  float c[4] = {};
  mma_m16n8k16<f16>(c, fa, fb, c);
  for (unsigned i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
}
TEST(Ldmatrix, FillsTheFragmentsOfMma) {
  std::vector<f16> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[at(i)] = value(i / 16, i % 16);
  for (int i = 0; i < 128; ++i) b[at(i)] = value(i % 8, i / 8);
  for (const bool trans : {false, true}) {
    std::vector<float> d(128, NAN);
    run(LaneOrder::seeded, trans ? product_by_ldmatrix<true> : product_by_ldmatrix<false>, 32, 0, a.data(), b.data(), d.data());
    for (std::size_t i = 0; i < 16; ++i)
      for (std::size_t j = 0; j < 8; ++j) {
        float s = 0;
        for (std::size_t k = 0; k < 16; ++k) s += static_cast<float>(a[i * 16 + k]) * static_cast<float>(b[k * 8 + j]);
        ASSERT_EQ(d[i * 8 + j], s) << i << "," << j;
      }
  }
}

// ---- cp.async ----
// in: [rounds, threads, 4], summed element by element through two buffers of shared memory. `spare`: how many groups may still be under way
// at the use.
template <int Spare>
__global__ void pipeline(const float* in, float* out, int rounds) {
  GRAFT_SHARED(float4, s, [2][64]);
  const auto issue = [&](int r) {
    if (r < rounds) cp_async_16(&s[r % 2][threadIdx.x], in + (r * 64 + static_cast<int>(threadIdx.x)) * 4);
    cp_async_commit();
  };
  float sum = 0;
  issue(0);
  for (int r = 0; r < rounds; ++r) {
    issue(r + 1);
    cp_async_wait<Spare>();
    __syncthreads();
    const float4 v = s[r % 2][63 - threadIdx.x];
    sum += v.x + v.y + v.z + v.w;
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}
TEST(CpAsync, ArrivesAtTheWait) {
  std::vector<float> in(5 * 64 * 4), want(64);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i), want[63 - i / 4 % 64] += in[i];
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(in.data()) % 16, 0u);
  for (const LaneOrder o : kOrders) {
    std::vector<float> out(64);
    run(o, pipeline<1>, 64, 0, in.data(), out.data(), 5);
    EXPECT_EQ(out, want);
  }
}
TEST(CpAsync, AMissingWaitIsSeen) {
  std::vector<float> in(5 * 64 * 4, 1.0f);
  for (const LaneOrder o : kOrders) {
    std::vector<float> out(64);
    run(o, pipeline<2>, 64, 0, in.data(), out.data(), 5);  // one group too few is waited for
    for (float v : out) EXPECT_TRUE(std::isnan(v));
  }
}
__global__ void no_commit(const float* in, float* out) {
  GRAFT_SHARED(float4, s, [32]);
  cp_async_16(&s[threadIdx.x], in + threadIdx.x * 4);
  cp_async_wait<0>();
  out[threadIdx.x] = s[threadIdx.x].x;
}
TEST(CpAsync, AMissingCommitIsSeen) {
  std::vector<float> in(128, 1.0f), out(32);
  run(LaneOrder::up, no_commit, 32, 0, in.data(), out.data());
  for (float v : out) EXPECT_TRUE(std::isnan(v));
}
// The next copy starts before everybody has read what it overwrites.
__global__ void too_early(const float* in, float* out) {
  GRAFT_SHARED(float4, s, [32]);
  s[threadIdx.x] = make_float4(1, 1, 1, 1);
  __syncthreads();
  cp_async_16(&s[threadIdx.x], in + threadIdx.x * 4);
  cp_async_commit();
  out[threadIdx.x] = s[31 - threadIdx.x].x;
  __syncthreads();
  cp_async_wait<0>();
}
TEST(CpAsync, ReadingWhatACopyIsAboutToOverwriteIsSeen) {
  std::vector<float> in(128, 2.0f), out(32);
  run(LaneOrder::up, too_early, 32, 0, in.data(), out.data());
  EXPECT_EQ(out[0], 1.0f) << "lane 31 has not come yet";
  EXPECT_TRUE(std::isnan(out[31]));
}
__global__ void fill(const char* in, char* out) {
  GRAFT_SHARED(uint4, s, [17]);
  cp_async_16(&s[threadIdx.x], in, static_cast<int>(threadIdx.x));
  cp_async_commit();
  cp_async_wait<0>();
  std::memcpy(out + threadIdx.x * 16, &s[threadIdx.x], 16);
}
TEST(CpAsync, WhatIsNotValidIsZero) {
  alignas(16) char in[16];
  for (int i = 0; i < 16; ++i) in[i] = static_cast<char>(i + 1);
  std::vector<char> out(17 * 16, 99);
  run(LaneOrder::up, fill, 17, 0, static_cast<const char*>(in), out.data());
  for (int valid = 0; valid <= 16; ++valid)
    for (int i = 0; i < 16; ++i) ASSERT_EQ(out[at(valid * 16 + i)], i < valid ? i + 1 : 0) << valid << " valid";
}
__global__ void copy_wrong(const char* in, int what) {
  GRAFT_SHARED(uint4, s, [1]);
  auto* to = reinterpret_cast<char*>(s);
  cp_async_16(what == 0 ? to + 4 : what == 3 ? to + 16 : to, what == 1 ? in + 4 : in, what == 2 ? 17 : 16);
}
TEST(CpAsync, RefusesWhatTheHardwareRefuses) {
  alignas(16) static char in[32] = {};
  const char* const words[] = {"reach outside of the shared array", "the global address is not a multiple of 16", "17 valid bytes",
                               "reach outside of the shared array"};
  for (int what = 0; what < 4; ++what) {
    const std::string e = error_of([&] { run(LaneOrder::up, copy_wrong, 1, 0, static_cast<const char*>(in), what); });
    EXPECT_NE(e.find(words[what]), std::string::npos) << e;
  }
}
// Nothing of an earlier block is left in a lane's queue.
__global__ void forgets(const float* in) {
  GRAFT_SHARED(float4, s, [32]);
  cp_async_16(&s[threadIdx.x], in);
  cp_async_commit();
}
TEST(CpAsync, WhatNobodyWaitsForEndsWithTheBlock) {
  std::vector<float> in(5 * 64 * 4, 1.0f), out(64);
  {
    std::vector<float> gone(4, 1.0f);
    run(LaneOrder::up, forgets, 32, 0, gone.data());
  }
  run(LaneOrder::up, pipeline<1>, 64, 0, in.data(), out.data(), 5);
  EXPECT_EQ(out, std::vector<float>(64, 20.0f));
}

}  // namespace
}  // namespace graft::emu
