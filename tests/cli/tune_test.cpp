// graft tune on drawn images: what it finds and says, that the seed's noise is never called a gain, and that a study which is killed,
// stopped or shared ends as one that was left alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>

#include "process.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

#ifndef GRAFT_HAVE_SQLITE
TEST(Tune, WithoutSqliteItSaysHowToGetIt) {
  TempFolder t;
  const Outcome o = run(t.path, "tune digits-cnn --search 'optim.lr=log(1e-4,1e-1)'");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("GRAFT_SQLITE=ON"), std::string::npos) << o.err;
}
#else

const std::string kMlp =
    "tune digits-cnn model.name=mlp model.hidden=24 data.train_count=400 data.test_count=50 train.batch=16 --threads 1 ";
const std::string kRate = "--search 'optim.lr=log(1e-4,1)' ";

Json tuned(const TempFolder& t, const std::string& arguments) {
  const Outcome o = run(t.path, kMlp + "--json -q " + arguments);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  return Json::parse(o.out, nullptr, false);
}
// All of a study's trainings but what the clock says. `shared`: the order in which several processes began them does not count either.
std::map<std::string, Json> trainings(const fs::path& study, bool shared = false) {
  std::map<std::string, Json> all;
  const Json j = Json::parse(read_file(study / "report.json"), nullptr, false);
  EXPECT_TRUE(j.is_object()) << study;
  if (!j.is_object()) return all;
  for (Json t : j["trials"]) {
    t.erase("seconds");
    if (shared) t.erase("id");
    all[t["kind"].get<std::string>() + " " + (t.contains("trial") ? t["trial"].dump() : "") + " rung " + t["rung"].dump() + " seed " +
        t["seed"].dump()] = t;
  }
  EXPECT_EQ(all.size(), j["trials"].size()) << "one training is there twice";
  for (const char* key : {"winner", "default", "gain", "verdict"}) all[key] = j[key];
  return all;
}
// What the lines on stderr say is finished.
std::multiset<std::string> finished(const std::string& err) {
  std::multiset<std::string> all;
  const std::regex line("(trial [0-9]+/[0-9]+|default, seed [0-9]+|winner, seed [0-9]+|test, seed [0-9]+)  ([0-9]+) steps  .*");
  std::istringstream in(err);
  for (std::string text; std::getline(in, text);)
    if (std::smatch m; std::regex_match(text, m, line)) all.insert(m[1].str() + " of " + m[2].str());
  return all;
}

