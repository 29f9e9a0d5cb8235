// A run that is killed, stopped or damaged goes on as if nothing had happened: the same weights, the same logs, to the bit.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "process.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A network that steps in milliseconds, and one with dropout and convolutions.
const std::string kQuick =
    "digits-cnn data.train_count=240 data.test_count=40 model.name=mlp model.hidden=24 train.batch=16 schedule.warmup=3 train.log_every=2 ";
const std::string kConv = "digits-cnn data.train_count=96 data.test_count=20 train.batch=8 schedule.warmup=3 train.log_every=2 ";

std::string hash_of(const Outcome& o) {
  const Json j = Json::parse(o.out, nullptr, false);
  return j.is_object() && j.contains("weights_hash") ? j["weights_hash"].get<std::string>() : "no hash: " + o.err;
}
// The lines of a log without what differs from run to run.
std::vector<Json> log_of(const fs::path& run) {
  std::vector<Json> lines;
  std::istringstream in(read_file(run / "log.jsonl"));
  for (std::string line; std::getline(in, line);) {
    lines.push_back(Json::parse(line, nullptr, false));
    if (lines.back().is_object()) lines.back().erase("seconds");
  }
  return lines;
}
void expect_same_run(const fs::path& a, const fs::path& b) {
  EXPECT_EQ(log_of(a), log_of(b));
  EXPECT_EQ(read_file(a / "metrics.csv"), read_file(b / "metrics.csv"));
  const auto report = [](const fs::path& run) {
    const Json j = Json::parse(read_file(run / "report.json"), nullptr, false);
    Json kept;
    for (const char* key : {"test.accuracy", "train.loss", "best.accuracy", "steps", "weights_hash"})
      kept[key] = j.is_object() ? j.value(key, Json()) : Json();
    return kept;
  };
  EXPECT_EQ(report(a), report(b));
  EXPECT_EQ(fs::read_symlink(a / "checkpoints/best"), fs::read_symlink(b / "checkpoints/best"));
}

// kill -9 at 50 random moments, several per run, checkpoints written after nearly every step.
TEST(Resume, AfterKillNineAtRandomMomentsItEndsWithTheSameBits) {
  TempFolder t;
  const std::string settings[] = {kQuick + "train.steps=40 train.checkpoint_every=1 ",
                                  kQuick + "train.steps=50 train.checkpoint_every=2 optim.name=sgd train.ema=0.9 ",
                                  kConv + "train.steps=24 train.checkpoint_every=1 train.clip_norm=1 augment.shift=2 "};
  std::mt19937 random(20261125);
  int kills = 0;
  for (int run_number = 0; kills < 50 && run_number < 60; ++run_number) {
    const std::size_t which = static_cast<std::size_t>(run_number) % std::size(settings);
    const std::string whole = "whole-" + std::to_string(which), broken = "broken-" + std::to_string(run_number);
    const auto begun = std::chrono::steady_clock::now();
    if (!fs::exists(t.path / whole)) { ASSERT_EQ(run(t.path, "train " + settings[which] + "--json -q -o " + whole).code, 0); }
    static double seconds[3] = {};
    if (seconds[which] == 0) seconds[which] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    Outcome o;
    for (int attempt = 0; attempt < 200; ++attempt) {
      const bool there = fs::exists(t.path / broken / "config.toml");
      if (!there) fs::remove_all(t.path / broken);  // killed before anything was written: begin again
      const std::string call = there ? "resume " + broken : "train " + settings[which] + "-o " + broken;
      const double after = std::uniform_real_distribution<>(0.05, 0.7)(random) * seconds[which];
      const bool last = kills >= 50 || attempt > 12;
      o = last ? run(t.path, call + " --json -q")
               : run(t.path, "--foreground -s KILL " + std::to_string(after) + " '" GRAFT_BINARY "' " + call + " --json -q", "timeout");
      if (o.code == 0) break;
      if (o.code == 124) continue;  // it ended by itself in the moment when it was to be killed: to go on from that changes nothing
      ASSERT_TRUE(o.code == 137 || o.code == -1) << o.code << ": " << o.err;
      ++kills;
    }
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(o.err, "") << "a kill damages nothing";
    expect_same_run(t.path / whole, t.path / broken);
    for (const auto& e : fs::directory_iterator(t.path / broken / "checkpoints")) EXPECT_NE(e.path().extension(), ".new") << e.path();
  }
  EXPECT_GE(kills, 50);
}

