// Fine-tuning from the command line: the table and the proof, adapters that are merged, and runs that go on across an unfreezing as if they
// had never stopped.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "process.h"
#include "weights/formats/safetensors.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A residual network of 20 layers that steps in some milliseconds; six steps are an epoch.
const std::string kNet =
    "digits-cnn data.train_count=96 data.test_count=30 train.batch=16 model.name=cifar-resnet20 model.width=2 schedule.warmup=0 ";

class Transfer : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(run(t.path, "train " + kNet + "train.steps=4 -q -o base").code, 0); }
  Outcome finetune(const std::string& more) { return run(t.path, "finetune " + kNet + "--from base/checkpoints/best --json " + more); }
  TempFolder t;
};
Json row_of(const Json& report, const std::string& tensor) {
  for (const Json& row : report["parameters"])
    if (row["tensor"] == tensor) return row;
  ADD_FAILURE() << "no row for " << tensor;
  return {};
}

TEST_F(Transfer, TellsRatesAndProvesThatFrozenTensorsStay) {
  const Outcome o = finetune(
      "train.epochs=2 \"init.freeze=[backbone]\" \"init.unfreeze=[layer3.*:1]\" init.batch_norm=affine optim.layer_decay=0.5 "
      "optim.l2_sp=0.01 optim.lr=0.01 "
      "\"optim.groups=['linear.*:lr=10']\" -o tuned");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(j["parameters"].size(), 19u * 3 + 2);
  EXPECT_EQ(row_of(j, "linear.weight")["lr"], 0.1);
  EXPECT_EQ(row_of(j, "linear.weight")["weight_decay"], 1e-4);
  EXPECT_EQ(row_of(j, "layer3.2.conv1.weight")["lr"], 0.005);
  EXPECT_EQ(row_of(j, "layer3.2.conv1.weight")["from_epoch"], 1);
  EXPECT_EQ(row_of(j, "layer3.2.conv1.weight")["l2_sp"], 0.01);
  EXPECT_EQ(row_of(j, "layer2.0.conv1.weight")["frozen"], true);
  EXPECT_EQ(j["frozen"]["count"], (1 + 6 + 6) * 3 + 19 * 2) << "weights, scales and shifts before layer3, and all running statistics";
  EXPECT_EQ(j["frozen"]["unchanged"], true);
  EXPECT_EQ(j["frozen"]["hash_before"], j["frozen"]["hash_after"]);
  EXPECT_NE(o.err.find("77 frozen tensors unchanged (hash " + j["frozen"]["hash_before"].get<std::string>() + ")\n"), std::string::npos)
      << o.err;
  const auto line = o.err.find("  layer3.0.conv1.weight ", o.err.find("weight decay"));
  ASSERT_NE(line, std::string::npos) << o.err;
  EXPECT_NE(o.err.substr(line, o.err.find('\n', line) - line).find("frozen for 1 epoch, pulled to its start"), std::string::npos) << o.err;
  // Not by graft's word alone: the bytes in the checkpoints
  const SafetensorsFile before = SafetensorsFile::open(t.path / "base/checkpoints/best/model.safetensors"),
                        after = SafetensorsFile::open(t.path / "tuned/checkpoints/last/model.safetensors");
  std::size_t same = 0;
  for (const SafetensorsEntry& e : before.entries) {
    const SafetensorsEntry* other = after.find(e.name);
    ASSERT_NE(other, nullptr) << e.name;
    const bool equal = std::equal(e.bytes.begin(), e.bytes.end(), other->bytes.begin(), other->bytes.end());
    same += equal;
    if (e.name.starts_with("layer3") && e.name.ends_with("conv1.weight")) { EXPECT_FALSE(equal) << e.name; }
  }
  EXPECT_EQ(same, 77u);
}

TEST_F(Transfer, RefusesSettingsThatMatchNothing) {
  for (const auto& [arguments, says] :
       std::vector<std::pair<const char*, const char*>>{{"\"optim.groups=['fc2.*:lr=2']\"", "no parameter matches 'fc2.*'"},
                                                        {"\"init.freeze=[backbones]\"", "no parameter matches 'backbones'"},
                                                        {"init.unfreeze_every=1", "nothing is frozen"},
                                                        {"peft.rank=4", "peft.method = lora"},
                                                        {"peft.method=lora \"peft.targets=[fc*]\"", "'fc*' matches no linear layer"}}) {
    const Outcome o = finetune(std::string(arguments) + " -q -o no");
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_NE(o.err.find(says), std::string::npos) << o.err;
    EXPECT_FALSE(fs::exists(t.path / "no")) << arguments;
  }
  EXPECT_EQ(run(t.path, "train " + kNet + "optim.l2_sp=0.1 -q -o no").code, 2) << "there is no start to pull to";
}

