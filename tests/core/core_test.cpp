// The foundations: number formats, the pool, selection, and the harness itself, which must catch kernels that are wrong.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/core/dtype.h"
#include "kernels/core/spec.h"

namespace graft {
namespace {

TEST(DType, HalfConversionsRoundTripEveryBitPattern) {
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    f16 h;
    h.bits = static_cast<std::uint16_t>(b);
    const float f = h;
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(f16(f))));
      continue;
    }
    ASSERT_EQ(f16(f).bits, h.bits) << b;
    bf16 g;
    g.bits = static_cast<std::uint16_t>(b);
    if (std::isnan(static_cast<float>(g))) continue;
    ASSERT_EQ(bf16(static_cast<float>(g)).bits, g.bits) << b;
  }
}

TEST(DType, HalfConversionsRoundToNearestEven) {
  EXPECT_EQ(f16(1.0f + 0x1p-11f).bits, f16(1.0f).bits);                // tie goes to even
  EXPECT_EQ(f16(1.0f + 3 * 0x1p-11f).bits, f16(1.0f + 0x1p-9f).bits);  // tie goes up to even
  EXPECT_EQ(f16(65519.0f).bits, f16(65504.0f).bits);
  EXPECT_TRUE(std::isinf(static_cast<float>(f16(65520.0f))));
  EXPECT_EQ(static_cast<float>(f16(0x1p-24f)), 0x1p-24f);
  EXPECT_EQ(static_cast<float>(f16(0x1p-25f)), 0.0f);
  EXPECT_EQ(static_cast<float>(f16(-0x1.8p-25f)), -0x1p-24f);
  EXPECT_EQ(bf16(1.0f + 0x1p-8f).bits, bf16(1.0f).bits);
  EXPECT_EQ(bf16(1.0f + 3 * 0x1p-8f).bits, bf16(1.0f + 0x1p-6f).bits);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(NAN))));
}

TEST(ThreadPool, RunsEveryTaskOnceForAnyNumberOfThreads) {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (std::int64_t n : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
      for (int repeat = 0; repeat < 50; ++repeat)
        pool.run(n, [&](std::int64_t t, int w) {
          ASSERT_LT(w, threads);
          ++hits[static_cast<std::size_t>(t)];
        });
      for (auto& h : hits) EXPECT_EQ(h.load(), 50);
    }
  }
}

TEST(ThreadPool, NestedCallsRunInlineAndTheFirstErrorArrives) {
  ThreadPool pool(3);
  std::atomic<int> inner{0};
  pool.run(8, [&](std::int64_t, int w) {
    pool.run(4, [&](std::int64_t, int v) {
      EXPECT_EQ(v, w);
      ++inner;
    });
  });
  EXPECT_EQ(inner.load(), 32);
  try {
    pool.run(100, [&](std::int64_t t, int) {
      if (t >= 40) throw Error(Code::bug, std::to_string(t));
    });
    FAIL() << "nothing thrown";
  } catch (const Error& e) { EXPECT_STREQ(e.what(), "40"); }
  std::atomic<int> after{0};
  pool.run(10, [&](std::int64_t, int) { ++after; });
  EXPECT_EQ(after.load(), 10);
}

// ---- a toy family: y = x + x[0], with rows that are wrong in the ways that kernels are wrong ----
struct ToyArgs {
  View x, y;
};
template <int Kind>
void toy(Queue&, const ToyArgs& a) {
  const std::int64_t n = a.x.shape[0], sx = a.x.stride[0], sy = a.y.stride[0];
  if (n == 0 && Kind != 5) return;
  visit_float(a.x.dtype, [&]<class T>() {
    const T* x = a.x.as<T>();
    T* y = a.y.as<T>();
    for (std::int64_t i = 0; i < n; ++i) y[i * sy] = T(static_cast<Accum<T>>(x[i * sx]) + static_cast<Accum<T>>(x[0]));
    if (Kind == 1 && n > 2) y[(n - 1) * sy] = T(static_cast<Accum<T>>(y[(n - 1) * sy]) * Accum<T>(1.01));  // wrong value at the end
    if (Kind == 2) y[n * sy] = T(Accum<T>(0));                                                             // one past the end
    if (Kind == 3) const_cast<T*>(x)[0] = T(Accum<T>(0));                                                  // writes its input
    if (Kind == 4 && n > 1) y[sy] = T(Accum<T>(NAN));                                                      // NaN instead of a number
    if (Kind == 6 && n > 1) std::memcpy(&y[sy], "\xff\xff\xff\xff\xff\xff\xff\xff", sizeof(T));            // "forgot" to write
  });
  if (Kind == 5 && n == 0) a.y.as<unsigned char>()[0] = 1;  // touches a tensor of size zero
}
Verdict only_long(const ToyArgs& a) { return a.x.shape[0] > 1000000 ? yes() : no("wants more than 1000000 elements"); }

