// A run's events as TensorBoard gets them: what log.jsonl says, across a resume, and read by its own package where that is installed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "process.h"
#include "tests/engine/event_file.h"

namespace graft::test {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<fs::path> event_files(const fs::path& run) {
  std::vector<fs::path> all;
  for (const auto& e : fs::directory_iterator(run))
    if (e.path().filename().string().starts_with("events.out.tfevents.")) all.push_back(e.path());
  std::sort(all.begin(), all.end());
  return all;
}
// The newest value of each (tag, step), as TensorBoard keeps them: a START drops what is at its step or later.
std::map<std::pair<std::string, std::int64_t>, float> shown(const fs::path& run) {
  std::map<std::pair<std::string, std::int64_t>, float> all;
  for (const fs::path& file : event_files(run))
    for (const Event& e : read_events(read_file(file))) {
      if (e.starts) std::erase_if(all, [&](const auto& x) { return x.first.second >= e.step; });
      for (const auto& [tag, v] : e.scalars) all[{tag, e.step}] = v;
    }
  return all;
}
std::map<std::pair<std::string, std::int64_t>, float> logged(const fs::path& run) {
  std::map<std::pair<std::string, std::int64_t>, float> all;
  std::istringstream in(read_file(run / "log.jsonl"));
  for (std::string line; std::getline(in, line);) {
    const Json j = Json::parse(line);
    for (const auto& [key, tag] : {std::pair{"train.loss", "train/loss"},
                                   {"lr", "train/lr"},
                                   {"grad_norm", "train/grad_norm"},
                                   {"validation.accuracy", "validation/accuracy"},
                                   {"validation.loss", "validation/loss"},
                                   {"known.accuracy", "known/accuracy"},
                                   {"known.loss", "known/loss"}})
      if (j.contains(key)) all[{tag, j["step"].get<std::int64_t>()}] = static_cast<float>(j[key].get<double>());
  }
  return all;
}

class EventsOfARun : public testing::Test {
 protected:
  // 10 steps; everything after step 5 is forgotten, and it goes on from there: the older file knows more than it should.
  void SetUp() override {
    const Outcome o =
        run(t.path,
            "train digits-cnn data.train_count=352 data.validation=32 data.test_count=40 train.batch=32 train.steps=10 train.log_every=1 "
            "train.clip_norm=1 train.checkpoint_every=5 "
            "train.keep=9 -q --out r");
    ASSERT_EQ(o.code, 0) << o.err;
    ASSERT_EQ(event_files(folder).size(), 1u);
    const auto before = shown(folder);
    for (const auto& [key, v] : logged(folder)) EXPECT_EQ(before.at(key), v) << key.first << " at " << key.second;
    EXPECT_EQ(before.size(), logged(folder).size() + 10);  // and train/data_share
    for (const auto& e : fs::directory_iterator(folder / "checkpoints"))
      if (e.path().filename().string().find("10") != std::string::npos) fs::remove_all(e.path());
    const Outcome r = run(t.path, "resume r -q");
    ASSERT_EQ(r.code, 0) << r.err;
  }
  TempFolder t;
  fs::path folder = t.path / "r";
};

TEST_F(EventsOfARun, GoOnInANewFileThatTakesBackWhatIsForgotten) {
  const auto files = event_files(folder);
  ASSERT_EQ(files.size(), 2u);
  const std::vector<Event> second = read_events(read_file(files[1]));
  EXPECT_TRUE(second.at(1).starts);
  EXPECT_EQ(second.at(1).step, 6);
  EXPECT_EQ(second.at(2).step, 6);
  const auto now = shown(folder);
  for (const auto& [key, v] : logged(folder)) EXPECT_EQ(now.at(key), v) << key.first << " at " << key.second;
}

TEST_F(EventsOfARun, TensorBoardReadsThem) {
  const char* chosen = std::getenv("GRAFT_PYTHON");
  const std::string python = chosen ? chosen : "python3";
  if (run(t.path, "-c 'import tensorboard.backend.event_processing.event_accumulator'", python).code != 0)
    GTEST_SKIP() << python << " has no tensorboard; set GRAFT_PYTHON to one that has it";
  std::ofstream(t.path / "read.py")
      << "import json\n"
         "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
         "a = EventAccumulator('r')\n"
         "a.Reload()\n"
         "print(json.dumps({tag: [[e.step, e.value] for e in a.Scalars(tag)] for tag in a.Tags()['scalars']}))\n";
  const Outcome o = run(t.path, "read.py", python);
  ASSERT_EQ(o.code, 0) << o.err;
  std::map<std::pair<std::string, std::int64_t>, float> theirs;
  const Json answer = Json::parse(o.out);
  for (const auto& [tag, points] : answer.items())
    for (const Json& p : points)
      EXPECT_TRUE(theirs.try_emplace({tag, p[0]}, p[1].get<float>()).second) << tag << " has step " << p[0] << " twice";
  EXPECT_EQ(theirs, shown(folder));
}

}  // namespace
}  // namespace graft::test