TEST(Tune, FindsABetterRateThanABadOneAndTheWinnerCanBeTrained) {
  TempFolder t;
  const Json j = tuned(t, kRate +
                              "--search 'optim.name=choice(sgd,adamw)' --search 'optim.momentum=uniform(0,0.9)' --search "
                              "'train.batch=logint(8,32)' optim.lr=1e-5 data.validation=90 "
                              "--trials 14 --budget 40 -o a");
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j["verdict"], "better");
  EXPECT_EQ(j["validation_images"], 90);
  EXPECT_EQ(j["training_images"], 310);
  EXPECT_GT(j["gain"]["low"], 0);
  ASSERT_EQ(j["trials"].size(), 14u + 6u);
  EXPECT_FALSE(j.contains("test.accuracy")) << "nobody asked for it";
  double best = 0;
  std::string hash;
  std::set<std::int64_t> seeds;
  for (const Json& one : j["trials"]) {
    EXPECT_EQ(one["steps"], 40);
    EXPECT_EQ(one["state"], "done");
    if (one["kind"] != "search") {
      seeds.insert(one["seed"].get<std::int64_t>());
      continue;
    }
    EXPECT_EQ(one["seed"], 1);
    EXPECT_EQ(one["values"].contains("optim.momentum"), one["values"]["optim.name"] == "sgd") << "a key has a value where it applies";
    EXPECT_GE(one["values"]["train.batch"], 8);
    EXPECT_LE(one["values"]["train.batch"], 32);
    best = std::max(best, one["validation.accuracy"].get<double>());
    if (one["trial"] == j["winner"]["trial"]) hash = one["weights_hash"];
  }
  EXPECT_EQ(seeds, (std::set<std::int64_t>{2, 3, 4})) << "not the search's own, with which the winner was lucky";
  EXPECT_EQ(j["winner"]["search.accuracy"], best);

  for (const std::string& call :
       {std::string("a/winner.toml"),
        "digits-cnn model.name=mlp model.hidden=24 data.train_count=400 data.test_count=50 data.validation=90 train.steps=40 "
        "schedule.warmup=4 " +
            j["winner"]["assignments"].get<std::string>() +
            (j["winner"]["assignments"].get<std::string>().find("train.batch") == std::string::npos ? " train.batch=16" : "")}) {
    fs::remove_all(t.path / "w");
    const Outcome o = run(t.path, "train " + call + " --threads 1 --json -q -o w");
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(Json::parse(o.out)["weights_hash"], hash) << "what is pasted is what was tried: " << call;
  }
  const std::string page = read_file(t.path / "a/report.html");
  for (const char* wanted : {"<svg", "prefers-color-scheme", "better: the winner gains", "optim.momentum", "graft tune digits-cnn"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  for (const char* unwanted : {"http", "<script", "src=", "@import", "=\"nan", "=\"-nan"})
    EXPECT_EQ(page.find(unwanted), std::string::npos) << unwanted;
}

// A key that changes next to nothing: the search still has a best trial, and it must not be called a gain.
TEST(Tune, TheLuckOfASeedIsNoGain) {
  TempFolder t;
  const Json j = tuned(t, "--search 'optim.eps=log(1e-9,1e-7)' --method random --trials 6 --budget 40 -o a");
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j["verdict"], "within noise");
  EXPECT_LE(j["gain"]["low"], 0);
  EXPECT_GE(j["gain"]["high"], 0);
  EXPECT_GT(j["default"]["deviation"], 0);
}

TEST(Tune, TheTestImagesHaveNoSay) {
  TempFolder t;
  const std::string call =
      "tune digits-cnn model.name=mlp model.hidden=24 data.train_count=400 data.validation=0 train.batch=16 --threads 1 " + kRate +
      "--method random --trials 3 --budget 10 -q ";
  ASSERT_EQ(run(t.path, call + "data.test_count=50 -o a").code, 0);
  ASSERT_EQ(run(t.path, call + "data.test_count=7 -o b").code, 0);
  EXPECT_EQ(trainings(t.path / "a"), trainings(t.path / "b"));
  const Json j = Json::parse(read_file(t.path / "a/report.json"));
  EXPECT_EQ(j["validation_images"], 80) << "a fifth of the training images";
  EXPECT_EQ(j["training_images"], 320);
}

TEST(Tune, SuccessiveHalvingPromotesTheBestAndGivesThemMoreSteps) {
  TempFolder t;
  const Json j = tuned(t, kRate + "--method asha --trials 9 --budget 45 --test -o a");
  ASSERT_TRUE(j.is_object());
  std::map<std::int64_t, std::vector<double> > scores;
  std::map<std::int64_t, std::set<std::int64_t> > steps;
  int pruned = 0;
  for (const Json& one : j["trials"]) {
    if (one["kind"] != "search") continue;
    scores[one["rung"].get<std::int64_t>()].push_back(one["validation.accuracy"].get<double>());
    steps[one["rung"].get<std::int64_t>()].insert(one["steps"].get<std::int64_t>());
    pruned += one["state"] == "pruned";
  }
  EXPECT_EQ(scores[0].size(), 9u);
  EXPECT_GE(scores[1].size(), 3u);
  EXPECT_GE(scores[2].size(), 1u);
  EXPECT_EQ(steps[0], std::set<std::int64_t>{5});
  EXPECT_EQ(steps[1], std::set<std::int64_t>{15});
  EXPECT_EQ(steps[2], std::set<std::int64_t>{45});
  EXPECT_EQ(pruned, 9 - static_cast<int>(scores[2].size())) << "what did not come to the last rung";
  EXPECT_TRUE(j.contains("test.accuracy"));
}

