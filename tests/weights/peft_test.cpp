// Adapters of PEFT's: added to the weights they give what PEFT's own merge gives; what does not belong is named.
#include "weights/peft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/temp_folder.h"
#include "weights/formats/safetensors.h"
#include "weights/import.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden";

void expect_merged(const std::string& base, const std::string& name) {
  const auto merged = open_source(kGolden / "peft" / (name + "_merged.safetensors"));
  Import import(base, HeadPolicy::keep, "", "", (kGolden / "peft" / name).string());
  const Params p = Params::from(import.lookup(), 1);
  for (std::size_t i = 0; i < merged->tensors.size(); ++i) {
    const StoredTensor& t = merged->tensors[i];
    const std::vector<double> want = merged->load(i).values(), got = p.get(t.name, Shape(t.shape), Init::zeros()).values();
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t k = 0; k < want.size(); ++k)
      ASSERT_LE(std::fabs(got[k] - want[k]), 1e-6 * (1 + std::fabs(want[k]))) << t.name << " " << k;
  }
  std::size_t with = 0;
  for (const auto& line : import.account(p.sources())) with += line.how.find("adapter") != std::string::npos;
  EXPECT_GE(with, 3u);
}

TEST(Peft, MergesAsPeftDoes) {
  expect_merged((kGolden / "torch_optimizer/mlp_adamw.pt").string(), "mlp");
  // rank-stabilised, with another alpha and rank for one layer; a convolution that is not square; an embedding
  expect_merged((kGolden / "peft/conv_base.safetensors").string(), "conv");
  // expressions for targets, ranks and alphas; DoRA on a convolution, an embedding and a linear layer
  expect_merged((kGolden / "peft/deep_base.safetensors").string(), "deep");
  expect_merged((kGolden / "peft/dora_base.safetensors").string(), "dora");
}

TEST(Peft, AnAdapterOfAnotherModelIsRefusedByName) {
  Import import((kGolden / "peft/conv_base.safetensors").string(), HeadPolicy::keep, "", "", (kGolden / "peft/mlp").string());
  const Params p = Params::from(import.lookup(), 1);
  for (const StoredTensor& t : import.source().tensors) p.get(t.name, Shape(t.shape), Init::zeros());
  try {
    import.account(p.sources());
    FAIL() << "nothing was refused";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    EXPECT_NE(std::string(e.what()).find("\"fc#.weight\""), std::string::npos) << e.what();
  }
}

