// The main job from the command line, on drawn data: training, the checkpoint, fine-tuning, evaluation, the same bits for any number of
// threads.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/train/recipes.h"
#include "process.h"
#include "weights/formats/safetensors.h"

namespace graft::test {
namespace {

using Json = nlohmann::json;
const std::string kSmall = "digits-cnn data.train_count=640 data.test_count=200 train.steps=8 ";

TEST(Train, WritesItsRunFolderAndOneJsonDocument) {
  TempFolder t;
  const Outcome o = run(t.path, "train " + kSmall + "train.log_every=2 --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  for (const char* key : {"test.accuracy", "train.loss", "steps", "seconds", "samples_per_second", "peak_rss_bytes", "weights_hash"})
    EXPECT_TRUE(j.contains(key)) << key;
  EXPECT_EQ(j["test"]["accuracy"], j["test.accuracy"]);
  EXPECT_EQ(j["steps"], 8);
  EXPECT_EQ(j["weights_hash"].get<std::string>().size(), 32u);
  const auto folder = t.path / j["run"].get<std::string>();
  for (const char* f : {"config.toml", "env.json", "log.jsonl", "metrics.csv", "report.json", "report.html",
                        "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors"})
    EXPECT_TRUE(std::filesystem::exists(folder / f)) << f;
  const std::string page = read_file(folder / "report.html");
  for (const char* wanted : {"<svg", "prefers-color-scheme", "train digits-cnn data.train_count=640", "<h2>Loss</h2>", "was called what"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  for (const char* unwanted : {"http", "<script", "@import"})
    EXPECT_EQ(page.find(unwanted), std::string::npos) << unwanted << " in a page without network";
  for (std::size_t at = page.find("src="); at != std::string::npos; at = page.find("src=", at + 1))
    EXPECT_EQ(page.compare(at, 10, "src=\"data:"), 0) << page.substr(at, 80);
  for (std::size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) {
    const std::string drawing = page.substr(at, page.find("</svg>", at) - at);
    for (const char* unwanted : {"nan", "inf"}) EXPECT_EQ(drawing.find(unwanted), std::string::npos) << unwanted << " among coordinates";
  }
}

TEST(Train, SameHashForAnyThreadsWorkersAndFromRunToRun) {
  TempFolder t;
  std::string hash;
  for (const char* threads : {"1", "2", "3", "2"}) {
    const Outcome o = run(t.path, "train " + kSmall + "--json -q --threads " + threads);
    ASSERT_EQ(o.code, 0) << o.err;
    const std::string h = Json::parse(o.out)["weights_hash"];
    if (hash.empty()) hash = h;
    EXPECT_EQ(h, hash) << threads << " threads";
  }
  std::string augmented;
  for (const char* workers : {"0", "1", "8"})
    for (const char* threads : {"1", "2"}) {
      const Outcome o =
          run(t.path, "train " + kSmall + "augment.crop_pad=2 augment.rotate=10 augment.mixup=0.2 augment.erase=0.5 --json -q --threads " +
                          threads + " data.workers=" + workers);
      ASSERT_EQ(o.code, 0) << o.err;
      const std::string h = Json::parse(o.out)["weights_hash"];
      if (augmented.empty()) augmented = h;
      EXPECT_EQ(h, augmented) << threads << " threads, " << workers << " workers";
    }
  EXPECT_NE(augmented, hash);
  const Outcome other = run(t.path, "train " + kSmall + "--json -q --seed 2");
  EXPECT_NE(Json::parse(other.out)["weights_hash"], hash);
}

// The CUDA kernels, run by the emulator, train the same network: the losses of the CPU to 1e-4, for a CNN with dropout.
TEST(Train, OnTheEmulatorLearnsTheSame) {
  TempFolder t;
  const std::string args = "train digits-cnn data.train_count=640 data.test_count=40 train.steps=3 train.batch=8 --json -q --device ";
  const Outcome emu = run(t.path, args + "emu");
  if (emu.code == 6) GTEST_SKIP() << emu.err;
  ASSERT_EQ(emu.code, 0) << emu.err;
  const double on_cpu = Json::parse(run(t.path, args + "cpu").out)["train.loss"], on_emu = Json::parse(emu.out)["train.loss"];
  EXPECT_NEAR(on_emu, on_cpu, 1e-4 * on_cpu);
  // a checkpoint of one device is read by the other
  const Outcome eval = run(t.path, "eval " + (t.path / Json::parse(emu.out)["run"].get<std::string>() / "checkpoints/best").string() +
                                       " --json -q data.test_count=40");
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["test.accuracy"], Json::parse(emu.out)["test.accuracy"]);
}

// A captured step replayed leaves the same bits; where there is nothing to capture, one line says so.
TEST(Train, ByReplaysOfAGraphIsTheSameTraining) {
  TempFolder t;
  const std::string args =
      "train digits-cnn data.train_count=64 data.test_count=10 train.steps=4 train.batch=4 train.clip_norm=1 --json -q ";
  const Outcome plain = run(t.path, args + "--device emu"), replayed = run(t.path, args + "--device emu train.graph=true");
  if (plain.code == 6) GTEST_SKIP() << plain.err;
  ASSERT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(Json::parse(replayed.out)["replayed_steps"], 3);
  EXPECT_EQ(Json::parse(plain.out)["replayed_steps"], 0);
  EXPECT_EQ(Json::parse(replayed.out)["weights_hash"], Json::parse(plain.out)["weights_hash"]);
  EXPECT_EQ(replayed.err, "");
  const Outcome cpu = run(t.path, args + "train.graph=true");
  ASSERT_EQ(cpu.code, 0) << cpu.err;
  EXPECT_EQ(cpu.err.find("graft: train.graph: steps are not captured: the CPU's work is done"), 0u) << cpu.err;
}

TEST(Train, ChannelsLastLearnsTheSame) {
  TempFolder t;
  const Outcome a = run(t.path, "train " + kSmall + "--json -q"), b = run(t.path, "train " + kSmall + "model.channels_last=true --json -q");
  ASSERT_EQ(b.code, 0) << b.err;
  EXPECT_NEAR(Json::parse(a.out)["train.loss"].get<double>(), Json::parse(b.out)["train.loss"].get<double>(), 2e-3);
}

TEST(Finetune, AccountsForEveryTensorAndEvalAgrees) {
  TempFolder t;
  const Outcome first = run(t.path, "train " + kSmall + "--out base --json");
  ASSERT_EQ(first.code, 0) << first.err;
  const Outcome o =
      run(t.path,
          "finetune letters-cnn --from base/checkpoints/best data.train_count=520 data.test_count=260 train.steps=6 --out tuned --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  ASSERT_EQ(j["import"].size(), 8u);
  int drawn = 0;
  for (const auto& line : j["import"]) drawn += line["how"].get<std::string>().find("new head") == 0;
  EXPECT_EQ(drawn, 2);  // fc2.weight and fc2.bias: 26 classes in place of 10
  const Outcome e = run(t.path, "eval tuned/checkpoints/last --json");
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(Json::parse(e.out)["weights_hash"], j["weights_hash"]);
  EXPECT_DOUBLE_EQ(Json::parse(e.out)["test.accuracy"].get<double>(), j["test.accuracy"].get<double>());
  const Outcome p = run(t.path, "predict tuned/checkpoints/last --index 0 --index 5 --json");
  ASSERT_EQ(p.code, 0) << p.err;
  EXPECT_EQ(Json::parse(p.out)["predictions"].size(), 2u);
}

TEST(Finetune, FrozenParametersStay) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kSmall + "--out base -q").code, 0);
  const Outcome o = run(t.path, "finetune " + kSmall + "--from base/checkpoints/best \"init.freeze=[conv*,fc1.*]\" --out tuned --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  const auto before = SafetensorsFile::open(t.path / "base/checkpoints/best/model.safetensors"),
             after = SafetensorsFile::open(t.path / "tuned/checkpoints/best/model.safetensors");
  ASSERT_EQ(before.entries.size(), 8u);
  for (const auto& e : before.entries) {
    const SafetensorsEntry* now = after.find(e.name);
    ASSERT_NE(now, nullptr) << e.name;
    const bool same = std::equal(e.bytes.begin(), e.bytes.end(), now->bytes.begin(), now->bytes.end());
    EXPECT_EQ(same, e.name.rfind("fc2", 0) != 0) << e.name;
  }
}

// Until somebody asks for the test images they are not even opened.
TEST(Train, TheTestImagesStayLocked) {
  TempFolder t;
  std::filesystem::create_directories(t.path / "set");
  const auto table = [&](const char* name, int rows) {
    std::ofstream f(t.path / "set" / name);
    f << "x,y,label\n";
    for (int i = 0; i < rows; ++i) f << i % 7 << ',' << i % 5 << ',' << (i % 7 > 3 ? "high" : "low") << '\n';
  };
  table("train.csv", 200);
  std::ofstream(t.path / "set/test.csv") << "not a table at all\n";
  const Outcome locked = run(t.path, "train table-mlp data.path=set eval.test=false train.epochs=3 --json -q -o run");
  ASSERT_EQ(locked.code, 0) << locked.err;
  EXPECT_FALSE(Json::parse(locked.out).contains("test.accuracy"));
  EXPECT_TRUE(Json::parse(locked.out).contains("validation.accuracy"));
  const Outcome asked = run(t.path, "train table-mlp data.path=set train.epochs=3 --json -q");
  EXPECT_EQ(asked.code, 3) << asked.err;
  EXPECT_NE(asked.err.find("test.csv"), std::string::npos) << asked.err;
  table("test.csv", 50);
  const Outcome eval = run(t.path, "eval run/checkpoints/best --json");
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["images"], 50);
  EXPECT_EQ(Json::parse(eval.out)["by_class"].size(), 2u);
}

// That there is no test part is said before the training that it would judge.
TEST(Train, AMissingTestPartIsSaidFirst) {
  TempFolder t;
  std::filesystem::create_directories(t.path / "set");
  {
    std::ofstream f(t.path / "set/train.csv");
    f << "x,y,label\n";
    for (int i = 0; i < 60; ++i) f << i % 7 << ',' << i % 5 << ',' << (i % 7 > 3 ? "high" : "low") << '\n';
  }
  for (const char* more : {"", " --preflight"}) {
    const Outcome o = run(t.path, "train table-mlp data.path=set train.epochs=3 -q -o run" + std::string(more));
    EXPECT_EQ(o.code, 3) << o.err;
    EXPECT_NE(o.err.find("has no test part"), std::string::npos) << o.err;
    EXPECT_NE(o.err.find("eval.test=false"), std::string::npos) << o.err;
    EXPECT_FALSE(std::filesystem::exists(t.path / "run"));
  }
  EXPECT_EQ(run(t.path, "train table-mlp data.path=set train.epochs=1 -q eval.test=false").code, 0);
}

// One image alone is no batch for a batch norm without width: known before the first step, not after an epoch.
TEST(Train, ALastBatchOfOneImageIsSaidFirst) {
  TempFolder t;
  const std::string images = "train digits-cnn model.name=mnist-bn-cnn data.train_count=33 data.test_count=8 data.validation=0 -q ",
                    one = images + "train.batch=16 ";
  const Outcome o = run(t.path, one + "train.epochs=1 -o run");
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_NE(o.err.find("33 training images in batches of 16 leave one image"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("train.batch=15"), std::string::npos) << o.err;  // as 33 = 2 * 15 + 3; and it is a way out:
  EXPECT_FALSE(std::filesystem::exists(t.path / "run"));
  EXPECT_EQ(run(t.path, images + "train.epochs=1 train.batch=15").code, 0);
  EXPECT_EQ(run(t.path, one + "train.steps=2").code, 0);  // which does not come to it
  EXPECT_EQ(run(t.path, "train digits-cnn data.train_count=33 data.test_count=8 data.validation=0 train.batch=16 train.epochs=1 -q").code,
            0);
}

TEST(Train, AModelThatGivesNoNumbersIsNoResult) {
  TempFolder t;
  const Outcome o = run(t.path, "train digits-cnn data.train_count=64 data.test_count=32 train.steps=1 optim.lr=1e300 -q --json -o run");
  EXPECT_EQ(o.code, 5) << o.out;
  EXPECT_EQ(o.out, "");
  EXPECT_NE(o.err.find("not finite, first for image 0 after step 1; lower optim.lr"), std::string::npos) << o.err;
  EXPECT_FALSE(std::filesystem::exists(t.path / "run/checkpoints/best"));
}

// Classes that have other names get a new last layer, though it is as large.
TEST(Finetune, OtherClassesGetANewHead) {
  TempFolder t;
  const std::string small = "data.train_count=64 data.test_count=20 train.steps=2 -q ";
  ASSERT_EQ(run(t.path, "train digits-cnn model.classes=0 'data.classes=[0,1,2]' " + small + "-o a").code, 0);
  const auto head = [&](const std::string& classes) {
    const Outcome o =
        run(t.path, "finetune digits-cnn model.classes=0 'data.classes=" + classes + "' --from a/checkpoints/best --json " + small);
    EXPECT_EQ(o.code, 0) << o.err;
    const Json j = Json::parse(o.out);
    for (const Json& l : j["import"])
      if (l["tensor"] == "fc2.weight") return l["how"].get<std::string>();
    return std::string();
  };
  EXPECT_EQ(head("[0,1,2]").find("loaded"), 0u);
  EXPECT_EQ(head("[3,4,5]").find("new head"), 0u);
}

TEST(Train, LearnsDrawnDigits) {
  TempFolder t;
  const Outcome o = run(t.path, "train digits-cnn data.train_count=4000 data.test_count=500 train.epochs=2 --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_GT(Json::parse(o.out)["test.accuracy"].get<double>(), 0.8);
}

TEST(Train, RealMnistWhenItIsThere) {
  const char* named = std::getenv("GRAFT_TEST_DATA");
  const std::filesystem::path data = named ? std::filesystem::path(named) : std::filesystem::path(GRAFT_SOURCE_DIR) / "../shared/data";
  if (!std::filesystem::exists(data / "mnist")) GTEST_SKIP() << "no MNIST at " << data << "; set GRAFT_TEST_DATA";
  TempFolder t;
  const Outcome o = run(t.path, "train mnist-cnn data.path='" + std::filesystem::canonical(data / "mnist").string() +
                                    "' train.steps=150 data.test_count=2000 --json -q");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_GT(Json::parse(o.out)["test.accuracy"].get<double>(), 0.9);
}

TEST(Kernels, ListAndBenchHaveTheirFormats) {
  TempFolder t;
  const Json list = Json::parse(run(t.path, "kernels list --json").out);
  ASSERT_GT(list["variants"].size(), 60u);
  for (const char* key : {"family", "variant", "rank", "limits", "doc"}) EXPECT_TRUE(list["variants"][0].contains(key)) << key;
  const Outcome b = run(t.path, "kernels bench softmax --variant cpu.1_simd --seconds 0 --json");
  ASSERT_EQ(b.code, 0) << b.err;
  const Json bench = Json::parse(b.out);
  ASSERT_FALSE(bench["rows"].empty());
  for (const char* key : {"family", "variant", "shape", "dtype", "threads", "median_s", "spread", "gflops", "gbps", "of_roofline"})
    EXPECT_TRUE(bench["rows"][0].contains(key)) << key;
  EXPECT_EQ(run(t.path, "kernels check embed").code, 0);
  EXPECT_EQ(run(t.path, "kernels explain conv").code, 0);
}

// Also where the recipe leaves the number of classes to data that are not there.
TEST(Verbs, GradcheckKnowsTheModelOfEveryRecipe) {
  TempFolder t;
  ASSERT_GE(recipes().size(), 11u);
  for (const Recipe& r : recipes()) {
    const std::string name(r.name);
    const bool resnet = name.find("resnet") != std::string::npos, cnn = !resnet && name.ends_with("-cnn");
    const Outcome g = run(t.path, "gradcheck " + name + (resnet ? " model.width=2" : cnn ? "" : " model.hidden=8") + " --json");
    EXPECT_EQ(g.code, 0) << name << ": " << g.err << g.out;
    const Json j = Json::parse(g.out, nullptr, false);
    ASSERT_TRUE(j.is_object()) << name << ": " << g.out;
    EXPECT_GE(j["parameters"].size(), 4u) << name;
  }
  EXPECT_EQ(run(t.path, "gradcheck cifar-resnet20 model.width=2 model.classes=3").code, 0);
  EXPECT_EQ(run(t.path, "gradcheck mlp model.hidden=8").code, 0);  // a model that no recipe is called after
  EXPECT_EQ(run(t.path, "gradcheck resnet8 model.width=2").code, 0);
}

TEST(Verbs, DoctorConfigAndGradcheckAnswer) {
  TempFolder t;
  EXPECT_EQ(run(t.path, "doctor").code, 0);
  EXPECT_EQ(run(t.path, "config ls").code, 0);
  EXPECT_EQ(run(t.path, "config check mnist-cnn").code, 0);
  const Outcome g = run(t.path, "gradcheck mnist-mlp model.hidden=16");
  EXPECT_EQ(g.code, 0) << g.out;
}

}  // namespace
}  // namespace graft::test