TEST(Tune, TheRangeTestFindsARate) {
  TempFolder t;
  const Json j = tuned(t, "--method lr --budget 40 optim.lr=1e-5 -o a");
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j["verdict"], "better") << "than a rate of 1e-5";
  EXPECT_LT(j["curve"]["low"], j["curve"]["high"]);
  EXPECT_EQ(j["winner"]["assignments"].get<std::string>().rfind("optim.lr=", 0), 0u);
  EXPECT_NE(read_file(t.path / "a/report.html").find("Loss while the learning rate grows"), std::string::npos);
}

TEST(Tune, WhatDivergesIsNotChosenAndNotTheEnd) {
  TempFolder t;
  const Json j = tuned(t, "--search 'optim.lr=choice(1e-2,1e30)' optim.name=sgd --method random --trials 6 --budget 20 -o a");
  ASSERT_TRUE(j.is_object());
  int failed = 0;
  for (const Json& one : j["trials"])
    if (one["state"] == "failed") {
      ++failed;
      EXPECT_EQ(one["values"]["optim.lr"], "1e30");
      EXPECT_NE(one["note"].get<std::string>().find("step"), std::string::npos) << "it says why";
    }
  EXPECT_GT(failed, 0);
  EXPECT_EQ(j["winner"]["assignments"], "optim.lr=1e-2");
  const Outcome o =
      run(t.path, kMlp + "--search 'optim.lr=choice(1e29,1e30)' optim.name=sgd --method random --trials 2 --budget 20 -q -o b");
  EXPECT_EQ(o.code, 5);
  EXPECT_NE(o.err.find("no configuration could be trained"), std::string::npos) << o.err;
}

// Trials of some 20 ms, killed at random moments over the whole study; by --resume and by the same command in turn. What was finished is
// never trained again.
TEST(Tune, AfterKillNineAtRandomMomentsItEndsAsIfNothingHadHappened) {
  TempFolder t;
  std::mt19937 random(20261125);
  for (const char* how :
       {"--method tpe --trials 13 --budget 300 --seeds-noise 2 ", "--method asha --trials 9 --budget 450 --seeds-noise 2 --test "}) {
    fs::remove_all(t.path / "whole"), fs::remove_all(t.path / "broken");
    const std::string call = kMlp + kRate + "--search 'model.hidden=int(16,64)' " + how;
    const auto begun = std::chrono::steady_clock::now();
    const Outcome whole = run(t.path, call + "-o whole");
    ASSERT_EQ(whole.code, 0) << whole.err;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    std::multiset<std::string> done;
    Outcome o;
    int kills = 0;
    for (int attempt = 0; attempt < 60; ++attempt) {
      const bool there = fs::exists(t.path / "broken/study.db");
      const std::string again = attempt % 2 && there ? "tune --resume broken --threads 1" : call + "-o broken";
      const double after = std::uniform_real_distribution<>(0.1, 0.6)(random) * seconds;
      o = kills < 10 ? run(t.path, "--foreground -s KILL " + std::to_string(after) + " '" GRAFT_BINARY "' " + again, "timeout")
                     : run(t.path, again);
      for (const std::string& one : finished(o.err)) done.insert(one);
      if (o.code == 0) break;
      if (o.err.find("before the study was made") != std::string::npos) continue;  // the whole command comes next
      if (o.code == 124) continue;  // it ended by itself in the moment when it was to be killed
      ASSERT_TRUE(o.code == 137 || o.code == -1) << again << ": " << o.code << ": " << o.err;
      ++kills;
    }
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_GE(kills, 3);
    EXPECT_EQ(trainings(t.path / "whole"), trainings(t.path / "broken")) << how;
    for (const std::string& one : done) EXPECT_EQ(done.count(one), 1u) << one << " was finished and trained again";
    EXPECT_EQ(read_file(t.path / "whole/winner.toml"), read_file(t.path / "broken/winner.toml"));
  }
}

