// graft advise: the document it prints, that it never opens the test images, and that it knows what it does not know. What its advice is
// worth is measured by bench/advise_trials.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "process.h"

namespace graft::test {
namespace {
using Json = nlohmann::json;

TEST(Advise, SaysWhatEachRouteWouldReachAndWhy) {
  TempFolder t;
  const std::string net = "model.name=mlp model.hidden=32 data.test_count=50 data.validation=0 train.batch=16 schedule.warmup=0 ";
  ASSERT_EQ(run(t.path, "train digits-cnn data.train_count=2000 train.steps=200 -q -o base " + net).code, 0);
  const std::string call =
      "advise digits-cnn data.train_count=400 data.seed=5 train.steps=60 --seeds 2 --from base/checkpoints/best " + net;
  const Outcome o = run(t.path, call + "--json -q -o a --threads 1");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(j["verb"], "advise");
  EXPECT_EQ(j["images"], 400);
  EXPECT_EQ(j["judged"], 80);
  EXPECT_EQ(j["steps"], 60) << "ten minutes are enough for whole runs";
  ASSERT_EQ(j["routes"].size(), 3u);
  for (const Json& r : j["routes"]) {
    EXPECT_EQ(r["runs"].size(), 6u) << "three sizes, two seeds";
    EXPECT_LT(r["low"], r["predicted"]);
    EXPECT_GT(r["high"], r["predicted"]);
    for (const Json& one : r["runs"])
      EXPECT_TRUE(std::abs(one["images"].get<double>() - 80) <= 5 || std::abs(one["images"].get<double>() - 160) <= 5 ||
                  one["images"] == 320)
          << one << ": quarters of each class are rounded";
  }
  // the very task that the checkpoint was trained for, with few images: no doubt
  EXPECT_NE(j["recommended"], "scratch") << o.out;
  EXPECT_NE(j["recommended"], "not enough evidence") << o.out;
  EXPECT_GE(j["confidence"], 0.9);
  for (const char* f : {"data", "compute", "expertise", "task"}) EXPECT_FALSE(j["factors"][f].get<std::string>().empty()) << f;
  const std::string page = read_file(t.path / "a/report.html");
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
  // the same words, the same answer, and other test images change nothing
  const Json again = Json::parse(run(t.path, call + "--json -q -o b --threads 2").out);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(again["routes"][i]["predicted"], j["routes"][i]["predicted"]);
}

TEST(Advise, ShortensItsRunsToTheTimeThatIsGiven) {
  TempFolder t;
  const std::string net =
      "model.name=mlp model.hidden=32 data.test_count=50 data.validation=0 train.batch=16 schedule.warmup=0 --threads 1 ";
  ASSERT_EQ(run(t.path, "train digits-cnn data.train_count=300 train.steps=20 -q -o base " + net).code, 0);
  const Outcome o =
      run(t.path, "advise digits-cnn data.train_count=300 train.steps=1000000 --time 3s --from base/checkpoints/best --json -q " + net);
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_LT(j["steps"], 1000000);
  EXPECT_GT(j["steps"], 1);
  EXPECT_NE(j["factors"]["compute"].get<std::string>().find("so what is predicted holds for that many"), std::string::npos);
  EXPECT_LT(j["seconds"].get<double>(), 30) << "ten times what was given, on a machine that is busy with other things";
}

TEST(Advise, AnInterruptEndsItInALine) {
  TempFolder t;
  const std::string net = "model.name=mlp model.hidden=32 data.test_count=50 data.validation=0 train.batch=16 schedule.warmup=0 ";
  ASSERT_EQ(run(t.path, "train digits-cnn data.train_count=300 train.steps=20 -q -o base " + net).code, 0);
  const Outcome o = interrupted(
      t.path, "INT", "advise digits-cnn data.train_count=400 train.steps=9999999 --time 10h --from base/checkpoints/best -q -o a " + net);
  EXPECT_EQ(o.code, 130) << o.err;
  EXPECT_EQ(o.err.find("graft: stopped within a training of "), 0u) << o.err;
  EXPECT_TRUE(o.err.ends_with(" images; nothing is kept: run it again\n")) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_FALSE(std::filesystem::exists(t.path / "a"));
}

TEST(Advise, WrongCallsSayWhatIsWanted) {
  TempFolder t;
  for (const auto& [call, says] :
       {std::pair{"advise digits-cnn", "--from CHECKPOINT is missing"},
        {"advise digits-cnn --from x --seeds 1", "--seeds 1: must be 2 to 20"},
        {"advise digits-cnn --from x --time 0s", "--time 0s"},
        {"advise digits-cnn --from nowhere.safetensors data.train_count=200 data.test_count=10", "nowhere.safetensors"},
        {"advise digits-cnn --from x data.train_count=60 data.test_count=10", "too few to judge"}}) {
    const Outcome o = run(t.path, call);
    EXPECT_NE(o.code, 0) << call;
    EXPECT_NE(o.err.find(says), std::string::npos) << call << ": " << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_FALSE(std::filesystem::exists(t.path / "runs"));
  }
}

}  // namespace
}  // namespace graft::test
