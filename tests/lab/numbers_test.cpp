// What the laboratory prints: order statistics, documents, their comparison, the page.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../cli/process.h"
#include "kernels/lab/compare.h"
#include "kernels/lab/report.h"
#include "kernels/specs.h"

namespace graft::lab {
namespace {

TEST(Statistics, OrderStatisticsCoverTheMedian) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(quantile({1, 2, 3, 4, 5}, 0.25), 2);
  std::vector<double> six = {6, 1, 5, 2, 4, 3};
  EXPECT_EQ(median_interval(six).low, 1);  // 2 * 0.5^6 = 0.03: the extremes, no less
  EXPECT_EQ(median_interval(six).high, 6);
  std::vector<double> twenty;
  for (int i = 1; i <= 20; ++i) twenty.push_back(i);
  EXPECT_EQ(median_interval(twenty).low, 6);  // the table of the sign test: 6th and 15th of 20
  EXPECT_EQ(median_interval(twenty).high, 15);
  EXPECT_TRUE(std::isinf(uncertainty({})));
}

TEST(Threads, SeesProcessorTimeOfThreadsThatCameLater) {
  Threads t;
  t.begin();
  volatile double x = 0;
  for (int i = 0; i < 3000000; ++i) x = x + 1;
  const int mine = 0, other = 0;
  EXPECT_LT(t.foreign(&mine), 0.001);  // its own thread was there
  std::thread([&] {
    for (int i = 0; i < 30000000; ++i) x = x + 1;
  }).join();
  EXPECT_GT(t.foreign(&mine), 0.002);

  std::atomic<bool> stop = false;
  EXPECT_FALSE(t.claim(&mine));
  std::thread left([&] {
    while (!stop) {}
  });
  EXPECT_TRUE(t.claim(&mine));  // it goes on beside the next one, and is not the next one's
  t.begin();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(t.foreign(&other), 0.001);
  EXPECT_GT(t.foreign(&mine), 0.002);
  stop = true;
  left.join();
}

TEST(Roofline, FloorLiesUnderTheBound) {
  Queue q(1);
  Roofline r(q);
  ASSERT_TRUE(r.known());
  ASSERT_EQ(r.levels().back().name, "memory");
  for (std::size_t i = 1; i < r.levels().size(); ++i) EXPECT_GE(r.levels()[i - 1].rate, r.levels()[i].rate);
  for (const DType t : {DType::f32, DType::f64, DType::bf16})
    for (const std::size_t set : {std::size_t{1000}, std::size_t{1} << 20, std::size_t{1} << 30}) {
      const Work w{1e9, static_cast<double>(set), set, t};
      EXPECT_GT(r.floor(w), 0);
      EXPECT_LE(2 * r.floor(w), r.bound(w, false).seconds * 1.0001);
      EXPECT_LE(r.bound(w, false).seconds, r.bound(w, true).seconds);
    }
}

Json row(const char* variant, double median, double half, const char* shape = "8x8") {
  return {{"family", "softmax"},
          {"variant", variant},
          {"shape", shape},
          {"dtype", "f32"},
          {"threads", 2},
          {"median_s", median},
          {"spread", 0.01},
          {"low_s", median * (1 - half)},
          {"high_s", median * (1 + half)}};
}
Json document(std::vector<Json> rows, const char* cpu = "one") {
  return {{"graft", "0.1.0"}, {"device", "cpu"}, {"noise", 0.02}, {"machine", {{"cpu", cpu}, {"device", "host memory"}}}, {"rows", rows}};
}
std::string verdict(double a, double a_half, double b, double b_half, double threshold = 0) {
  const Comparison c = compare(document({row("v", a, a_half)}), document({row("v", b, b_half)}), threshold);
  EXPECT_EQ(c.rows.size(), 1u);
  EXPECT_EQ(c.slower, c.rows[0].verdict == "slower");
  return c.rows[0].verdict;
}

TEST(Compare, EachVerdict) {
  EXPECT_EQ(verdict(1, 0.01, 1.1, 0.01), "slower");
  EXPECT_EQ(verdict(1.1, 0.01, 1, 0.01), "faster");
  EXPECT_EQ(verdict(1, 0.01, 1.005, 0.01), "same");
  EXPECT_EQ(verdict(1, 0.2, 1.1, 0.2), "noisy");
  EXPECT_EQ(verdict(1, 0.2, 3, 0.2), "slower");         // noise does not hide a factor
  EXPECT_EQ(verdict(1, 0.01, 1.1, 0.01, 0.2), "same");  // within the threshold
  EXPECT_EQ(verdict(1, 0.01, 1.5, 0.01, 0.2), "slower");
  const Comparison c =
      compare(document({row("gone", 1, 0.01), row("v", 1, 0.01)}), document({row("v", 1, 0.01), row("new", 1, 0.01)}, "two"), 0);
  ASSERT_EQ(c.rows.size(), 3u);
  EXPECT_EQ(c.rows[0].verdict, "only in A");
  EXPECT_EQ(c.rows[1].verdict, "same");
  EXPECT_EQ(c.rows[2].verdict, "only in B");
  ASSERT_EQ(c.remarks.size(), 1u);
  EXPECT_NE(c.remarks[0].find("different processors: one and two"), std::string::npos);
}

TEST(Compare, ReadsWhatAnEarlierBenchWrote) {  // quartiles' distance only
  Json old = row("v", 1, 0.01);
  old.erase("low_s");
  old.erase("high_s");
  old["spread"] = 0.02;
  const Comparison c = compare(document({old}), document({row("v", 1.05, 0.01)}), 0);
  EXPECT_EQ(c.rows[0].verdict, "slower");
}

TEST(Compare, OnTheCommandLine) {
  test::TempFolder t;
  const auto put = [&](const char* name, const std::string& text) { std::ofstream(t.path / name) << text; };
  put("a.json", document({row("v", 1, 0.01)}).dump());
  put("b.json", document({row("v", 2, 0.01)}).dump());
  put("same.json", document({row("v", 1.001, 0.01)}).dump());
  EXPECT_EQ(test::run(t.path, "kernels compare a.json same.json").code, 0);
  const test::Outcome o = test::run(t.path, "kernels compare a.json b.json");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.out.find("slower"), std::string::npos) << o.out;
  EXPECT_EQ(test::run(t.path, "kernels compare b.json a.json").code, 0);
  EXPECT_EQ(test::run(t.path, "kernels compare a.json b.json --threshold 150").code, 0);
  const test::Outcome j = test::run(t.path, "kernels compare a.json b.json --json");
  EXPECT_EQ(j.code, 1);
  EXPECT_EQ(Json::parse(j.out)["rows"][0]["verdict"], "slower");
}

