// Kernels that are fast by not doing their work. Each takes its turns beside an honest row; it must be caught, for the reason that is its
// trick, and the honest row must not. They are what the laboratory's rules are for.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <thread>

#include "kernels/lab/measure.h"
#include "kernels/lab/report.h"
#include "kernels/matmul/matmul.h"
#include "kernels/softmax/softmax.h"

namespace graft::lab {
namespace {

using SoftmaxRun = void (*)(Queue&, const SoftmaxArgs&);
void honest(Queue& q, const SoftmaxArgs& a) { softmax_family().find("cpu.1_simd")->run(q, a); }

Case<SoftmaxArgs> softmax_case() {
  const std::vector<std::int64_t> shape = {96, 512};
  Case<SoftmaxArgs> c;
  c.shape = "96x512";
  c.operands = {{.name = "x", .shape = shape}, {.name = "y", .role = Role::out, .shape = shape}};
  c.bind = [](const std::vector<View>& v) { return SoftmaxArgs{v[0], v[1], false}; };
  c.flops = 4 * 96 * 512;
  c.bytes_per_item = 2 * 96 * 512;
  c.roundings = 520;
  c.dtypes = {DType::f32};
  c.bench = true;
  return c;
}
float* y_of(const SoftmaxArgs& a) { return a.y.as<float>(); }
const float* x_of(const SoftmaxArgs& a) { return a.x.as<const float>(); }
std::size_t bytes_of(const SoftmaxArgs& a) { return static_cast<std::size_t>(a.y.numel()) * sizeof(float); }

// Both rows in one contest; what became of them.
struct Outcome {
  std::string cheat, honest;
  std::size_t honest_samples = 0;
};
template <class Args>
Outcome contest(const FamilyBase& real, std::vector<Row<Args>> rows, const Case<Args>& work, int threads = 1, bool cold = false) {
  const Family<Args> family(real.name(), std::move(rows));
  const Spec spec = make_spec(family, std::vector{work});
  Queue q(threads);
  Lab lab(q, {.cold = cold, .seconds = 0.01, .noise = 10, .most_rounds = 6});
  Contest both(lab, spec, spec.cases[0], DType::f32, {2, 3}, 2);
  run_contest(both, lab);
  return {both.candidates()[0].caught, both.candidates()[1].caught, both.candidates()[1].samples.size()};
}
Outcome softmax_contest(SoftmaxRun cheat, int threads = 1) {
  const auto& real = softmax_family();
  return contest<SoftmaxArgs>(
      real,
      {*real.find("ref"), *real.find("naive"), host<SoftmaxArgs>("cpu.cheat", cheat, any<SoftmaxArgs>, 90, "cheats"),
       host<SoftmaxArgs>("cpu.honest", honest, any<SoftmaxArgs>, 10, "does its work")},
      softmax_case(), threads);
}
void expect_caught(const Outcome& o, const char* reason) {
  EXPECT_NE(o.cheat.find(reason), std::string::npos) << "caught for: '" << o.cheat << "', expected: " << reason;
  EXPECT_EQ(o.honest, "");
  EXPECT_GE(o.honest_samples, 6u);
}

TEST(Cheats, DoesNothing) {
  expect_caught(softmax_contest([](Queue&, const SoftmaxArgs&) {}), "unwritten");
}
TEST(Cheats, LeavesOneNan) {
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  honest(q, a);
                  y_of(a)[a.y.numel() - 7] = NAN;
                }),
                "nan, wants");
}
TEST(Cheats, ComputesEveryOtherRow) {
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  SoftmaxArgs half = a;
                  half.x.shape[0] /= 2, half.y.shape[0] /= 2;
                  half.x.stride[0] *= 2, half.y.stride[0] *= 2;
                  honest(q, half);
                }),
                "unwritten");
}
TEST(Cheats, CopiesTheRowAbove) {  // every element is written, and every row sums to one
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  SoftmaxArgs half = a;
                  half.x.shape[0] /= 2, half.y.shape[0] /= 2;
                  half.x.stride[0] *= 2, half.y.stride[0] *= 2;
                  honest(q, half);
                  const auto n = static_cast<std::size_t>(a.y.shape[1]);
                  for (std::int64_t r = 1; r < a.y.shape[0]; r += 2)
                    std::memcpy(y_of(a) + r * a.y.stride[0], y_of(a) + (r - 1) * a.y.stride[0], n * sizeof(float));
                }),
                "wants");
}
TEST(Cheats, ReturnsItsFirstAnswerAgain) {
  static std::vector<float> first;
  first.clear();
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  if (first.empty()) {
                    honest(q, a);
                    first.assign(y_of(a), y_of(a) + a.y.numel());
                  }
                  std::memcpy(y_of(a), first.data(), bytes_of(a));
                }),
                "wants");
}
TEST(Cheats, RemembersByThePointerOfTheInput) {
  static std::map<const void*, std::vector<float>> answers;
  answers.clear();
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  auto& known = answers[a.x.data];
                  if (known.empty()) {
                    honest(q, a);
                    known.assign(y_of(a), y_of(a) + a.y.numel());
                  }
                  std::memcpy(y_of(a), known.data(), bytes_of(a));
                }),
                "wants");
}
TEST(Cheats, RemembersByTheFirstElements) {  // new inputs are seen, stirred ones are not
  static std::map<std::array<float, 4>, std::vector<float>> answers;
  answers.clear();
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  std::array<float, 4> key;
                  std::copy_n(x_of(a), 4, key.begin());
                  auto& known = answers[key];
                  if (known.empty()) {
                    honest(q, a);
                    known.assign(y_of(a), y_of(a) + a.y.numel());
                  }
                  std::memcpy(y_of(a), known.data(), bytes_of(a));
                }),
                "wants");
}
TEST(Cheats, IsHonestForTheFirstCalls) {
  static int calls;
  calls = 0;
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  if (++calls <= 8) return honest(q, a);
                  std::fill_n(y_of(a), a.y.numel(), 1.0f / static_cast<float>(a.y.shape[1]));
                }),
                "wants");
}
TEST(Cheats, KnowsTheAnswerOfTheDefaultSeed) {
  static std::vector<float> answer;
  const auto& real = softmax_family();
  const Spec spec = make_spec(real, std::vector{softmax_case()});
  Queue q(1);
  Operands known(spec.cases[0], DType::f32, Layout::dense, 1);
  real.find("cpu.1_simd")->run(q, {known.views()[0], known.views()[1], false});
  answer.assign(known.views()[1].as<float>(), known.views()[1].as<float>() + known.views()[1].numel());
  expect_caught(softmax_contest([](Queue&, const SoftmaxArgs& a) { std::memcpy(y_of(a), answer.data(), bytes_of(a)); }), "wants");
}
TEST(Cheats, RoundsItsInputsToBf16) {
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  for (std::int64_t i = 0; i < a.x.numel(); ++i) y_of(a)[i] = static_cast<float>(bf16(x_of(a)[i]));
                  honest(q, {a.y, a.y, false});
                }),
                "wants");
}
TEST(Cheats, HopesForTheLastOnesAnswer) {  // the honest row's result may still lie where it is asked for its own
  expect_caught(softmax_contest([](Queue&, const SoftmaxArgs& a) {
                  if (std::isnan(y_of(a)[0])) std::fill_n(y_of(a), a.y.numel(), 1.0f / static_cast<float>(a.y.shape[1]));
                }),
                "wants");
}
// Scratch is spoiled before every call, so the trick never works: it is honest work with a detour, and passes as that.
TEST(Cheats, FindsNothingInTheScratch) {
  static int found;
  found = 0;
  const Outcome o = softmax_contest([](Queue& q, const SoftmaxArgs& a) {
    auto* kept = reinterpret_cast<float*>(q.scratch(bytes_of(a) + sizeof(float)));
    if (kept[a.y.numel()] == 42) ++found;
    else honest(q, {a.x, dense_view(kept, DType::f32, {a.y.shape[0], a.y.shape[1]}), false});
    kept[a.y.numel()] = 42;
    std::memcpy(y_of(a), kept, bytes_of(a));
  });
  EXPECT_EQ(found, 0);
  EXPECT_EQ(o.cheat, "");
  EXPECT_EQ(o.honest, "");
}
TEST(Cheats, WritesOutsideOfItsOutput) {
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  honest(q, a);
                  y_of(a)[a.y.numel()] = 0;
                }),
                "wrote outside of 'y'");
}
TEST(Cheats, ChangesItsInput) {
  expect_caught(softmax_contest([](Queue& q, const SoftmaxArgs& a) {
                  honest(q, a);
                  a.x.as<float>()[5] = 0;
                }),
                "changed input 'x'");
}

