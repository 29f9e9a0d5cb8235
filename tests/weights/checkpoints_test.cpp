// The store of checkpoints against a disk that fails at any call: what was there before stays and is what is found.
#include "weights/checkpoints.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "engine/base/file.h"
#include "engine/tensor/tensor.h"
#include "tests/temp_folder.h"
#include "weights/formats/safetensors.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

using test::TempFolder;
std::vector<CheckpointPart> parts(double value) {
  return {{"model", {{"w", Tensor::full({40}, value)}, {"b", Tensor::full({3}, -value)}}, {{"format", "pt"}}},
          {"training", {{"optim.w.exp_avg", Tensor::full({40}, 2 * value)}}, {{"step", std::to_string(value)}}}};
}
double value_in(const fs::path& checkpoint) { return load(*open_checkpoint(checkpoint / "model.safetensors").find("w")).values()[7]; }
std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(Checkpoints, KeepTheNewestAndTheBest) {
  TempFolder f;
  Checkpoints c(f.path / "checkpoints", 2);
  for (int step = 1; step <= 6; ++step) c.save(step, parts(step), step == 2);
  EXPECT_EQ(entries(c.folder()), 5u);  // 2, 5, 6, last, best
  EXPECT_EQ(value_in(c.folder() / "best"), 2);
  EXPECT_EQ(value_in(c.folder() / "last"), 6);
  std::vector<std::string> damage;
  const auto found = c.newest_whole(damage);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 6);
  EXPECT_TRUE(damage.empty());
}

TEST(Checkpoints, AFailureAtAnyCallLeavesTheOneBefore) {
  for (const int number : {ENOSPC, EIO}) {
    int calls = 0;
    {
      TempFolder f;
      Checkpoints c(f.path, 2);
      DiskFault counter(-1, 0);
      c.save(1, parts(1), true);
      calls = counter.calls();
    }
    ASSERT_GT(calls, 12);  // three files: open, writes, fsync, close, rename, fsync of the folder
    for (int at = 0; at < calls; ++at) {
      TempFolder f;
      Checkpoints c(f.path, 2);
      c.save(1, parts(1), true);
      bool failed = false;
      try {
        const DiskFault fault(at, number);
        c.save(2, parts(2), true);
      } catch (const Error& e) {
        failed = true;
        EXPECT_EQ(e.code(), number == ENOSPC ? Code::stopped : Code::input) << e.what();
        EXPECT_NE(std::string(e.what()).find("step-00000002"), std::string::npos) << e.what();
      }
      EXPECT_TRUE(failed) << "call " << at;
      std::vector<std::string> damage;
      const auto found = c.newest_whole(damage);
      ASSERT_TRUE(found) << "call " << at;
      EXPECT_EQ(found->step, 1);
      EXPECT_TRUE(damage.empty()) << damage[0];
      EXPECT_EQ(value_in(found->folder), 1);
      EXPECT_EQ(value_in(f.path / "last"), 1);
      EXPECT_EQ(entries(f.path), 3u) << "call " << at << " left something behind";
      c.save(2, parts(2), true);  // there is space again
      EXPECT_EQ(c.newest_whole(damage)->step, 2);
    }
  }
}

TEST(Checkpoints, EveryFlippedByteIsFound) {
  TempFolder f;
  Checkpoints c(f.path, 2);
  c.save(1, parts(1), true);
  c.save(2, parts(2), false);
  for (const char* name : {"model.safetensors", "training.safetensors", "manifest.json"}) {
    const fs::path file = f.path / "step-00000002" / name;
    const std::string good = read_text(file);
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
      std::ofstream(file, std::ios::binary) << bad;
      std::vector<std::string> damage;
      const auto found = c.newest_whole(damage);
      ASSERT_TRUE(found && found->step == 1 && damage.size() == 1) << name << " byte " << i;
      EXPECT_NE(damage[0].find(i == 0 && damage[0].find("manifest") != std::string::npos ? "manifest" : name), std::string::npos)
          << damage[0];
    }
    for (std::size_t size = 0; size < good.size(); size += 7) {
      std::ofstream(file, std::ios::binary) << good.substr(0, size);
      std::vector<std::string> damage;
      const auto found = c.newest_whole(damage);
      ASSERT_TRUE(found && found->step == 1 && damage.size() == 1) << name << " cut to " << size;
    }
    std::ofstream(file, std::ios::binary) << good;
  }
}

}  // namespace
}  // namespace graft