TEST(Resume, EveryOptimizerGoesOnFromItsState) {
  TempFolder t;
  for (const char* optim : {"sgd optim.momentum=0.9 optim.nesterov=true", "adam", "adamw", "rmsprop", "adagrad", "adafactor", "lion",
                            "adamw train.ema=0.9 train.dtype=bf16"}) {
    const std::string all =
        std::string("train ") + kQuick + "train.steps=12 train.checkpoint_every=5 optim.name=" + optim + " --json -q -o ";
    fs::remove_all(t.path / "a");
    fs::remove_all(t.path / "b");
    const Outcome whole = run(t.path, all + "a");
    ASSERT_EQ(whole.code, 0) << whole.err;
    fs::copy(t.path / "a", t.path / "b", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove_all(t.path / "b/checkpoints/step-00000012");  // as if it had been killed after step 10
    const Outcome o = run(t.path, "resume b --json -q");
    ASSERT_EQ(o.code, 0) << optim << ": " << o.err;
    EXPECT_EQ(Json::parse(o.out)["resumed_from"], 10) << optim;
    EXPECT_EQ(hash_of(o), hash_of(whole)) << optim;
    expect_same_run(t.path / "a", t.path / "b");
  }
}

TEST(Resume, AfterASignalOrATimeLimitTheLineThatWasPrintedWorks) {
  TempFolder t;
  const std::string settings = kConv + "train.steps=200 ";  // long enough to be met while it trains, on a fast machine too
  const Outcome whole = run(t.path, "train " + settings + "--json -q -o whole");
  ASSERT_EQ(whole.code, 0) << whole.err;
  for (const char* how : {"-s TERM 0.4", "-s INT 0.4", ""}) {
    fs::remove_all(t.path / "part");
    Outcome o =
        *how ? run(t.path, "--foreground " + std::string(how) + " '" GRAFT_BINARY "' train " + settings + "--threads 1 --json -q -o part",
                   "timeout")
             : run(t.path, "train " + settings + "--max-time 20ms --json -q -o part");
    if (*how && o.code == 124 && !fs::exists(t.path / "part/config.toml")) continue;  // the signal came before anything had begun
    if (!*how) { EXPECT_EQ(o.code, 75) << o.err; }
    const auto at = o.err.find("graft resume ");
    ASSERT_NE(at, std::string::npos) << o.err;
    std::string line = o.err.substr(at + 6);
    line.erase(line.find('\n'));
    o = run(t.path, line + " --json -q");
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(hash_of(o), hash_of(whole)) << how;
    expect_same_run(t.path / "whole", t.path / "part");
  }
}

TEST(Resume, FromAnotherFolderWithOtherThreadsAndWhenItIsDoneAlready) {
  TempFolder t;
  fs::create_directory(t.path / "elsewhere");
  const Outcome whole = run(t.path, "train " + kConv + "train.steps=9 train.checkpoint_every=4 train.keep=3 --json -q -o done");
  ASSERT_EQ(whole.code, 0) << whole.err;
  for (const char* threads : {"1", "3"}) {
    fs::remove_all(t.path / "done/checkpoints/step-00000009");
    const Outcome o = run(t.path / "elsewhere", std::string("resume ../done --json -q --threads ") + threads);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(hash_of(o), hash_of(whole));
  }
  const Outcome again = run(t.path, "resume done --json -q");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(hash_of(again), hash_of(whole));
  EXPECT_EQ(Json::parse(again.out)["resumed_from"], 9);
}

// Flipped bits and missing bytes in any file of a checkpoint: the one before is used, the damage is named, the end is the same.
TEST(Resume, DamagedCheckpointsAreNamedAndTheNewestWholeOneIsUsed) {
  TempFolder t;
  const Outcome whole = run(t.path, "train " + kQuick + "train.steps=12 train.checkpoint_every=4 train.keep=3 --json -q -o whole");
  ASSERT_EQ(whole.code, 0) << whole.err;
  const auto spoil = [&](const fs::path& file, const std::string& how) {
    std::string bytes = read_file(file);
    if (how == "flip") bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    if (how == "head") bytes[3] = static_cast<char>(bytes[3] ^ 1);
    if (how == "short") bytes.resize(bytes.size() - 5);
    if (how == "gone") fs::remove(file);
    else std::ofstream(file, std::ios::binary) << bytes;
  };
  for (const char* file : {"model.safetensors", "training.safetensors", "manifest.json"})
    for (const char* how : {"flip", "head", "short", "gone"}) {
      fs::remove_all(t.path / "hurt");
      fs::copy(t.path / "whole", t.path / "hurt", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      spoil(t.path / "hurt/checkpoints/step-00000012" / file, how);
      const Outcome o = run(t.path, "resume hurt --json -q");
      ASSERT_EQ(o.code, 0) << file << ' ' << how << ": " << o.err;
      EXPECT_NE(o.err.find(file), std::string::npos) << o.err;
      EXPECT_EQ(Json::parse(o.out)["resumed_from"], 8);
      EXPECT_EQ(hash_of(o), hash_of(whole)) << file << ' ' << how;
      expect_same_run(t.path / "whole", t.path / "hurt");
      EXPECT_TRUE(fs::exists(t.path / "hurt/checkpoints/step-00000012.damaged")) << "nothing is thrown away";
    }
  fs::remove_all(t.path / "hurt");
  fs::copy(t.path / "whole", t.path / "hurt", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  for (const auto& e : fs::directory_iterator(t.path / "hurt/checkpoints"))
    if (!e.is_symlink()) spoil(e.path() / "model.safetensors", "flip");
  const Outcome o = run(t.path, "resume hurt -q");
  EXPECT_EQ(o.code, 3) << o.err;
  EXPECT_NE(o.err.find("no checkpoint is whole"), std::string::npos) << o.err;
}

TEST(Resume, ChecksTheRunFolder) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=5 -q -o a").code, 0);
  fs::create_directory(t.path / "empty");
  const auto refused = [&](const std::string& arguments, int code, const char* says) {
    const Outcome o = run(t.path, arguments);
    EXPECT_EQ(o.code, code) << arguments << ": " << o.err;
    EXPECT_NE(o.err.find(says), std::string::npos) << arguments << ": " << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  };
  refused("resume empty", 3, "has no config.toml");
  std::string config = read_file(t.path / "a/config.toml");
  const auto at = config.find("hidden = 24");
  ASSERT_NE(at, std::string::npos);
  std::ofstream(t.path / "a/config.toml") << config.replace(at, 11, "hidden = 25");
  refused("resume a -q", 3, "does not fit this model");
}

// USR1 writes a checkpoint now; a second process keeps out of the folder meanwhile.
TEST(Resume, CheckpointsOnUsr1AndLocksItsFolder) {
  TempFolder t;
  const fs::path folder = t.path / "a";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(GRAFT_BINARY, GRAFT_BINARY, "train", "digits-cnn", "data.train_count=640", "data.test_count=40", "train.steps=100000",
          "train.checkpoint_every=100000", "eval.every=100000", "-q", "-o", folder.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  const auto wait_for = [](const std::function<bool()>& what) {
    for (int i = 0; i < 600 && !what(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return what();
  };
  EXPECT_TRUE(wait_for([&] { return fs::exists(folder / "metrics.csv"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  kill(child, SIGUSR1);
  EXPECT_TRUE(wait_for([&] { return fs::exists(folder / "checkpoints/last"); }));
  const Outcome second = run(t.path, "resume a -q");
  EXPECT_EQ(second.code, 2) << second.err;
  EXPECT_NE(second.err.find("another process works in it"), std::string::npos) << second.err;
  kill(child, SIGTERM);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 143);
}

}  // namespace
}  // namespace graft::test