TEST(Tune, ASignalOrATimeLimitGivesTheTrialBackAndTheLineThatWasPrintedWorks) {
  TempFolder t;
  const std::string call = kMlp + kRate + "--method random --trials 4 --budget 800 --seeds-noise 2 ";
  ASSERT_EQ(run(t.path, call + "-q -o whole").code, 0);
  for (const char* how : {"-s TERM 0.4", "-s INT 0.4", ""}) {
    fs::remove_all(t.path / "part");
    Outcome o =
        *how ? run(t.path, "--foreground --preserve-status " + std::string(how) + " '" GRAFT_BINARY "' " + call + "-q -o part", "timeout")
             : run(t.path, call + "--max-time 150ms -q -o part");
    if (o.code != (*how ? (how[3] == 'T' ? 143 : 130) : 75)) {
      EXPECT_TRUE(*how && (o.code == -1 || o.code == 0))
          << how << ": " << o.code << ": " << o.err;  // the signal came before the program watched, or after the end
      continue;
    }
    if (!fs::exists(t.path / "part/study.db")) continue;
    const auto at = o.err.find("graft tune --resume ");
    ASSERT_NE(at, std::string::npos) << o.err;
    std::string line = o.err.substr(at + 6);
    line.erase(line.find('\n'));
    o = run(t.path, line + " --threads 1 --json -q");
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(trainings(t.path / "whole"), trainings(t.path / "part")) << how;
  }
}

// Random points do not depend on who asks: two processes, one of which dies in the middle, come to what one comes to alone.
TEST(Tune, TwoProcessesShareAStudyAndOneTakesOverWhatTheOtherLeaves) {
  TempFolder t;
  const std::string call = kMlp + kRate + "--method random --trials 10 --budget 300 --seeds-noise 2 ";
  ASSERT_EQ(run(t.path, call + "-q -o whole").code, 0);
  const std::string two = "'" GRAFT_BINARY "' " + call + "-o both";
  const int status = std::system(("cd '" + t.path.string() + "' && { " + two + " 2>first.txt >/dev/null & " + two +
                                  " 2>second.txt >/dev/null; a=$?; wait $!; exit $((a + $?)); }")
                                     .c_str());
  ASSERT_EQ(status, 0) << read_file(t.path / "first.txt") << read_file(t.path / "second.txt");
  EXPECT_EQ(trainings(t.path / "whole", true), trainings(t.path / "both", true));

  const int mixed = std::system(("cd '" + t.path.string() + "' && { timeout --foreground -s KILL 0.4 " + "'" GRAFT_BINARY "' " + call +
                                 "-o left 2>/dev/null >/dev/null & '" GRAFT_BINARY "' " + call +
                                 "-o left 2>left.txt >/dev/null; a=$?; wait $!; exit $a; }")
                                    .c_str());
  ASSERT_EQ(mixed, 0) << read_file(t.path / "left.txt");
  EXPECT_EQ(trainings(t.path / "whole", true), trainings(t.path / "left", true));
}

// The number of classes and data.normalize come from the images, once: the winner's file says them, and a study that goes on finds the
// same.
TEST(Tune, SettlesWhatTheRecipeLeavesToTheData) {
  TempFolder t;
  const std::string call = "tune spirals-mlp model.hidden=8 data.train_count=200 data.test_count=30 --threads 1 --json -q " + kRate +
                           "--method random --trials 2 --budget 6 --seeds-noise 2 ";
  const Outcome o = run(t.path, call + "-o a");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  for (const Json& trial : j["trials"]) EXPECT_EQ(trial["state"], "done") << trial;
  const std::string winner = read_file(t.path / "a/winner.toml");
  EXPECT_NE(winner.find("classes = 3"), std::string::npos) << winner;
  EXPECT_EQ(winner.find("normalize = []"), std::string::npos) << winner;
  const Outcome trained = run(t.path, "train a/winner.toml --json -q -o b");
  EXPECT_EQ(trained.code, 0) << trained.err;
  const Outcome again = run(t.path, "tune --resume a --threads 1 --json -q");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["trials"], j["trials"]);
  EXPECT_EQ(read_file(t.path / "a/winner.toml"), winner);
}

