// Other people's checkpoints from the command line: what they score, what becomes of their tensors, and that they come back as they were.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "process.h"
#include "weights/source.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden";

fs::path real_data() {
  const char* from = std::getenv("GRAFT_TEST_DATA");
  return from ? fs::path(from) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data";
}
double accuracy(const std::string& arguments) {
  TempFolder t;
  const Outcome o = run(t.path, "eval " + arguments + " --json");
  EXPECT_EQ(o.code, 0) << o.err;
  return o.code == 0 ? Json::parse(o.out)["test"]["accuracy"].get<double>() : 0;
}

TEST(Weights, RealCheckpointsScoreWhatTheyScoredWhereTheyWereMade) {
  const fs::path data = real_data(), from = data / "checkpoints";
  if (!fs::exists(from) || !fs::exists(data / "mnist") || !fs::exists(data / "cifar10"))
    GTEST_SKIP() << "no real data at " << data << " (GRAFT_TEST_DATA)";
  const std::string mnist = " data.path=" + (data / "mnist").string(), cifar = " data.path=" + (data / "cifar10").string();
  // PyTorch gives 0.8102 for these 5,000 files.
  EXPECT_NEAR(accuracy("cifar-resnet20 --from " + (from / "resnet20-cifar10-12fca82f.th").string() + cifar), 0.8102, 0.0005);
  EXPECT_GE(accuracy((from / "mnist-cnn.pt").string() + mnist), 0.985);
  EXPECT_GE(accuracy((from / "mnist-cnn.safetensors").string() + mnist), 0.985);
  EXPECT_GE(accuracy((from / "mnist-cnn.onnx").string() + mnist + " data.normalize=[0.1307,0.3081]"), 0.985);
  // Nobody says what this one scores on strong JPEGs: its outputs are held against NumPy's in tests/weights.
  const double keras = accuracy((from / "resnet8-cifar10-keras.h5").string() + cifar);
  std::printf("resnet8-cifar10-keras.h5: %.4f on the JPEGs\n", keras);
  EXPECT_GE(keras, 0.7);
}

TEST(Weights, ATrainedModelGoesBackIntoTheFileItCameFrom) {
  TempFolder t;
  // Three updates in PyTorch, wrapped as a training script does.
  const std::string origin = (kGolden / "torch_optimizer/mlp_adamw.pt").string();
  const std::string recipe =
      "mnist-mlp model.hidden=4 data.kind=digits data.train_count=64 data.test_count=20 data.validation=0 train.batch=32 "
      "schedule.warmup=0 ";
  Outcome o = run(t.path, "finetune " + recipe + "--from " + origin + " init.optimizer=true train.steps=2 optim.lr=1e-3 -o tuned");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.err.find("the optimizer goes on from 12 tensors of 3 updates"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("fc1.weight       used from model_state_dict.fc1.weight"), std::string::npos) << o.err;
  EXPECT_EQ(open_source(t.path / "tuned/checkpoints/last/training.safetensors")->metadata.at("optimizer_steps"), "5");

  // Names, order, types and the dictionary around them are the origin's; the optimizer is not this model's any more and stays behind.
  o = run(t.path, "export tuned/checkpoints/best back.pt");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("outputs differ by at most 0 "), std::string::npos) << o.out;
  const auto was = open_source(origin), back = open_source(t.path / "back.pt");
  ASSERT_EQ(back->tensors.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(back->tensors[i].name, was->tensors[i].name);
    EXPECT_EQ(back->tensors[i].shape, was->tensors[i].shape);
    EXPECT_NE(back->load(i).values(), was->load(i).values()) << "it was trained";
  }
  EXPECT_EQ(run(t.path, "diff back.pt tuned/checkpoints/best --bare").code, 0);

  // Another optimizer, or none, has no place to go on from.
  o = run(t.path, "finetune " + recipe + "--from " + origin + " init.optimizer=true optim.name=sgd train.steps=1 -o other");
  EXPECT_EQ(o.code, 3) << o.err;
  EXPECT_NE(o.err.find("optim.name"), std::string::npos) << o.err;
  o = run(t.path, "finetune " + recipe + "--from tuned/checkpoints/best init.optimizer=true train.steps=1 -o other");
  EXPECT_EQ(o.code, 3) << o.err;
}

