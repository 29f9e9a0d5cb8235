// A user's file, compiled and loaded: good and bad rows, for the CPU and for the emulator.
#include <gtest/gtest.h>

#include <fstream>

#include "../cli/process.h"
#include "kernels/core/device.h"
#include "kernels/lab/load.h"
#include "kernels/lab/report.h"

namespace graft::lab {
namespace {

using test::Outcome;
std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}
struct Tried {
  test::TempFolder folder;
  Outcome operator()(const std::string& name, const std::string& text, const std::string& options) {
    std::ofstream(folder.path / name) << text;
    return test::run(folder.path, "kernels try " + name + " " + options);
  }
};
bool emulator() { return why_not({DeviceKind::emu, 0}).empty(); }

TEST(Try, AGoodRowIsCheckedAndTimedBesideTheOneTaken) {
  Tried run;
  const Outcome o = run("mine.cpp", example(false), "--shape 4096x1024 --dtype f32 --seconds 0 --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json d = Json::parse(o.out);
  ASSERT_EQ(d["rows"].size(), 2u) << o.out;  // 4096x1024_log is refused by its limit
  EXPECT_EQ(d["rows"][0]["variant"], "cpu.kept_exp");
  EXPECT_EQ(d["rows"][1]["variant"], "cpu.1_simd");
  EXPECT_EQ(d["rows"][0]["against"]["variant"], "cpu.1_simd");
}
TEST(Try, NewWritesWhatRuns) {
  test::TempFolder t;
  ASSERT_EQ(test::run(t.path, "kernels try mine.cpp --new").code, 0);
  EXPECT_EQ(test::run(t.path, "kernels try mine.cpp --check --threads 2").code, 0);
}
TEST(Try, AWrongRowIsToldWhere) {
  Tried run;
  const Outcome o = run("mine.cpp", replaced(example(false), "*= 1 / sum", "*= 1.001f / sum"), "");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.err.find("softmax=cpu.kept_exp"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("wants"), std::string::npos) << o.err;
}
TEST(Try, ARowThatDependsOnItsDataBeingSmallIsCaught) {  // right on every case, wrong on the benchmark shape
  Tried run;
  const Outcome o =
      run("mine.cpp", replaced(example(false), "i < n; ++i) y[i * sy] *=", "i < n - (a.x.shape[0] == 4096); ++i) y[i * sy] *="),
          "--shape 4096x1024 --dtype f32 --seconds 0 --json");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.err.find("CAUGHT"), std::string::npos) << o.err;
  const Json d = Json::parse(o.out);
  ASSERT_EQ(d["caught"].size(), 1u);
  EXPECT_EQ(d["caught"][0]["variant"], "cpu.kept_exp");
  ASSERT_EQ(d["rows"].size(), 1u);
}
TEST(Try, CompilerErrorsAreShownAsTheyAre) {
  Tried run;
  const Outcome o = run("mine.cpp", replaced(example(false), "float top = -INFINITY", "flaot top = -INFINITY"), "");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("mine.cpp:"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("flaot"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("graft: mine.cpp does not compile"), std::string::npos) << o.err;
}
TEST(Try, ANameThatIsTakenOrOfAnotherDeviceIsRefused) {
  Tried run;
  Outcome o = run("mine.cpp", replaced(example(false), "cpu.kept_exp", "cpu.1_simd"), "--check");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("already"), std::string::npos) << o.err;
  o = run("mine.cpp", replaced(example(false), "cpu.kept_exp", "kept_exp"), "--check");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("named cpu.NAME"), std::string::npos) << o.err;
}
TEST(Try, AnotherFamilysArgumentsDoNotCompile) {
  Tried run;
  const Outcome o = run("mine.cpp", replaced(example(false), "GRAFT_TRY(softmax,", "GRAFT_TRY(softmax_grad,"), "--check");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("the row's arguments are not the family's"), std::string::npos) << o.err;
}
TEST(Try, ARowThatRefusesEverythingWasNotChecked) {
  Tried run;
  const Outcome o = run("mine.cpp", replaced(example(false), "if (a.log)", "if (a.x.rank > 0)"), "--check");
  EXPECT_EQ(o.code, 1);
  EXPECT_NE(o.err.find("nothing was checked"), std::string::npos) << o.err;
}
TEST(Try, ANameThatNobodyDefinesCannotBeLoaded) {
  Tried run;
  const Outcome o = run("mine.cpp",
                        replaced(replaced(example(false), "namespace {", "float missing_function(float);\nnamespace {"),
                                 "std::exp(x[i * sx] - top)", "missing_function(x[i * sx] - top)"),
                        "--check");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("missing_function"), std::string::npos) << o.err;
}

TEST(TryCu, AGoodKernelRunsOnTheEmulator) {
  if (!emulator()) GTEST_SKIP() << "built without the emulator";
  Tried run;
  const Outcome o = run("mine.cu", example(true), "--device emu --shape 7x37 --dtype f32 --seconds 0 --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json d = Json::parse(o.out);
  ASSERT_GE(d["rows"].size(), 2u);
  EXPECT_EQ(d["rows"][0]["variant"], "emu.one_block");
}
TEST(TryCu, AMissingBarrierIsCaught) {
  if (!emulator()) GTEST_SKIP() << "built without the emulator";
  Tried run;
  // every thread takes the first warp's sum without waiting for the others
  const Outcome o = run(
      "mine.cu", replaced(example(true), "sum = block_sum(sum, lines);", "if (threadIdx.x == 127) lines[31] = sum;\n  sum = lines[31];"),
      "--device emu --check");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.err.find("softmax=emu.one_block"), std::string::npos) << o.err;
}

TEST(TryCu, ABarrierThatNotAllMeetIsTold) {
  if (!emulator()) GTEST_SKIP() << "built without the emulator";
  Tried run;
  const Outcome o =
      run("mine.cu",
          replaced(example(true), "sum = block_sum(sum, lines);", "if (threadIdx.x < 64) __syncthreads();\n  sum = block_sum(sum, lines);"),
          "--device emu --check");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.err.find("softmax emu.one_block: "), std::string::npos) << o.err;
}

}  // namespace
}  // namespace graft::lab
