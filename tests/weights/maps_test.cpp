// Maps: each kind of rule there and back, what wraps names, recognition, and every complaint with its line.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>

#include "engine/ops/ops.h"
#include "tests/temp_folder.h"
#include "weights/formats/safetensors.h"
#include "weights/import.h"
#include "weights/maps/mapping.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

// A checkpoint in memory.
class Held : public Source {
 public:
  explicit Held(const std::vector<std::pair<std::string, Tensor>>& all, const std::string& type = {}) {
    path = "held";
    format = "memory";
    files = {path};
    if (!type.empty()) beside["model_type"] = type;
    for (const auto& [name, t] : all) {
      tensors.push_back({name,
                         std::string(stored_name(t.dtype())),
                         {t.shape().begin(), t.shape().end()},
                         {},
                         0,
                         static_cast<std::uint64_t>(t.bytes()),
                         0,
                         -1});
      values_.push_back(contiguous(t));
    }
  }
  KeptBytes bytes(std::size_t i) const override {
    const auto kept = std::make_shared<Tensor>(values_[i]);
    return {{static_cast<const std::byte*>(kept->raw()), static_cast<std::size_t>(kept->bytes())}, kept};
  }

 private:
  std::vector<Tensor> values_;
};

std::shared_ptr<const Source> named(const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& n : names) all.emplace_back(n, Tensor::zeros({1}));
  return std::make_shared<Held>(all);
}

std::string refused(const std::function<void()>& f, Code code) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}

std::vector<double> counted(std::int64_t n) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(static_cast<double>(i));
  return v;
}

TEST(Rules, StarsStandForPartsOfNames) {
  EXPECT_EQ(fits("layer*.*.conv1.weight", "layer3.10.conv1.weight"), (std::vector<std::string>{"3", "10"}));
  EXPECT_EQ(fits("*.weight", "a.b.weight"), std::nullopt);
  EXPECT_EQ(fits("**.weight", "a.b.weight"), (std::vector<std::string>{"a.b"}));
  EXPECT_EQ(fits("**weight", "weight"), (std::vector<std::string>{""}));
  EXPECT_EQ(fits("a", "ab"), std::nullopt);
  EXPECT_EQ(filled("x.*.y.**", {"3", "p.q"}), "x.3.y.p.q");
}