TEST(Weights, ConvertGoesRoundAndDiffSaysWhatDiffers) {
  TempFolder t;
  ASSERT_EQ(
      run(t.path, "train digits-cnn data.train_count=64 data.test_count=20 train.steps=2 schedule.warmup=0 train.batch=16 -q -o a").code,
      0);
  const std::string best = "a/checkpoints/best/model.safetensors";
  for (const auto& [name, extension] : {std::pair{"one", "pt"}, std::pair{"two", "npz"}, std::pair{"three", "gguf"}}) {
    const std::string file = std::string(name) + "." + extension;
    Outcome o = run(t.path, "convert " + best + " " + file);
    ASSERT_EQ(o.code, 0) << o.err;
    o = run(t.path, "diff " + best + " " + file);
    EXPECT_EQ(o.code, 0) << file << ": " << o.out << o.err;
  }
  Outcome o = run(t.path, "convert one.pt back.safetensors");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run(t.path, "diff back.safetensors " + best).code, 0);

  // In shards and together again: byte for byte.
  ASSERT_EQ(run(t.path, "convert back.safetensors s/model.safetensors --shard-size 1MB").code, 3);  // no such folder
  fs::create_directory(t.path / "s");
  o = run(t.path, "convert back.safetensors s/model.safetensors --shard-size 1MB");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(fs::exists(t.path / "s/model-00001-of-00002.safetensors"))
      << o.out;  // as huggingface_hub splits: the one tensor that is larger, and the others
  ASSERT_EQ(run(t.path, "convert s together.safetensors").code, 0);
  EXPECT_EQ(read_file(t.path / "together.safetensors"), read_file(t.path / "back.safetensors"));

  // What rounds is told and bounded, what differs is named.
  o = run(t.path, "convert " + best + " half.safetensors --dtype F16");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("8 tensors from F32 to F16"), std::string::npos) << o.out;
  o = run(t.path, "diff " + best + " half.safetensors --json");
  EXPECT_EQ(o.code, 1);
  EXPECT_EQ(Json::parse(o.out)["differences"].size(), 8u);
  EXPECT_EQ(run(t.path, "diff " + best + " half.safetensors --tolerance 0.01").code, 0);
  ASSERT_EQ(run(t.path, "convert " + best + " q8.gguf --dtype Q8_0").code, 0);
  EXPECT_EQ(run(t.path, "diff " + best + " q8.gguf --tolerance 0.01").code, 0);
}

TEST(Weights, ImportAccountsForEveryTensorAndExportRunsAgain) {
  TempFolder t;
  ASSERT_EQ(
      run(t.path, "train digits-cnn data.train_count=64 data.test_count=20 train.steps=2 schedule.warmup=0 train.batch=16 -q -o a").code,
      0);
  Outcome o = run(t.path, "export a/checkpoints/best out.pt");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("outputs differ by at most 0 "), std::string::npos) << o.out;
  const Json beside = Json::parse(read_file(t.path / "out.pt.json"));
  EXPECT_EQ(beside["classes"].size(), 10u);
  EXPECT_EQ(beside["normalize"].size(), 2u);
  // A stranger's file now: its network is recognised.
  o = run(t.path, "inspect out.pt --json");
  ASSERT_EQ(o.code, 0) << o.err;
  Json j = Json::parse(o.out);
  EXPECT_EQ(j["recognised"]["recipe"], "mnist-cnn");
  EXPECT_EQ(j["elements"], 1199882);
  EXPECT_EQ(j["tensors"].size(), 8u);
  o = run(t.path, "import out.pt --dry-run --json");
  ASSERT_EQ(o.code, 0) << o.err;
  j = Json::parse(o.out);
  EXPECT_EQ(j["tensors"].size(), 8u);
  EXPECT_EQ(run(t.path, "import out.pt").code, 2);  // where to?
  o = run(t.path, "import out.pt --out model --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run(t.path, "import out.pt --out model").code, 2);  // it is there
  EXPECT_EQ(run(t.path, "diff model a/checkpoints/best").code, 0);

  // An origin in a narrower type gets that type back.
  ASSERT_EQ(run(t.path, "convert out.pt half.pt --dtype F16").code, 0);
  o = run(t.path, "export a/checkpoints/best again.pt --like half.pt");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run(t.path, "diff again.pt half.pt").code, 0);

  // A user's own rules: names that nobody knows.
  std::ofstream(t.path / "names.map") << "name mine\nconv1.* -> first.*\n";
  o = run(t.path, "import out.pt --map names.map --dry-run");
  EXPECT_EQ(o.code, 3);
  EXPECT_NE(o.err.find("\"first.bias\""), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("\"conv1.bias\""), std::string::npos) << o.err;
  std::ofstream(t.path / "names.map") << "name mine\nconv1.* => first.*\n";
  o = run(t.path, "import out.pt --map names.map --dry-run");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("names.map:2: "), std::string::npos) << o.err;
}