#if !defined(__SANITIZE_THREAD__)  // these are data races by design
TEST(Cheats, ReturnsBeforeItsThreadIsDone) {
  static std::atomic<int> running;
  const Outcome o = softmax_contest([](Queue&, const SoftmaxArgs& a) {
    ++running;
    std::thread([a] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      Queue own(1);
      honest(own, a);
      --running;
    }).detach();
  });
  while (running) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_NE(o.cheat, "");
  EXPECT_EQ(o.honest, "");
}
TEST(Cheats, WritesTheLastRowLater) {
  static std::atomic<int> running;
  const Outcome o = softmax_contest([](Queue& q, const SoftmaxArgs& a) {
    honest(q, a);
    ++running;
    std::thread([a] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      y_of(a)[a.y.numel() - 1] += 1;
      --running;
    }).detach();
  });
  while (running) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_NE(o.cheat, "");
  EXPECT_EQ(o.honest, "");
}
TEST(Cheats, WorksInTheBackgroundBetweenTheCalls) {
  static std::atomic<bool> stop;
  static std::thread worker;
  stop = false;
  const Outcome o = softmax_contest([](Queue& q, const SoftmaxArgs& a) {
    if (!worker.joinable())
      worker = std::thread([] {
        while (!stop) {}
      });
    honest(q, a);
  });
  stop = true;
  worker.join();
  expect_caught(o, "threads that are not the queue's");
}
#endif
TEST(Cheats, UsesMoreThreadsThanTheQueueHas) {
  expect_caught(softmax_contest([](Queue&, const SoftmaxArgs& a) {
                  SoftmaxArgs upper = a, lower = a;
                  upper.x.shape[0] = upper.y.shape[0] = lower.x.shape[0] = lower.y.shape[0] = a.x.shape[0] / 2;
                  lower.x.data = a.x.as<float>() + a.x.shape[0] / 2 * a.x.stride[0];
                  lower.y.data = a.y.as<float>() + a.y.shape[0] / 2 * a.y.stride[0];
                  std::thread helper([&] {
                    Queue own(1);
                    for (int i = 0; i < 20; ++i) honest(own, lower);  // enough work that a coarse clock sees it
                  });
                  Queue own(1);
                  honest(own, upper);
                  helper.join();
                }),
                "threads that are not the queue's");
}