TEST(Rules, EachKindGoesThereAndBack) {
  const std::string text = R"(
name    everything
a.*     -> renamed.*
conv    -> filter : permute 3 2 0 1
dense   -> linear : transpose
qkv.*   -> q.*, k.*, v.* : split 0
left, right -> both : cat 1
gates   -> ordered : blocks 0 0 1 3 2
flat    -> square : reshape 2 -1
norm    -> plain : add 1
tie     head = renamed.table
drop    **.noise : nobody reads it
)";
  const auto maps = parse_maps(text, "rules.map");
  const auto t = [](const Shape& shape) { return Tensor::from(counted(shape.numel()), shape); };
  const std::vector<std::pair<std::string, Tensor>> all = {{"a.table", t({3, 2})}, {"conv", t({2, 3, 4, 5})}, {"dense", t({3, 4})},
                                                           {"qkv.w", t({6, 2})},   {"right", t({2, 2})},      {"left", t({2, 3})},
                                                           {"gates", t({8, 2})},   {"flat", t({6})},          {"norm", t({4})},
                                                           {"x.noise", t({1})},    {"same", t({2})}};
  const auto source = std::make_shared<Held>(all);
  const Mapping m(source, &maps[0]);
  const auto load = [&](const std::string& name) {
    const MappedTensor* x = m.find(name);
    EXPECT_NE(x, nullptr) << name;
    return x ? m.load(*x) : Tensor::zeros({1});
  };
  EXPECT_EQ(load("renamed.table").values(), all[0].second.values());
  EXPECT_EQ(load("filter").shape(), Shape({5, 4, 2, 3}));
  EXPECT_EQ(load("filter").values()[1], 20);  // [0,0,0,1] of the new is [0,1,0,0] of the old
  EXPECT_EQ(load("linear").values(), (std::vector<double>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(load("k.w").values(), (std::vector<double>{4, 5, 6, 7}));
  EXPECT_EQ(load("both").values(), (std::vector<double>{0, 1, 2, 0, 1, 3, 4, 5, 2, 3}));
  EXPECT_EQ(load("ordered").values(), (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11}));
  EXPECT_EQ(load("square").shape(), Shape({2, 3}));
  EXPECT_EQ(load("plain").values(), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(load("head").values(), all[0].second.values());
  EXPECT_EQ(m.find("head")->how, "tied");
  EXPECT_EQ(m.find("same")->how, "used");
  EXPECT_EQ(m.find("linear")->how, "transposed");
  ASSERT_EQ(m.dropped().size(), 1u);
  EXPECT_EQ(m.dropped()[0].reason, "nobody reads it");

  const auto value = [&](const std::string& name) -> Tensor {
    const MappedTensor* x = m.find(name);
    return x ? m.load(*x) : Tensor{};
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Tensor back = m.back(i, value);
    if (all[i].first == "x.noise") {
      EXPECT_FALSE(back.defined());
      continue;
    }
    ASSERT_TRUE(back.defined()) << all[i].first;
    EXPECT_EQ(back.shape(), all[i].second.shape()) << all[i].first;
    EXPECT_EQ(back.values(), all[i].second.values()) << all[i].first;
  }
}

TEST(Rules, WhatIsNoRuleIsRefusedWithItsLine) {
  const auto said = [](const std::string& line) { return refused([&] { parse_maps("name x\n" + line + "\n", "my.map"); }, Code::usage); };
  for (const auto& [line, words] : std::vector<std::pair<std::string, std::string>>{
           {"a -> ", "names tensors on both sides"},
           {"a -> b : turn", "'turn' is nothing that a rule does"},
           {"a -> b, c", "a split, and nothing else, has several names on the right"},
           {"a, b -> c", "a cat, and nothing else, has several names on the left"},
           {"a.* -> b", "other stars"},
           {"a.*, b -> c.* : cat 0", "different numbers of stars"},
           {"a -> b : permute 0 2", "names each of 0, 1, ... once"},
           {"a -> b : blocks 0 1 1", "names each of 0, 1, ... once"},
           {"a -> b, c : split", "takes one axis"},
           {"a -> b : add one", "takes one number"},
           {"a -> b : reshape -1 -1", "one of which may be -1"},
           {"drop a", "says why"},
           {"tie a", "a tie is"},
           {"has a [1,x]", "'x' is no size"},
           {"fact n = sum a", "a fact is"},
           {"recipe r n=many", "not FACT=NUMBER"},
           {"hello world", "no word of a map"},
       }) {
    const std::string message = said(line);
    EXPECT_NE(message.find(words), std::string::npos) << line << ": " << message;
    EXPECT_EQ(message.rfind("my.map:2: ", 0), 0u) << message;
  }
  EXPECT_NE(refused([] { parse_maps("a -> b\n", "my.map"); }, Code::usage).find("begins with its name"), std::string::npos);
}

TEST(Mapping, TakesOffWhatWrapsNamesAndSaysSo) {
  const auto bare = [](const std::vector<std::string>& names) { return bare_names(*named(names)); };
  EXPECT_EQ(bare({"module.a", "module.b.c"}).names, (std::vector<std::string>{"a", "b.c"}));
  const BareNames deep = bare({"state_dict.module.a", "optimizer.state.0.exp_avg", "state_dict.module.b"});
  EXPECT_EQ(deep.stripped, "state_dict.module.");
  EXPECT_EQ(deep.names, (std::vector<std::string>{"a", "", "b"}));
  EXPECT_NE(deep.beside[1].find("'optimizer'"), std::string::npos);
  // "model" is a container only where nothing else stands on its level but what trainers add.
  EXPECT_EQ(bare({"model.embed.weight", "lm_head.weight"}).stripped, "");
  EXPECT_EQ(bare({"_orig_mod.module.a"}).names, (std::vector<std::string>{"a"}));
  EXPECT_EQ(bare({"a", "b"}).stripped, "");
}

TEST(Mapping, TwoTensorsOfOneNameAndHalvesAreRefused) {
  const auto maps = parse_maps("name x\nleft -> a\nright -> a\nl, r -> b : cat 0\n", "x.map");
  EXPECT_NE(refused([&] { Mapping(named({"left", "right"}), &maps[0]); }, Code::input).find("would both be \"a\""), std::string::npos);
  EXPECT_NE(refused([&] { Mapping(named({"l"}), &maps[0]); }, Code::input).find("\"r\", which is not there"), std::string::npos);
}

TEST(Maps, TheCarriedOnesKnowTheirNetworks) {
  EXPECT_GE(carried_maps().size(), 40u);
  std::vector<std::pair<std::string, Tensor>> resnet = {{"module.conv1.weight", Tensor::zeros({16, 3, 3, 3})},
                                                        {"module.linear.weight", Tensor::zeros({7, 64})}};
  for (int stage = 1; stage <= 3; ++stage)
    for (int b = 0; b < 5; ++b)
      for (const char* part : {"conv1", "bn2"})
        resnet.emplace_back("module.layer" + std::to_string(stage) + "." + std::to_string(b) + "." + part + ".weight", Tensor::zeros({1}));
  const Held source(resnet);
  const auto known = recognise(source, bare_names(source));
  ASSERT_TRUE(known);
  EXPECT_EQ(known->recipe, "cifar-resnet32");
  EXPECT_EQ(known->facts.at("classes"), 7);
  const auto family = [](const std::vector<std::string>& names, const std::string& type = {}) {
    std::vector<std::pair<std::string, Tensor>> all;
    for (const auto& n : names) all.emplace_back(n, Tensor::zeros({2, 2}));
    const Held held(all, type);
    const auto r = recognise(held, bare_names(held));
    return r ? r->map->name : std::string();
  };
  EXPECT_EQ(family({"bert.embeddings.word_embeddings.weight", "bert.embeddings.token_type_embeddings.weight",
                    "bert.encoder.layer.0.attention.self.query.weight"}),
            "bert");
  EXPECT_EQ(family({"roberta.embeddings.word_embeddings.weight", "roberta.embeddings.token_type_embeddings.weight",
                    "roberta.encoder.layer.0.attention.self.query.weight", "lm_head.dense.weight"}),
            "roberta");
  EXPECT_EQ(family({"transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"}), "gpt2");
  EXPECT_EQ(family({"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight",
                    "lm_head.weight"}),
            "llama");
  EXPECT_EQ(family({"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_norm.weight",
                    "model.layers.0.mlp.gate_proj.weight"}),
            "qwen3");
  EXPECT_EQ(family({"weight"}, "whisper"), "whisper");
  EXPECT_EQ(family({"something.else"}), "");
}

TEST(Maps, AFolderSaysItselfWhatItIs) {
  const test::TempFolder t;
  write_safetensors(t.path / "model.safetensors", {{"something", Tensor::ones({2})}});
  const auto with = [&](const std::string& config) {
    std::ofstream(t.path / "config.json") << config;
    return open_source(t.path);
  };
  const auto whisper = with(R"({"model_type": "whisper", "architectures": ["WhisperModel"], "torch_dtype": "float16"})");
  EXPECT_EQ(whisper->beside.at("architecture"), "WhisperModel");
  EXPECT_TRUE(whisper->metadata.empty()) << "what is converted stays byte for byte what it was";
  EXPECT_EQ(recognise(*whisper, bare_names(*whisper))->map->name, "whisper");
  EXPECT_EQ(with("{broken")->warnings.size(), 1u);
  EXPECT_NE(refused([&] { with(R"({"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}})"); }, Code::input)
                .find("packed by \"gptq\""),
            std::string::npos);
}

TEST(Import, ComplaintsAreGroupedAndNameTheNearest) {
  // through the file system, as an import is
  const std::string path = (std::filesystem::temp_directory_path() / "graft-maps-test.safetensors").string();
  std::vector<std::pair<std::string, Tensor>> all;
  for (int i = 0; i < 3; ++i) all.emplace_back("layer" + std::to_string(i) + ".wieght", Tensor::ones({2}));
  all.emplace_back("head.weight", Tensor::ones({3}));
  write_safetensors(path, all);
  Import import(path, HeadPolicy::keep, "head");
  const Params p = Params::from(import.lookup(), 1);
  for (int i = 0; i < 3; ++i) (p / ("layer" + std::to_string(i))).get("weight", {2}, Init::zeros());
  (p / "head").get("weight", {4}, Init::zeros());
  const std::string message = refused([&] { import.account(p.sources()); }, Code::input);
  EXPECT_NE(message.find("\"layer#.weight\" (3 tensors; nearest: \"layer0.wieght\") are missing"), std::string::npos) << message;
  EXPECT_NE(message.find("\"layer#.wieght\" (3 tensors"), std::string::npos) << message;
  EXPECT_NE(message.find("'head.weight' is f32[4], checkpoint has f32[3] (init.head=new draws another)"), std::string::npos) << message;
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace graft