// A run on tiny shapes gives every file, and they agree.
TEST(Bench, WritesJsonCsvAndAPage) {
  test::TempFolder t;
  const test::Outcome o = test::run(t.path,
                                    "kernels bench softmax --shape 64x10 --dtype f32 --variant cpu.1_simd,naive --against naive --seconds "
                                    "0.02 --threads 1 --json -o run.json --csv run.csv "
                                    "--html run.html");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json d = Json::parse(o.out);
  EXPECT_EQ(d, Json::parse(test::read_file(t.path / "run.json")));
  ASSERT_GE(d["rows"].size(), 2u);
  for (const Json& r : d["rows"]) {
    EXPECT_LE(r["min_s"].get<double>(), r["q1_s"].get<double>());
    EXPECT_LE(r["q1_s"].get<double>(), r["median_s"].get<double>());
    EXPECT_LE(r["median_s"].get<double>(), r["q3_s"].get<double>());
    EXPECT_GT(r["of_roofline"].get<double>(), 0);
    EXPECT_GE(r["checked"].get<int>(), 7);  // the rehearsal and six rounds
    EXPECT_GE(r["samples"].get<int>(), 6);
    if (r["variant"] != "naive") {
      EXPECT_LE(r["against"]["low"].get<double>(), r["against"]["speed_ratio"].get<double>());
      EXPECT_LE(r["against"]["speed_ratio"].get<double>(), r["against"]["high"].get<double>());
    }
  }
  const std::string csv = test::read_file(t.path / "run.csv"), page = test::read_file(t.path / "run.html");
  EXPECT_EQ(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')), d["rows"].size() + 1);
  const auto cells = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  EXPECT_EQ(cells(csv.substr(0, csv.find('\n'))),
            cells(csv.substr(csv.find('\n') + 1, csv.find('\n', csv.find('\n') + 1) - csv.find('\n') - 1)));
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos) << "the page must need no network";
  EXPECT_EQ(page.find("<script"), std::string::npos);
}

TEST(Bench, TheEmulatorRunsAndSaysThatItsTimesMeanNothing) {
  if (!why_not({DeviceKind::emu, 0}).empty()) GTEST_SKIP() << "built without the emulator";
  test::TempFolder t;
  const test::Outcome o = test::run(t.path, "kernels bench softmax --device emu --shape 7x37 --dtype f32 --seconds 0 --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.err.find("mean nothing"), std::string::npos) << o.err;
  const Json d = Json::parse(o.out);
  EXPECT_EQ(d["times_mean_something"], false);
  ASSERT_FALSE(d["rows"].empty());
  EXPECT_TRUE(d["rows"][0]["of_roofline"].is_null());
  EXPECT_EQ(d["rows"][0]["device"], "emu");
}

TEST(Bench, APeerIsHeldToTheSameRules) {
  test::TempFolder t;
  const test::Outcome b =
      test::run(t.path, "kernels bench matmul --shape 512x512x512_nt --variant cpu.2_packed --against openblas --seconds 0.02 --json");
  if (b.code == 2 && b.err.find("not installed") != std::string::npos) GTEST_SKIP() << b.err;
  ASSERT_EQ(b.code, 0) << b.err;
  const Json d = Json::parse(b.out);
  ASSERT_EQ(d["rows"].size(), 2u);
  EXPECT_FALSE(d["peers"].empty());
}

}  // namespace
}  // namespace graft::lab
