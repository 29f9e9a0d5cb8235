// --preflight from the command line, and the short form before a long run: it is said and stored, and the run's bits are those of a run
// without it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "process.h"

namespace graft::test {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;
const std::string kMlp = "train digits-cnn model.name=mlp data.train_count=800 data.test_count=100 train.batch=32 ";

TEST(Preflight, ChecksAndTrainsNothing) {
  TempFolder t;
  const Outcome good = run(t.path, kMlp + "--preflight");
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  EXPECT_NE(good.out.find("\npreflight: ok, in "), std::string::npos) << good.out;
  const Outcome bad = run(t.path, kMlp + "optim.lr=3 --preflight --json");
  EXPECT_EQ(bad.code, 1) << bad.err;
  const Json j = Json::parse(bad.out);
  EXPECT_EQ(j["preflight"], "fail");
  int failed = 0;
  for (const Json& f : j["findings"])
    if (f["level"] == "fail") {
      ++failed;
      EXPECT_EQ(f["check"], "one batch");
      EXPECT_NE(f["text"].get<std::string>().find("the learning rate 3 is too high"), std::string::npos) << f;
    }
  EXPECT_EQ(failed, 1) << bad.out;
  EXPECT_FALSE(fs::exists(t.path / "runs"));
}

TEST(Preflight, OfATransferKnowsWhatIsNew) {
  TempFolder t;
  ASSERT_EQ(run(t.path, kMlp + "train.steps=60 -q --out base").code, 0);
  const std::string to =
      "finetune letters-cnn model.name=mlp data.train_count=1300 data.test_count=130 train.batch=32 --from base/checkpoints/best "
      "--preflight init.freeze=";
  const Outcome good = run(t.path, to + "'[\"fc1.*\"]'"), bad = run(t.path, to + "'[\"fc2.*\"]'");
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  EXPECT_EQ(bad.code, 1) << bad.out << bad.err;
  EXPECT_NE(bad.out.find("fc2.weight, fc2.bias are frozen but newly drawn"), std::string::npos) << bad.out;
}

TEST(Preflight, BeforeALongRunChangesNothingOfIt) {
  TempFolder t;
  const auto train = [&](const std::string& more) {
    const Outcome o = run(t.path, kMlp + "--json -q eval.train_count=0 " + more);
    EXPECT_EQ(o.code, 0) << o.err;
    return std::pair{Json::parse(o.out), o.err};
  };
  const auto [with, quiet] = train("train.steps=510");
  EXPECT_EQ(with["preflight"]["preflight"], "ok") << with["preflight"];
  EXPECT_EQ(quiet, "");
  const auto [without, silent] = train("train.steps=510 train.preflight=false");
  EXPECT_FALSE(without.contains("preflight"));
  EXPECT_EQ(with["weights_hash"], without["weights_hash"]);
  EXPECT_FALSE(train("train.steps=20").first.contains("preflight"));
  const auto [broken, said] = train("train.steps=510 data.normalize=[0,0.004]");
  EXPECT_EQ(broken["preflight"]["preflight"], "warn");
  EXPECT_NE(said.find("graft: preflight: warn: inputs: not normalised"), std::string::npos) << said;
}

}  // namespace
}  // namespace graft::test