Family<ToyArgs> toy_family() {
  return Family<ToyArgs>(
      "toy",
      {host<ToyArgs>("ref", toy<0>, any<ToyArgs>, 0, ""), host<ToyArgs>("naive", toy<0>, any<ToyArgs>, 1, ""),
       host<ToyArgs>("cpu.wrong", toy<1>, any<ToyArgs>, 2, ""), host<ToyArgs>("cpu.beyond", toy<2>, any<ToyArgs>, 3, ""),
       host<ToyArgs>("cpu.input", toy<3>, any<ToyArgs>, 4, ""), host<ToyArgs>("cpu.nan", toy<4>, any<ToyArgs>, 5, ""),
       host<ToyArgs>("cpu.zero", toy<5>, any<ToyArgs>, 6, ""), host<ToyArgs>("cpu.unwritten", toy<6>, any<ToyArgs>, 7, ""),
       host<ToyArgs>("cpu.never", toy<0>, {"very long", only_long}, 8, ""), host<ToyArgs>("cpu.right", toy<0>, any<ToyArgs>, 9, "")});
}
Spec toy_spec(const Family<ToyArgs>& f) {
  std::vector<Case<ToyArgs>> cases;
  for (std::int64_t n : {0, 1, 2, 5, 37}) {
    Case<ToyArgs> c;
    c.shape = std::to_string(n);
    c.operands = {{.name = "x", .shape = {n}}, {.name = "y", .role = Role::out, .shape = {n}}};
    c.bind = [](const std::vector<View>& v) { return ToyArgs{v[0], v[1]}; };
    c.layouts = {Layout::dense, Layout::misaligned, Layout::stepped};
    cases.push_back(c);
  }
  return make_spec(f, std::move(cases));
}

TEST(Harness, CatchesWrongKernelsAndPassesRightOnes) {
  const auto family = toy_family();
  const Spec spec = toy_spec(family);
  Queue q(1);
  const CheckReport r = check(spec, q, {});
  for (const char* bad : {"cpu.wrong", "cpu.beyond", "cpu.input", "cpu.nan", "cpu.zero", "cpu.unwritten"}) {
    bool caught = false;
    for (const auto& f : r.failures) caught |= f.find("toy=" + std::string(bad) + " ") == 0;
    EXPECT_TRUE(caught) << bad << " went through";
  }
  for (const auto& f : r.failures) {
    EXPECT_EQ(f.find("toy=naive "), std::string::npos) << f;
    EXPECT_EQ(f.find("toy=cpu.right "), std::string::npos) << f;
    EXPECT_NE(f.find("(seed 1)"), std::string::npos) << f;
  }
  EXPECT_EQ(r.ran.count("cpu.never"), 0u);
  EXPECT_GT(r.refused.at("cpu.never"), 0);
  EXPECT_GT(r.ran.at("cpu.right"), 0);
}

// Cases with few outputs are drawn again to learn what the plain loop errs; one that is wrong there would excuse the others.
TEST(Harness, HoldsThePlainLoopToItsBoundInEveryDraw) {
  static int calls;
  calls = 0;
  const auto later_wrong = [](Queue& q, const ToyArgs& a) {
    toy<0>(q, a);
    if (a.x.dtype == DType::f32 && a.x.shape[0] == 1 && ++calls > 1) *a.y.as<float>() *= 1.01f;
  };
  const Family<ToyArgs> family(
      "toy", {host<ToyArgs>("ref", toy<0>, any<ToyArgs>, 0, ""), host<ToyArgs>("naive", later_wrong, any<ToyArgs>, 1, "")});
  const Spec spec = toy_spec(family);
  Queue q(1);
  bool said = false;
  for (const auto& f : check(spec, q, {}).failures)
    said |= f.find("toy=naive 1 f32: 'y': error ") == 0 && f.find(" in 16 draws, ") != f.npos;
  EXPECT_TRUE(said);
}