// Stopped before, at and behind the boundaries where tensors begin to train: six steps are an epoch.
TEST_F(Transfer, GoesOnAcrossAnUnfreezingBitForBit) {
  const std::string settings[] = {
      "train.epochs=3 \"init.freeze=[backbone]\" init.unfreeze_every=1 optim.layer_decay=0.7 optim.l2_sp=0.05 train.clip_norm=1",
      "train.epochs=3 \"init.freeze=[backbone]\" \"init.unfreeze=[layer3.*:1,layer1.*:2]\" optim.l2_sp=0.05 optim.name=sgd "
      "optim.momentum=0.9 train.ema=0.8 init.batch_norm=eval",
      "train.epochs=2 peft.method=lora peft.rank=2 train.ema=0.8"};
  for (const std::string& s : settings) {
    fs::remove_all(t.path / "whole");
    const Outcome whole = finetune(s + " train.checkpoint_every=1 train.keep=50 -q -o whole");
    ASSERT_EQ(whole.code, 0) << whole.err;
    const Json end = Json::parse(whole.out);
    const std::int64_t steps = end["steps"];
    ASSERT_EQ(steps, s.find("epochs=3") != std::string::npos ? 18 : 12);
    for (const std::int64_t stop : {std::int64_t{1}, std::int64_t{5}, std::int64_t{6}, steps - 5}) {
      fs::remove_all(t.path / "part");
      fs::copy(t.path / "whole", t.path / "part", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      for (std::int64_t later = stop + 1; later <= steps; ++later) {
        char name[32];
        std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(later));
        fs::remove_all(t.path / "part/checkpoints" / name);
      }
      const Outcome o = run(t.path, "resume part --json -q");
      ASSERT_EQ(o.code, 0) << s << " from " << stop << ": " << o.err;
      const Json j = Json::parse(o.out);
      EXPECT_EQ(j["resumed_from"], stop);
      EXPECT_EQ(j["weights_hash"], end["weights_hash"]) << s << " from " << stop;
      EXPECT_EQ(j["test"], end["test"]) << s << " from " << stop;
      EXPECT_EQ(j["frozen"], end["frozen"]) << s;
      EXPECT_EQ(read_file(t.path / "part/metrics.csv"), read_file(t.path / "whole/metrics.csv")) << s << " from " << stop;
    }
  }
}

// On the emulator steps are captured and replayed: what unfreezes or is pulled must be in the capture.
TEST_F(Transfer, CapturedStepsFollowTheUnfreezing) {
  const auto finetune = [&](const std::string& more) {
    return run(t.path,
               "finetune digits-cnn data.train_count=12 data.validation=0 data.test_count=10 train.batch=3 model.name=cifar-resnet20 "
               "model.width=2 schedule.warmup=0 --from base/checkpoints/best --json " +
                   more);
  };
  const std::string s =
      "train.epochs=2 \"init.freeze=[backbone]\" \"init.unfreeze=[layer3.2.*:1]\" optim.l2_sp=0.05 optim.layer_decay=0.5 "
      "init.batch_norm=eval -q --device emu train.graph=";
  const Outcome plain = finetune(s + "false -o plain");
  if (plain.code == 6) GTEST_SKIP() << plain.err;
  ASSERT_EQ(plain.code, 0) << plain.err;
  const Outcome captured = finetune(s + "true -o captured");
  ASSERT_EQ(captured.code, 0) << captured.err;
  const Json a = Json::parse(plain.out), b = Json::parse(captured.out);
  EXPECT_EQ(a["replayed_steps"], 0);
  EXPECT_EQ(b["replayed_steps"], 6) << "of eight: the first one of each epoch makes what lasts";
  EXPECT_EQ(a["weights_hash"], b["weights_hash"]);
}

TEST_F(Transfer, AdaptersAreMergedInThePlainCheckpoint) {
  const Outcome o = finetune(
      "data.validation=0 train.steps=8 peft.method=lora peft.rank=2 peft.alpha=4 \"peft.targets=[layer3.*,conv1]\" init.batch_norm=eval "
      "optim.lr=0.05 -q -o lora");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(row_of(j, "conv1.lora_A")["frozen"], false);
  EXPECT_EQ(row_of(j, "conv1.weight")["frozen"], true);
  EXPECT_EQ(j["frozen"]["count"], 19 * 5);
  const auto part = [&](const char* name) { return SafetensorsFile::open(t.path / "lora/checkpoints/last" / name); };
  const SafetensorsFile model = part("model.safetensors"), adapter = part("adapter.safetensors"),
                        base = SafetensorsFile::open(t.path / "base/checkpoints/best/model.safetensors");
  EXPECT_EQ(model.entries.size(), base.entries.size());
  for (const SafetensorsEntry& e : base.entries) EXPECT_NE(model.find(e.name), nullptr) << e.name;
  EXPECT_EQ(adapter.entries.size(), 2u * 7);
  EXPECT_NE(adapter.find("layer3.0.conv2.lora_A"), nullptr);
  EXPECT_NE(adapter.find("conv1.lora_B"), nullptr);
  // merged is unmerged: what the run said of its last weights, eval says of the file
  const Outcome e = run(t.path, "eval lora/checkpoints/last --json");
  ASSERT_EQ(e.code, 0) << e.err;
  const Json judged = Json::parse(e.out);
  EXPECT_EQ(judged["weights_hash"], j["weights_hash"]);
  EXPECT_EQ(judged["test.accuracy"], j["test.accuracy"]);
  EXPECT_EQ(judged["test"]["loss"], j["test"]["loss"]);
  // and the file is a start like any other
  EXPECT_EQ(run(t.path, "finetune " + kNet + "--from lora/checkpoints/best train.steps=2 -q -o again").code, 0);
  EXPECT_EQ(run(t.path, "finetune " + kNet + "--from lora/checkpoints/best train.steps=2 peft.method=lora -q -o twice").code, 0);
  // threads change nothing
  const Outcome one = finetune(
      "data.validation=0 train.steps=8 peft.method=lora peft.rank=2 peft.alpha=4 \"peft.targets=[layer3.*,conv1]\" init.batch_norm=eval "
      "optim.lr=0.05 -q -o one --threads 1");
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(Json::parse(one.out)["weights_hash"], j["weights_hash"]);
}

}  // namespace
}  // namespace graft::test