// ThreadSanitizer's call for each store would make an honest row of the cheat.
__attribute__((no_sanitize("thread"))) void fill_unwatched(float* to, std::int64_t n, float value) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = value;
}

// The answer is right, because every input is the same number; the work was not done.
TEST(Cheats, IsFasterThanTheMachine) {
  Case<MatmulArgs> c;
  c.shape = "384x384x384_equal";
  c.operands = {{.name = "a", .shape = {1, 384, 384}, .fill = Fill::equal},
                {.name = "b", .shape = {1, 384, 384}, .fill = Fill::equal},
                {.name = "c", .role = Role::out, .shape = {1, 384, 384}}};
  c.bind = [](const std::vector<View>& v) {
    MatmulArgs m;
    m.a = v[0], m.b = v[1], m.c = v[2];
    return m;
  };
  c.flops = 2.0 * 384 * 384 * 384;
  c.bytes_per_item = 3 * 384 * 384;
  c.roundings = 800;
  c.dtypes = {DType::f32};
  c.bench = true;
  const auto& real = matmul_family();
  const auto cheat = [](Queue&, const MatmulArgs& m) {
    float sum = 0;
    for (std::int64_t k = 0; k < m.a.shape[2]; ++k) sum += m.a.as<const float>()[k] * m.b.as<const float>()[k];
    fill_unwatched(m.c.as<float>(), m.c.numel(), sum);
  };
  const auto* best = real.find("cpu.2_packed");
  ASSERT_NE(best, nullptr);
  Row<MatmulArgs> row = *best;
  row.name = "cpu.honest";
  const Outcome o = contest<MatmulArgs>(
      real, {*real.find("ref"), *real.find("naive"), host<MatmulArgs>("cpu.cheat", cheat, any<MatmulArgs>, 90, "cheats"), row}, c);
  expect_caught(o, "this machine needs at least");
}

TEST(Cheats, AreCaughtWithColdCachesToo) {
  const auto& real = softmax_family();
  static int calls;
  calls = 0;
  const SoftmaxRun cheat = [](Queue& q, const SoftmaxArgs& a) {
    if (++calls <= 3) return honest(q, a);
    std::fill_n(y_of(a), a.y.numel(), 0.0f);
  };
  expect_caught(
      contest<SoftmaxArgs>(real,
                           {*real.find("ref"), *real.find("naive"), host<SoftmaxArgs>("cpu.cheat", cheat, any<SoftmaxArgs>, 90, "cheats"),
                            host<SoftmaxArgs>("cpu.honest", honest, any<SoftmaxArgs>, 10, "does its work")},
                           softmax_case(), 1, true),
      "wants");
}
TEST(Cheats, AreCaughtOnTheEmulatorToo) {
  if (!why_not({DeviceKind::emu, 0}).empty()) GTEST_SKIP() << "built without the emulator";
  const auto& real = softmax_family();
  const Row<SoftmaxArgs>* rung = real.find("emu.1_warp_row");
  ASSERT_NE(rung, nullptr);
  Row<SoftmaxArgs> cheat = *rung, fair = *rung;
  cheat.name = "emu.cheat";
  cheat.run = [](Queue& q, const SoftmaxArgs& a) {
    SoftmaxArgs part = a;
    part.x.shape[0] -= 1, part.y.shape[0] -= 1;
    softmax_family().find("emu.1_warp_row")->run(q, part);
  };
  fair.name = "emu.honest";
  Case<SoftmaxArgs> small = softmax_case();
  small.shape = "5x40";
  for (auto& o : small.operands) o.shape = {5, 40};
  const Family<SoftmaxArgs> family("softmax", {*real.find("ref"), *real.find("naive"), cheat, fair});
  const Spec spec = make_spec(family, std::vector{small});
  Queue q(1, {DeviceKind::emu, 0});
  Lab lab(q, {.seconds = 0, .noise = 10});
  Contest both(lab, spec, spec.cases[0], DType::f32, {2, 3}, 2);
  run_contest(both, lab);
  EXPECT_NE(both.candidates()[0].caught, "");
  EXPECT_EQ(both.candidates()[1].caught, "");
  EXPECT_EQ(both.candidates()[1].rounds.size(), 3u);
}

}  // namespace
}  // namespace graft::lab