// A folder as hubs have it: what stands beside the weights goes with them, and nothing that is there already is written over.
TEST(Weights, TokenizerPreprocessingAndLabelsGoWithTheWeights) {
  TempFolder t;
  const std::string net = "digits-cnn data.train_count=64 data.test_count=20 train.batch=16 schedule.warmup=0 train.steps=2 -q ";
  ASSERT_EQ(run(t.path, "train " + net + "-o a").code, 0);
  ASSERT_EQ(run(t.path, "export a/checkpoints/best plain.pt --plain").code, 0);
  fs::create_directories(t.path / "hub");
  ASSERT_EQ(run(t.path, "convert plain.pt hub/model.safetensors").code, 0);
  Json config{{"model_type", "cnn"}, {"id2label", Json::object()}, {"label2id", Json::object()}};
  for (int i = 0; i < 10; ++i)
    config["id2label"][std::to_string(i)] = "digit " + std::to_string(i), config["label2id"]["digit " + std::to_string(i)] = i;
  const std::string words = "{\"model\": {\"vocab\": {\"a\": 0}}}";
  write_file(t.path / "hub/config.json", config.dump());
  write_file(t.path / "hub/tokenizer.json", words);
  write_file(t.path / "hub/preprocessor_config.json", "{\"size\": 28}");
  write_file(t.path / "hub/private_notes.txt", "not the model's");

  Outcome o = run(t.path, "inspect hub --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(Json::parse(o.out)["beside"]["labels"].get<std::string>()).at(3), "digit 3");

  fs::create_directories(t.path / "other");
  write_file(t.path / "other/preprocessor_config.json", "somebody's");
  o = run(t.path, "convert hub other/model.pt");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("beside it, from where it came: \"config.json\", \"tokenizer.json\""), std::string::npos) << o.out;
  EXPECT_NE(o.err.find("\"preprocessor_config.json\": the folder has other files"), std::string::npos) << o.err;
  EXPECT_EQ(read_file(t.path / "other/preprocessor_config.json"), "somebody's");
  EXPECT_EQ(read_file(t.path / "other/tokenizer.json"), words);
  EXPECT_EQ(read_file(t.path / "other/config.json"), config.dump());
  EXPECT_FALSE(fs::exists(t.path / "other/private_notes.txt"));
  // A file that is not named as hubs name weights has no company.
  fs::copy_file(t.path / "hub/model.safetensors", t.path / "hub/download.safetensors");
  fs::create_directories(t.path / "third");
  ASSERT_EQ(run(t.path, "convert hub/download.safetensors third/x.pt").code, 0);
  EXPECT_FALSE(fs::exists(t.path / "third/tokenizer.json"));
  fs::remove(t.path / "hub/download.safetensors");

  // The labels are the outputs' names: of a run that goes on from the folder with other classes, the exported configuration says the new
  // ones.
  o = run(t.path, "import hub --out imported --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(open_source(t.path / "imported")->metadata.at("graft.classes")).at(9), "digit 9");
  EXPECT_EQ(read_file(t.path / "imported/tokenizer.json"), words);
  o = run(t.path, "finetune " + net + "--from hub data.classes=[0,1,2] model.classes=3 -o tuned");
  ASSERT_EQ(o.code, 0) << o.err;
  fs::create_directories(t.path / "out");
  o = run(t.path, "export tuned/checkpoints/best out/model.safetensors --plain");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(read_file(t.path / "out/tokenizer.json"), words);
  const Json now = Json::parse(read_file(t.path / "out/config.json"));
  EXPECT_EQ(now["model_type"], "cnn");
  EXPECT_EQ(now["id2label"].size(), 3u);
  EXPECT_EQ(now["label2id"].size(), 3u);
  EXPECT_EQ(now["id2label"]["2"], "2");
}

// GGUF's lists have no place elsewhere; they are left out whole and said, never written in part.
TEST(Weights, ListsOfGgufAreSaidWhereTheyHaveNoPlace) {
  TempFolder t;
  const Outcome o = run(t.path, "convert " + (kGolden / "gguf/vocab.gguf").string() + " a.safetensors");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("keys of GGUF that are lists"), std::string::npos) << o.out;
  const auto source = open_source(t.path / "a.safetensors");
  EXPECT_EQ(source->metadata.count("tokenizer.ggml.tokens"), 0u);
  EXPECT_EQ(source->metadata.count("tokenizer.ggml.model"), 1u);
}

