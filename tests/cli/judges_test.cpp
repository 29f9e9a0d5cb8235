// Round trips judged by others: what graft converts and exports is read and written again by safetensors, huggingface_hub, PyTorch, NumPy,
// PEFT and transformers (tests/golden/roundtrip). Two programs of GRAFT_PYTHON's are started, each once for all of its parts; a part whose
// packages are not there says so and is skipped. gguf-py, ONNX Runtime and PyTorch's other judges stand in tests/weights and
// weights_test.cpp.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "models/zoo.h"
#include "process.h"
#include "weights/formats/safetensors.h"
#include "weights/import.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;

std::string python() {
  const char* given = std::getenv("GRAFT_PYTHON");
  return given ? given : "python3";
}

// The lines of a script of tests/golden/roundtrip, by part; empty where there is no Python.
std::map<std::string, std::string> parts_of(const std::string& script, const fs::path& folder) {
  const fs::path at = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/roundtrip" / script;
  const Outcome o = run(folder, "'" + at.string() + "' '" GRAFT_BINARY "' '" + folder.string() + "'", python());
  std::map<std::string, std::string> parts;
  std::istringstream lines(o.out);
  for (std::string line; std::getline(lines, line);)
    if (const auto space = line.find(' '); space != std::string::npos) parts[line.substr(0, space)] = line.substr(space + 1);
  if (parts.empty() && o.code != 127 && o.code != 126) ADD_FAILURE() << script << " ended with " << o.code << ": " << o.err;
  return parts;
}

void expect_part(const std::map<std::string, std::string>& parts, const std::string& name) {
  const auto it = parts.find(name);
  if (it == parts.end()) {
    if (!parts.empty()) FAIL() << "the script has no part " << name;
    GTEST_SKIP() << python() << " is not there or has no torch: set GRAFT_PYTHON to one that has";
  }
  if (it->second.starts_with("skipped")) GTEST_SKIP() << it->second << ": set GRAFT_PYTHON to a Python that has it";
  EXPECT_TRUE(it->second.starts_with("ok: ")) << it->second;
  std::printf("%s %s\n", name.c_str(), it->second.c_str());
}

class RoundTrip : public testing::Test {
 protected:
  static void SetUpTestSuite() { parts = parts_of("containers.py", TempFolder().path); }
  static inline std::map<std::string, std::string> parts;
};

TEST_F(RoundTrip, SafetensorsByteForByte) { expect_part(parts, "safetensors"); }
TEST_F(RoundTrip, ShardsAsHuggingfaceHubWritesThem) { expect_part(parts, "shards"); }
TEST_F(RoundTrip, TorchLoadsWhatIsWritten) { expect_part(parts, "torch"); }
TEST_F(RoundTrip, NumpyLoadsWhatIsWritten) { expect_part(parts, "numpy"); }

class Adapters : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const TempFolder t;
    if (run(t.path, "-c 'import importlib.util as u; raise SystemExit(u.find_spec(\"torch\") is None)'", python()).code != 0) return;
    const std::string net =
        "digits-cnn data.train_count=64 data.test_count=20 data.validation=0 train.batch=16 schedule.warmup=0 train.steps=3 ";
    ASSERT_EQ(run(t.path, "train " + net + "-q -o a").code, 0);
    ASSERT_EQ(run(t.path, "finetune " + net + "--from a/checkpoints/best peft.method=lora peft.rank=2 optim.lr=1e-2 -q -o b").code, 0);
    const Outcome o = run(t.path, "export b/checkpoints/best adapter --format peft");
    ASSERT_EQ(o.code, 0) << o.err;
    fs::copy_file(t.path / "a/checkpoints/best/model.safetensors", t.path / "base.safetensors");
    fs::copy_file(t.path / "b/checkpoints/best/model.safetensors", t.path / "merged.safetensors");
    // What the run's own model gives.
    NoGrad off;
    UseQueue host(host_queue());
    Import import((t.path / "merged.safetensors").string(), HeadPolicy::keep, "");
    const Model model = make_model(Config::recipe("digits-cnn"), Params::from(import.lookup(), 1));
    RandomState r{1, 21, 0};
    const Tensor x = rand_normal({8, 1, 28, 28}, 0, 1, r);
    graft::Run forward;
    write_safetensors(t.path / "outputs.safetensors", {{"x", x}, {"logits", model.module->forward(x, forward)}}, {{"format", "pt"}});
    parts = parts_of("adapters.py", t.path);
  }
  static inline std::map<std::string, std::string> parts;
};

TEST_F(Adapters, PeftLoadsWhatGraftExports) { expect_part(parts, "peft-out"); }
TEST_F(Adapters, GraftMergesAsPeftDoes) { expect_part(parts, "peft-in"); }
TEST_F(Adapters, TransformersLoadsWhatGraftConverts) { expect_part(parts, "transformers"); }

}  // namespace
}  // namespace graft::test