TEST(Tune, MisuseIsOneLineThatSaysWhatToDo) {
  TempFolder t;
  tuned(t, kRate + "--method random --trials 2 --budget 5 -o there");
  fs::create_directory(t.path / "broken");
  { std::ofstream(t.path / "broken/study.db") << std::string(5000, 'x'); }
  fs::create_directory(t.path / "untested");
  { std::ofstream(t.path / "untested/train.csv") << "x,label\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n"; }
  const struct {
    std::string arguments;
    int code;
    const char* says;
  } cases[] = {
      {kMlp, 2, "nothing is searched"},
      {kMlp + "--search 'optim.lrr=log(1e-4,1)'", 2, "optim.lr"},
      {kMlp + "--search 'optim.lr=lg(1e-4,1)'", 2, "did you mean log"},
      {kMlp + "--search 'optim.lr=log(0,1)'", 2, "optim.lr = 0"},
      {kMlp + "--search 'optim.lr=log(1,1e-4)'", 2, "smaller to a larger"},
      {kMlp + "--search 'optim.lr=log(1e-4)'", 2, "two ends"},
      {kMlp + "--search 'optim.lr=log(1e-4,x)'", 2, "no number"},
      {kMlp + "--search 'optim.lr=log(1e-4,nan)'", 2, "no number"},
      {kMlp + "--search 'optim.lr=1e-4'", 2, "a range is missing"},
      {kMlp + "--search ''", 2, "a range is missing"},
      {kMlp + "--search 'train.ema=uniform(0,1)'", 2, "train.ema = 1"},
      {kMlp + "--search 'optim.lr=int(1,2)'", 2, "use uniform or log"},
      {kMlp + "--search 'train.batch=uniform(1,2)'", 2, "use int or logint"},
      {kMlp + "--search 'train.batch=int(1.5,8)'", 2, "train.batch"},
      {kMlp + "--search 'optim.name=uniform(0,1)'", 2, "choice(A,B,...)"},
      {kMlp + "--search 'optim.name=choice(sgd,adamm)'", 2, "adamw"},
      {kMlp + "--search 'optim.name=choice(sgd)'", 2, "at least two"},
      {kMlp + "--search 'optim.name=choice(sgd,sgd)'", 2, "twice"},
      {kMlp + "--search 'optim.momentum=uniform(0,0.9)'", 2, "it is not used"},
      {kMlp + "--search 'train.seed=int(1,9)'", 2, "--seeds-noise"},
      {kMlp + "--search 'train.steps=int(1,9)'", 2, "--budget"},
      {kMlp + "--search 'data.train_count=int(100,900)'", 2, "the same images"},
      {kMlp + kRate + kRate, 2, "searched twice"},
      {kMlp + kRate + "--method tpr", 2, "did you mean tpe"},
      {kMlp + kRate + "--method lr", 2, "leave --search out"},
      {kMlp + kRate + "--trials 0", 2, "--trials 0"},
      {kMlp + kRate + "--seeds-noise 1", 2, "--seeds-noise 1"},
      {kMlp + kRate + "--budget 10m", 2, "--budget 10m"},
      {kMlp + kRate + "--least 10", 2, "--method asha"},
      {kMlp + kRate + "--method asha --budget 10 --least 20", 2, "--least 20"},
      {kMlp + kRate + "--out there --trials 3 --budget 5 --method random", 2, "another command"},
      {"tune table-mlp data.path=untested " + kRate + "--budget 5 --test", 3, "leave --test out"},
      {"tune --resume there --trials 7", 2, "as it was asked for"},
      {"tune --resume nowhere", 3, "is not there"},
      {"tune --resume broken", 3, "broken/study.db"},
      {"tune", 2, "name a recipe"},
  };
  for (const auto& one : cases) {
    const Outcome o = run(t.path, one.arguments);
    EXPECT_EQ(o.code, one.code) << one.arguments << ": " << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << one.arguments << ": " << o.err;
    EXPECT_EQ(o.err.rfind("graft: ", 0), 0u) << o.err;
    EXPECT_NE(o.err.find(one.says), std::string::npos) << one.arguments << ": " << o.err;
    EXPECT_FALSE(fs::exists(t.path / "runs")) << one.arguments << " left a folder behind";
  }
  const Outcome o = run(t.path, "tune --resume there --threads 1 --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(o.out)["trials"], Json::parse(read_file(t.path / "there/report.json"))["trials"]) << "what is done is done";
}

#endif

}  // namespace
}  // namespace graft::test