TEST(Weights, AdaptersGoOutAndComeBack) {
  TempFolder t;
  const std::string net = "digits-cnn data.train_count=64 data.test_count=20 train.batch=16 schedule.warmup=0 train.steps=2 ";
  ASSERT_EQ(run(t.path, "train " + net + "-q -o a").code, 0);
  ASSERT_EQ(run(t.path, "finetune " + net + "--from a/checkpoints/best peft.method=lora peft.rank=2 -q -o b").code, 0);
  Outcome o = run(t.path, "export b/checkpoints/best adapter --format peft --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_EQ(j["adapters"], 3);
  EXPECT_EQ(j["whole"], 2);
  EXPECT_EQ(j["difference"], 0.0);
  o = run(t.path, "import a/checkpoints/best --adapter adapter --out c");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run(t.path, "diff c b/checkpoints/best").code, 0);
  // A run that began with an adapter has it in its weights: neither eval nor resume adds it again.
  o = run(t.path, "finetune " + net + "--from a/checkpoints/best init.adapter=adapter train.checkpoint_every=1 --json -q -o d");
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string hash = Json::parse(o.out)["weights_hash"];
  o = run(t.path, "eval d/checkpoints/last --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(o.out)["weights_hash"], hash);
  fs::remove_all(t.path / "d/checkpoints/step-00000002");
  o = run(t.path, "resume d --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(o.out)["weights_hash"], hash);
  o = run(t.path, "export a/checkpoints/best nothing --format peft");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("holds no adapters"), std::string::npos) << o.err;
}

TEST(Weights, EachNetworkGoesOutAsAnOnnxGraph) {
  TempFolder t;
  const char* given = std::getenv("GRAFT_PYTHON");
  const std::string python = given ? given : "python3";
  const bool judge = std::system((python + " -c 'import onnx, onnxruntime' >/dev/null 2>&1").c_str()) == 0;
  for (const std::string net :
       {"mnist-cnn", "mnist-bn-cnn", "mlp model.hidden=16", "cifar-resnet20 model.width=4", "resnet8 model.width=4"}) {
    const std::string out = net.substr(0, net.find(' '));
    const std::string data = out.starts_with("mlp") || out.starts_with("mnist") ? "digits-cnn " : "shapes-resnet ";
    Outcome o = run(t.path, "train " + data +
                                "data.train_count=64 data.test_count=20 data.validation=0 train.batch=16 train.steps=2 "
                                "schedule.name=constant schedule.warmup=0 -q -o " +
                                out + " model.name=" + net);
    ASSERT_EQ(o.code, 0) << o.err;
    o = run(t.path, "export " + out + "/checkpoints/best " + out + ".onnx --json");
    ASSERT_EQ(o.code, 0) << out << ": " << o.err;
    EXPECT_LE(Json::parse(o.out)["difference"].get<double>(), 1e-5) << out;
    // Where ONNX Runtime is: the checker's verdict, and its outputs as what `graft import --check` compares with.
    if (judge) {
      EXPECT_EQ(std::system((python + " '" + (kGolden / "onnx_export/judge.py").string() + "' '" + (t.path / (out + ".onnx")).string() +
                             "' '" GRAFT_BINARY "' >'" + (t.path / ".judge").string() + "' 2>&1")
                                .c_str()),
                0)
          << out << ": " << read_file(t.path / ".judge");
    }
  }
  if (!judge) GTEST_SKIP() << python << " has no onnxruntime: set GRAFT_PYTHON to one that has; graft's own reader agreed";
}

TEST(Weights, MisuseIsALine) {
  TempFolder t;
  std::ofstream(t.path / "page.pt") << "<!DOCTYPE html><html><body>404</body></html>";
  std::ofstream(t.path / "pointer.safetensors") << "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 390660192\n";
  for (const auto& [call, code, says] : std::vector<std::tuple<std::string, int, std::string>>{
           {"inspect nothing.pt", 3, "cannot open"},
           {"inspect page.pt", 3, "an HTML page at byte 0"},
           {"inspect pointer.safetensors", 3, "a Git LFS pointer at byte 0 (390660192 bytes elsewhere); run git lfs pull"},
           {"convert page.pt a.weights", 2, "names no container"},
           {"convert page.pt a.pt --format zip", 2, "--format zip"},
           {"export page.pt a.pt", 3, "an HTML page"},
           {"import model=x", 2, "name a checkpoint"},
           {"import page.pt --out x", 3, "an HTML page"},
           {"diff page.pt page.pt", 3, "an HTML page"},
       }) {
    const Outcome o = run(t.path, call);
    EXPECT_EQ(o.code, code) << call << ": " << o.err;
    EXPECT_NE(o.err.find(says), std::string::npos) << call << ": " << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_TRUE(o.out.empty()) << o.out;
  }
}

}  // namespace
}  // namespace graft::test
