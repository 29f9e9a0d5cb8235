// What all verbs have in common on the console: --color and NO_COLOR, and --dry-run, which checks, tells the plan and leaves nothing
// behind.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "process.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
constexpr const char* kRed = "\033[1;31mgraft:\033[0m ";
const std::string kQuick =
    "digits-cnn data.train_count=160 data.test_count=20 model.name=mlp model.hidden=8 train.batch=16 schedule.warmup=0 train.steps=4 ";

TEST(Color, IsForTerminalsUnlessItIsAskedFor) {
  const TempFolder t;
  EXPECT_FALSE(has(run(t.path, "eval nowhere").err, "\033"));
  EXPECT_EQ(run(t.path, "eval nowhere --color").err.rfind(kRed, 0), 0u);
  EXPECT_EQ(run(t.path, "eval nowhere --color=always").err.rfind(kRed, 0), 0u);
  EXPECT_FALSE(has(run(t.path, "eval nowhere --color=never").err, "\033"));
  // The option is nearer to the user than the environment.
  EXPECT_EQ(run(t.path, "NO_COLOR=1 '" GRAFT_BINARY "' eval nowhere --color", "env").err.rfind(kRed, 0), 0u);
  // Also for complaints of what comes after it.
  EXPECT_EQ(run(t.path, "eval --color --nothing").err.rfind(kRed, 0), 0u);
  const Outcome wrong = run(t.path, "eval nowhere --color=blue");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err, "graft: --color=blue: there is auto, always and never\n");
}

// script(1) gives the program a terminal.
TEST(Color, OnATerminal) {
  const TempFolder t;
  const auto on_terminal = [&](const std::string& environment) {
    return run(t.path, "-qec \"" + environment + " '" GRAFT_BINARY "' eval nowhere\" /dev/null < /dev/null", "script");
  };
  const Outcome plain = on_terminal("env -u NO_COLOR TERM=xterm");
  if (plain.code == 127) GTEST_SKIP() << "script, of the package bsdutils, is not installed";
  EXPECT_EQ(plain.code, 3);
  EXPECT_TRUE(has(plain.out, kRed)) << plain.out;
  EXPECT_FALSE(has(on_terminal("env NO_COLOR=1 TERM=xterm").out, "\033"));
  EXPECT_TRUE(has(on_terminal("env NO_COLOR= TERM=xterm").out, kRed));
  EXPECT_FALSE(has(on_terminal("env -u NO_COLOR TERM=dumb").out, "\033"));
}

TEST(Color, MarksVerdictsAndNothingInJson) {
  const TempFolder t;
  EXPECT_TRUE(has(run(t.path, "doctor --color").out, "version    \033[32mok  \033[0m "));
  EXPECT_TRUE(has(run(t.path, "kernels check gather --color").out, "\033[32m0 failures\033[0m"));
  const Outcome json = run(t.path, "doctor --color --json");
  EXPECT_FALSE(has(json.out, "\033"));
  EXPECT_TRUE(Json::accept(json.out)) << json.out;
}

TEST(DryRun, TellsThePlanAndLeavesNothing) {
  const TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "-q --out first").code, 0);
  const std::string from = "--from first/checkpoints/best ";
  const auto plan = [&](const std::string& arguments) {
    const Outcome o = run(t.path, arguments + " --dry-run --json");
    EXPECT_EQ(o.code, 0) << arguments << "\n" << o.err;
    EXPECT_FALSE(fs::exists(t.path / "runs")) << arguments;
    return Json::parse(o.out, nullptr, false);
  };
  EXPECT_EQ(plan("train " + kQuick)["preflight"], "ok");
  EXPECT_TRUE(plan("finetune " + kQuick + from).contains("findings"));
  const Json resume = plan("resume first");
  EXPECT_EQ(resume["step"], 4);
  EXPECT_TRUE(fs::exists(fs::path(resume["checkpoint"].get<std::string>()) / "model.safetensors"));
  const Json compare = plan("compare " + kQuick + from + "--fractions 0.5,1 --arms scratch,full --seeds 2 --tune 1");
  EXPECT_EQ(compare["images"], Json({80, 160}));
  EXPECT_EQ(compare["runs"], 2 * 2 * 2);
  EXPECT_EQ(plan("advise " + kQuick + from)["routes"], Json({"scratch", "probe", "full"}));
  const Outcome tune = run(t.path, "tune " + kQuick + "data.validation=0.25 --search 'optim.lr=log(1e-4,1e-1)' --trials 5 --dry-run");
  if (!has(tune.err, "without SQLite")) {
    EXPECT_EQ(tune.out, "tune: tpe, 5 trials of at most 4 steps on 120 images, scored on 40 others; nothing was done (--dry-run)\n");
    EXPECT_FALSE(fs::exists(t.path / "runs"));
  }
  // What is wrong is an error as it would be for the run itself.
  EXPECT_EQ(run(t.path, "compare " + kQuick + "--from nowhere --dry-run").code, 3);
  EXPECT_EQ(run(t.path, "train " + kQuick + "model.hidden=-1 --dry-run").code, 2);
}

}  // namespace
}  // namespace graft::test