TEST(Selection, ARowOfAnotherComputeCapabilityIsRefusedWithItsReason) {
  const Family<ToyArgs> family("toy", {},
                               {{"1_future", &toy<0>, &toy<0>, any<ToyArgs>, 1, "", nullptr, false, {9990, true}},
                                {"2_newer", &toy<0>, &toy<0>, any<ToyArgs>, 2, "", nullptr, false, {9991}}});
  const ToyArgs a{};
  EXPECT_TRUE(family.find("emu.1_future")->allowed(a)) << "the emulator has every instruction";
  const Verdict v = family.find("cuda.1_future")->allowed(a);
  EXPECT_FALSE(v);
  EXPECT_EQ(v.reason.find("its instructions are those of compute capability 999.0"), 0u) << v.reason;
  EXPECT_EQ(family.find("cuda.2_newer")->allowed(a).reason.find("it needs compute capability 999.1, "), 0u);
  EXPECT_TRUE(family.variants()[1].executable());
  EXPECT_FALSE(family.variants()[0].executable());
}
TEST(Selection, ARowOfTilesRunsWhereThereIsAmxAndSaysElsewhereWhyNot) {
  const Family<ToyArgs> family("toy", {amx_row<ToyArgs>("cpu.1_tiles", &toy<0>, any<ToyArgs>, 1, "")});
  const Verdict v = family.find("cpu.1_tiles")->allowed({});
  EXPECT_EQ(v.ok, why_no_amx().empty());
  EXPECT_EQ(v.reason, why_no_amx());
  EXPECT_EQ(family.variants()[0].executable(), v.ok);
}
TEST(Selection, HighestRankWinsAndAForcedRowIsNeverReplaced) {
  const auto family = toy_family();
  Queue q(1);
  float x[4] = {1, 2, 3, 4}, y[4];
  const ToyArgs a{dense_view(x, DType::f32, {4}), dense_view(y, DType::f32, {4})};
  EXPECT_EQ(family.select(q, a).name, "cpu.right");
  {
    ForceVariants force("toy=naive");
    EXPECT_EQ(family.select(q, a).name, "naive");
    ForceVariants inner("toy=ref");
    EXPECT_EQ(family.select(q, a).name, "ref");
  }
  EXPECT_EQ(family.select(q, a).name, "cpu.right");
  ForceVariants force("toy=cpu.never");
  try {
    family.run(q, a);
    FAIL() << "a refused variant ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    EXPECT_NE(std::string(e.what()).find("wants more than 1000000 elements"), std::string::npos);
  }
  EXPECT_THROW(ForceVariants("toy"), Error);
  EXPECT_THROW(ForceVariants("=x"), Error);
  ForceVariants unknown("toy=cpu.9_dream");
  EXPECT_THROW(family.run(q, a), Error);
}

TEST(View, DenseAndDescribe) {
  float d[6];
  View v = dense_view(d, DType::f32, {2, 3});
  EXPECT_TRUE(is_dense(v));
  EXPECT_EQ(describe(v), "f32[2,3]");
  std::swap(v.stride[0], v.stride[1]);
  EXPECT_FALSE(is_dense(v));
  EXPECT_EQ(describe(v), "f32[2,3] strides(1,3)");
}

TEST(Queue, ScratchGrowsAndStaysAligned) {
  Queue q(1);
  auto* a = q.scratch(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 64, 0u);
  EXPECT_EQ(q.scratch(50), a);
  q.scratch(1 << 20);
  EXPECT_GE(q.scratch_bytes(), std::size_t{1} << 20);
  q.release_scratch();
  EXPECT_EQ(q.scratch_bytes(), 0u);
  q.scratch(100);
  EXPECT_LT(q.scratch_bytes(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace graft
