// graft compare on drawn images: equal conditions for every arm, the same answer for any number of threads, costs that add up, a page that
// needs no network.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "process.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kMlp = "model.name=mlp model.hidden=32 data.test_count=130 ";

// A checkpoint of drawn digits.
void pretrain(const TempFolder& t) {
  const Outcome o = run(t.path, "train digits-cnn " + kMlp + "data.train_count=1500 train.steps=120 train.batch=32 -q -o digits");
  ASSERT_EQ(o.code, 0) << o.err;
}
Json compared(const TempFolder& t, const std::string& arguments) {
  const Outcome o = run(
      t.path, "compare letters-cnn --from digits/checkpoints/best " + kMlp + "data.train_count=520 train.batch=16 --json -q " + arguments);
  EXPECT_EQ(o.code, 0) << o.err;
  return Json::parse(o.out, nullptr, false);
}

TEST(Compare, GivesEveryArmTheSameAndAVerdictPerSize) {
  TempFolder t;
  pretrain(t);
  const Json j = compared(t, "--fractions 1pc,0.5,1 --seeds 2 --tune 2 --budget 30st -o a");
  ASSERT_TRUE(j.is_object());
  ASSERT_EQ(j["rows"].size(), 12u);
  EXPECT_EQ(j["baseline"], "scratch");
  std::int64_t last = 0;
  for (const Json& r : j["rows"]) {
    EXPECT_EQ(r["steps"], 30);
    EXPECT_EQ(r["accuracy"].size(), 2u);
    EXPECT_EQ(r["tuning"].size(), 2u) << "every arm chooses among as many learning rates";
    EXPECT_GE(r["images"].get<std::int64_t>(), last);
    last = r["images"];
    EXPECT_EQ(r.contains("gain"), r["arm"] != "scratch");
    if (!r.contains("gain")) continue;
    const Json& g = r["gain"];
    EXPECT_LE(g["low"], g["mean"]);
    EXPECT_LE(g["mean"], g["high"]);
    EXPECT_EQ(r["seconds_per_point"].is_null(), g["verdict"] != "better") << "what a point costs is said where there is one";
    EXPECT_EQ(g["verdict"], g["low"] > 0 ? "better" : g["high"] < 0 ? "worse" : "no evidence");
  }
  EXPECT_EQ(j["rows"][0]["images"], 26);
  EXPECT_EQ(last, 520);
  EXPECT_EQ(j["crossover"].size(), 3u);
  const std::string page = read_file(t.path / "a/report.html");
  for (const char* wanted : {"<svg", "prefers-color-scheme", "no evidence", "graft compare letters-cnn --from digits/checkpoints/best"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  for (const char* unwanted : {"http", "<script", "src=", "@import"})
    EXPECT_EQ(page.find(unwanted), std::string::npos) << unwanted << " in a page without network";
}

TEST(Compare, IsTheSameForAnyNumberOfThreads) {
  TempFolder t;
  pretrain(t);
  Json seen;
  for (const char* threads : {"1", "3"}) {
    Json j = compared(t, std::string("--fractions 0.2 --seeds 2 --tune 2 --budget 12st --threads ") + threads);
    for (Json& r : j["rows"]) r.erase("seconds"), r.erase("seconds_per_point");
    if (seen.is_null()) seen = j["rows"];
    EXPECT_EQ(seen, j["rows"]);
  }
}

// A multiply-add is two: forward, weight gradients, and the gradient of the hidden layer; the probe pays for its features once.
TEST(Compare, CountsFloatingPointOperationsAndKeepsToABudgetOfThem) {
  TempFolder t;
  pretrain(t);
  const double first = 2.0 * 784 * 32, head = 2.0 * 32 * 26, batch = 16;
  const auto row = [](const Json& j, const char* arm) {
    for (const Json& r : j["rows"])
      if (r["arm"] == arm) return r;
    return Json();
  };
  const Json even = compared(t, "--fractions 8pc --seeds 1 --tune 1 --budget 13st");
  ASSERT_EQ(even["rows"][0]["images"], 208);
  EXPECT_DOUBLE_EQ(row(even, "full")["flops"], 13 * batch * (2 * first + 3 * head));
  EXPECT_DOUBLE_EQ(row(even, "scratch")["flops"], 13 * batch * (2 * first + 3 * head));
  EXPECT_DOUBLE_EQ(row(even, "frozen")["flops"], 13 * batch * (first + 2 * head));
  EXPECT_DOUBLE_EQ(row(even, "probe")["flops"], 208 * first + 13 * batch * 2 * head);
  const Json two = compared(t, "--fractions 8pc --seeds 1 --tune 1 --budget 2st");
  EXPECT_DOUBLE_EQ(row(two, "full")["flops"], 2 * batch * (2 * first + 3 * head));
  const Json bound = compared(t, "--fractions 8pc --seeds 1 --tune 1 --budget 50e6flop");
  for (const char* arm : {"scratch", "frozen", "full"}) {
    const double flops = row(bound, arm)["flops"], steps = row(bound, arm)["steps"];
    EXPECT_LE(flops, 50e6) << arm;
    EXPECT_GT(flops + flops / steps, 50e6) << arm;
  }
  EXPECT_GT(row(bound, "frozen")["steps"], row(bound, "full")["steps"]) << "a cheaper step makes more of them";
}

// A learning rate at which an arm diverges is one that it does not choose.
TEST(Compare, ATriedRateThatDivergesIsNotTheEnd) {
  TempFolder t;
  pretrain(t);
  const Json j =
      compared(t, "--fractions 0.2 --arms scratch,full --seeds 1 --tune 9 --budget 8st optim.name=sgd optim.lr=3000 schedule.warmup=0");
  ASSERT_TRUE(j.is_object());
  for (const Json& r : j["rows"]) {
    EXPECT_EQ(r["tuning"].size(), 9u);
    EXPECT_EQ(r["tuning"][8]["validation.accuracy"], 0) << "a rate of 9.5e6";
  }
}

TEST(Compare, AnInterruptEndsItInALine) {
  TempFolder t;
  pretrain(t);
  const struct {
    const char* signal;
    const char* options;
    int code;
    const char* says;
  } cases[] = {{"INT", "--arms scratch,full --fractions 0.5", 130,
                "graft: stopped within a training of scratch on 260 images; nothing is kept: run it again\n"},
               {"TERM", "--arms full,scratch --fractions 1", 143,
                "graft: stopped within a training of full on 520 images; nothing is kept: run it again\n"}};
  for (const auto& one : cases) {
    const Outcome o =
        interrupted(t.path, one.signal,
                    "compare letters-cnn --from digits/checkpoints/best " + kMlp + "data.train_count=520 train.batch=16 --json -q " +
                        one.options + " --seeds 1 --tune 1 --budget 9999999st -o stopped");
    EXPECT_EQ(o.code, one.code) << o.err;
    EXPECT_EQ(o.err, one.says);
    EXPECT_EQ(o.out, "");
    EXPECT_FALSE(fs::exists(t.path / "stopped")) << "the same command could not be run again";
  }
}

// Where fine-tuning must win: the same task, of which the checkpoint has seen a hundred times as much.
TEST(Compare, FindsThatACheckpointOfTheSameTaskIsBetter) {
  TempFolder t;
  pretrain(t);
  const Outcome o =
      run(t.path, "compare digits-cnn --from digits/checkpoints/best " + kMlp +
                      "data.seed=9 data.train_count=400 --arms scratch,full --fractions 1pc --seeds 3 --tune 2 --budget 20st --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  const Json& full = j["rows"][1];
  EXPECT_EQ(full["gain"]["verdict"], "better") << o.out;
  EXPECT_NEAR(full["flops_per_point"].get<double>() * 100 * full["gain"]["mean"].get<double>(), full["flops"].get<double>(), 1);
}

}  // namespace
}  // namespace graft::test
