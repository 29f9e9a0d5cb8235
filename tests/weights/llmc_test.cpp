// llm.c and llama2.c: every tensor in its place, sizes that do not fit, and damaged files.
#include <gtest/gtest.h>

#include "tests/weights/damage.h"

namespace graft {
namespace {

using damage::read_file;
using damage::refused;
using damage::TempFolder;
using damage::write_file;
namespace fs = std::filesystem;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/llmc";

double element(std::uint64_t i) { return (static_cast<double>(i * 37 % 251) - 125) / 64; }  // of make.py's stream

// Every tensor holds the stream's numbers from `offset` on, in units of `width` bytes after `begin`.
void expect_stream(const Source& s, std::uint64_t begin, std::uint64_t width) {
  for (std::size_t t = 0; t < s.tensors.size(); ++t) {
    const std::uint64_t first = (s.tensors[t].offset - begin) / width;
    const auto v = s.load(t).values();
    for (std::size_t i = 0; i < v.size(); ++i) ASSERT_EQ(v[i], element(first + i)) << s.tensors[t].name << " " << i;
  }
}

TEST(LlmC, HasItsOwnNamesAndTheStreamsNumbers) {
  for (const bool half : {false, true}) {
    const auto s = open_source(kGolden / (half ? "gpt2_bf16.bin" : "gpt2_fp32.bin"));
    EXPECT_EQ(s->format, "llm.c");
    for (const StoredTensor& t : s->tensors) EXPECT_EQ(t.dtype, half ? "BF16" : "F32");
    expect_stream(*s, 1024, half ? 2 : 4);
    // Names, shapes and order after ParameterTensors of train_gpt2.c, places counted by hand: 2 layers, 4 channels, 6 positions, 11 words
    // in 16 rows.
    struct Row {
      const char* name;
      std::vector<std::int64_t> shape;
      std::uint64_t place;
    };
    const std::vector<Row> want = {
        {"wte", {11, 4}, 0},          {"wpe", {6, 4}, 64},      {"ln1w", {2, 4}, 88},         {"ln1b", {2, 4}, 96},
        {"qkvw", {2, 12, 4}, 104},    {"qkvb", {2, 12}, 200},   {"attprojw", {2, 4, 4}, 224}, {"attprojb", {2, 4}, 256},
        {"ln2w", {2, 4}, 264},        {"ln2b", {2, 4}, 272},    {"fcw", {2, 16, 4}, 280},     {"fcb", {2, 16}, 408},
        {"fcprojw", {2, 4, 16}, 440}, {"fcprojb", {2, 4}, 568}, {"lnfw", {4}, 576},           {"lnfb", {4}, 580}};
    ASSERT_EQ(s->tensors.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(s->tensors[i].name, want[i].name);
      EXPECT_EQ(s->tensors[i].shape, want[i].shape) << want[i].name;
      EXPECT_EQ((s->tensors[i].offset - 1024) / (half ? 2 : 4), want[i].place) << want[i].name;
    }
    EXPECT_EQ(s->metadata.at("vocab_size"), "11");
    EXPECT_EQ(s->metadata.at("padded_vocab_size"), "16");
    EXPECT_EQ(s->metadata.at("num_heads"), "2");
    ASSERT_EQ(s->notes.size(), 1u);
    EXPECT_NE(s->notes[0].find("5 rows of padding"), std::string::npos);
  }
}
TEST(Llama2C, HasMetasNamesAndTheStreamsNumbers) {
  const auto s = open_source(kGolden / "llama_shared.bin"), own = open_source(kGolden / "llama_own.bin");
  EXPECT_EQ(s->format, "llama2.c");
  ASSERT_EQ(s->tensors.size(), 4u + 2 * 9);
  expect_stream(*s, 28, 4);
  expect_stream(*own, 28, 4);
  EXPECT_EQ(s->find("output.weight"), nullptr);
  ASSERT_NE(own->find("output.weight"), nullptr);
  EXPECT_EQ(own->find("output.weight")->shape, (std::vector<std::int64_t>{10, 8}));
  EXPECT_EQ(s->find("layers.1.attention.wk.weight")->shape, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(s->find("layers.0.feed_forward.w2.weight")->shape, (std::vector<std::int64_t>{8, 12}));
  EXPECT_EQ(s->find("layers.0.attention_norm.weight")->offset, 28u + 4 * 80);
  EXPECT_EQ(s->metadata.at("n_kv_heads"), "2");
  EXPECT_EQ(s->metadata.at("shared_classifier"), "true");
  EXPECT_EQ(own->metadata.at("shared_classifier"), "false");
}
TEST(LlmC, RefusesWhatDoesNotFit) {
  TempFolder dir;
  const std::string whole = read_file(kGolden / "gpt2_fp32.bin");
  const auto with = [&](std::size_t word, std::int32_t v, const std::vector<std::string>& parts) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + 4 * word, &v, 4);
    write_file(dir / "a.bin", bytes);
    refused(dir / "a.bin", parts);
  };
  with(1, 1, {"an llm.c file of version 1", "train_gpt2.py"});
  with(1, 5, {"3360 bytes and its header says 2192"});
  with(2, 0, {"the size 0"});
  with(2, -6, {"the size -6"});
  with(4, 2000000000, {"2000000000 layers"});
  with(5, 3, {"4 channels for 3 heads"});
  with(6, 2000000000, {"more than any file has"});
  with(7, 10, {"a padded vocabulary of 10 for 11 words"});
  write_file(dir / "a.bin", whole + "x");
  refused(dir / "a.bin", {"3361 bytes and its header says 3360"});
  // A llama2.c file of another length is nothing that is known.
  write_file(dir / "b.bin", read_file(kGolden / "llama_shared.bin") + "x");
  EXPECT_NE(damage::refusal([&] { open_source(dir / "b.bin"); }), "(accepted)");
}
TEST(LlmC, SurvivesDamage) {
  TempFolder dir;
  for (const char* name : {"gpt2_fp32.bin", "gpt2_bf16.bin", "llama_shared.bin", "llama_own.bin"}) {
    const fs::path file = dir / "x";
    write_file(file, read_file(kGolden / name));
    const auto c = damage::sweep(file, file, 400, 5000);
    // The header's own numbers, 8 of llm.c and 7 of llama2.c, are all there is to see damage by: one flip in each of their bytes.
    EXPECT_GE(c.refused, 4 * (std::string(name).starts_with("gpt2") ? 8 : 7)) << name;
    std::printf("damaged %s: %d refused, %d opened (numbers or unused bytes differ)\n", name, c.refused, c.opened);
  }
}

}  // namespace
}  // namespace graft