TEST(Peft, WhatIsNoLoraIsRefused) {
  const test::TempFolder t;
  fs::copy(kGolden / "peft/mlp", t.path / "a", fs::copy_options::recursive);
  const std::string good = test::read_file(t.path / "a/adapter_config.json");
  const auto said = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    std::ofstream(t.path / "a/adapter_config.json") << text;
    try {
      read_peft(t.path / "a");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::input);
      return std::string(e.what());
    }
    return std::string("nothing was refused");
  };
  EXPECT_NE(said("\"LORA\"", "\"IA3\"").find("is of the method IA3"), std::string::npos);
  EXPECT_NE(said("\"use_dora\": false", "\"use_dora\": true").find("is DoRA"), std::string::npos);
  EXPECT_NE(said("\"lora_alpha\": 6", "\"lora_alpha\": -6").find("'lora_alpha' is not a number above 0"), std::string::npos);
  EXPECT_NE(said("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"fc(?=1)\": 2}").find("the regular expression \"fc(?=1)\""),
            std::string::npos);
  EXPECT_EQ(said("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"fc.*\": 2}"), "nothing was refused");
  EXPECT_NE(said("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"fc.*\": \"2\"}").find("alpha_pattern's \"fc.*\" is not a number above 0"),
            std::string::npos);
  // Weights show their ranks, so that an expression that is not followed does no harm there; a rank that is not theirs does.
  EXPECT_EQ(said("\"rank_pattern\": {}", "\"rank_pattern\": {\"fc(?=1)\": 3}"), "nothing was refused");
  EXPECT_NE(said("\"rank_pattern\": {}", "\"rank_pattern\": {\"fc.\": 3}").find("\"fc1\" has the rank 3.0, and it has 2"),
            std::string::npos);
  EXPECT_NE(said("\"r\": 2", "\"r\": 4").find("\"fc1\" has the rank 4.0, and it has 2"), std::string::npos);
  EXPECT_NE(said("\"fc1\"", "\"c1\"").find("target_modules leaves out \"fc1\""), std::string::npos);
  EXPECT_NE(said("{", "[").find("is no JSON object"), std::string::npos);
  // PEFT takes part of the weight away when these begin: on the weight itself they would be wrong and nothing would show it.
  for (const std::string way : {"pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "of tomorrow"})
    EXPECT_NE(said("\"init_lora_weights\": true", "\"init_lora_weights\": \"" + way + "\"").find("began as \"" + way + "\""),
              std::string::npos)
        << way;
  for (const std::string way : {"gaussian", "orthogonal", "eva", "mica"})
    EXPECT_EQ(said("\"init_lora_weights\": true", "\"init_lora_weights\": \"" + way + "\""), "nothing was refused");
  EXPECT_NE(said("\"layer_replication\": null", "\"layer_replication\": [[0, 2], [1, 3]]").find("sets 'layer_replication'"),
            std::string::npos);
  EXPECT_NE(said("\"use_qalora\": false", "\"use_qalora\": true").find("sets 'use_qalora'"), std::string::npos);
  EXPECT_EQ(said("\"r\": 2", "\"r\": 2"), "nothing was refused");
}

TEST(Peft, ExpressionsForTargets) {
  const test::TempFolder t;
  fs::copy(kGolden / "peft/deep", t.path / "a", fs::copy_options::recursive);
  const std::string good = test::read_file(t.path / "a/adapter_config.json");
  const auto said = [&](const std::string& target) {
    const std::string from = R"("blocks\\.\\d+\\.(q|k)|head")";
    std::string text = good;
    text.replace(text.find(from), from.size(), target);
    std::ofstream(t.path / "a/adapter_config.json") << text;
    try {
      read_peft(t.path / "a");
    } catch (const Error& e) { return std::string(e.what()); }
    return std::string("nothing was refused");
  };
  for (const char* target : {R"(".*")", R"("all-linear")", R"(["q", "k", "head"])", R"(["0.q", "1.q", "2.q", "3.q", "k", "head"])",
                             R"x("(blocks\\.[0-3]\\.)?(q|k|head)")x", "null"})
    EXPECT_EQ(said(target), "nothing was refused") << target;
  EXPECT_NE(said(R"("blocks.*")").find("leaves out \"head\""), std::string::npos);
  EXPECT_NE(said(R"(["0.q", "1.q", "2.q", "k", "head"])").find("leaves out \"blocks.3.q\""), std::string::npos);
  EXPECT_NE(said(R"("(?!x).*")").find("target_modules is the regular expression \"(?!x).*\""), std::string::npos) << said(R"("(?!x).*")");
}

TEST(Peft, DoraWantsItsLengths) {
  const test::TempFolder t;
  fs::copy(kGolden / "peft/dora", t.path / "a", fs::copy_options::recursive);
  std::string text = test::read_file(t.path / "a/adapter_config.json");
  text.replace(text.find("\"use_dora\": true"), 16, "\"use_dora\": false");
  std::ofstream(t.path / "a/adapter_config.json") << text;
  try {
    read_peft(t.path / "a");
    FAIL() << "nothing was refused";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("is DoRA's, and the configuration says nothing of it"), std::string::npos) << e.what();
  }

  // A row of zeros has no direction; PEFT gives NaN.
  PeftAdapter a;
  a.path = "here";
  a.layers["w"] = {Tensor::full({1, 3}, 0), Tensor::full({2, 1}, 0), 1, false, Tensor::full({2}, 5)};
  EXPECT_EQ(a.merged("w", Tensor::from(std::vector<float>{0, 3, 4, 1, 0, 0}, {2, 3})).values(), (std::vector<double>{0, 3, 4, 5, 0, 0}));
  try {
    a.merged("w", Tensor::from(std::vector<float>{0, 3, 4, 0, 0, 0}, {2, 3}));
    FAIL() << "nothing was refused";
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find("row 1 of \"w\" is zero"), std::string::npos) << e.what(); }
  a.layers["w"].magnitude = Tensor::full({3}, 5);
  EXPECT_THROW(a.merged("w", Tensor::from(std::vector<float>{0, 3, 4, 1, 0, 0}, {2, 3})), Error);
}

}  // namespace
}  // namespace graft
