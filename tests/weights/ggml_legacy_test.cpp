// ggml's container before GGUF, made by hand as whisper.cpp's converter and ggml's GPT-2 example make it, and damaged.
#include "weights/formats/ggml_legacy.h"

#include <gtest/gtest.h>

#include "tests/weights/gguf_builder.h"

namespace graft {
namespace {

using namespace gguf_tests;

class LegacyBuilder {
 public:
  LegacyBuilder& number(std::int32_t v) {
    out.append(reinterpret_cast<const char*>(&v), 4);
    return *this;
  }
  LegacyBuilder& numbers(const std::vector<std::int32_t>& v) {
    for (const std::int32_t n : v) number(n);
    return *this;
  }
  LegacyBuilder& text(const std::string& s) {
    number(static_cast<std::int32_t>(s.size()));
    out += s;
    return *this;
  }
  // Sizes in the file's order, the fastest first.
  LegacyBuilder& tensor(const std::string& name, const std::vector<std::int32_t>& file_sizes, std::int32_t type, const std::string& data) {
    numbers({static_cast<std::int32_t>(file_sizes.size()), static_cast<std::int32_t>(name.size()), type}).numbers(file_sizes);
    out += name + data;
    return *this;
  }
  std::string out = "lmgg";
};
std::string floats(const std::vector<float>& v) { return {reinterpret_cast<const char*>(v.data()), 4 * v.size()}; }

LegacyBuilder whisper() {
  LegacyBuilder b;
  b.numbers({3, 1500, 384, 6, 4, 448, 384, 6, 4, 2, 1}).numbers({2, 3});
  b.out += floats({0, 0.5, 1, 1, 0.5, 0});
  b.number(3).text("a").text("bc").text(std::string("\xff\x00", 2));
  return b;
}
LegacyBuilder gpt2() {
  LegacyBuilder b;
  b.numbers({2, 1024, 4, 1, 1, 1}).number(2).text("x").text("y");
  return b;
}
const std::string kWeight = floats({1, 2, 3, 4, 5, 6});

TEST(LegacyGgml, WhisperAndGpt2) {
  const Folder dir;
  write_file(dir / "whisper.bin",
             whisper().tensor("encoder.w", {3, 2}, 0, kWeight).tensor("half", {2}, 1, std::string("\x00\x3c\x00\xc0", 4)).out);
  const auto file = open_source(dir / "whisper.bin");
  const auto& w = dynamic_cast<const LegacyGgmlSource&>(*file);
  EXPECT_EQ(w.format, "legacy ggml (whisper)");
  EXPECT_EQ(w.sizes.at("n_audio_ctx"), 1500);
  EXPECT_EQ(w.metadata.at("n_text_layer"), "4");
  EXPECT_EQ(w.tokens, (std::vector<std::string>{"a", "bc", std::string("\xff\x00", 2)}));
  EXPECT_EQ(w.mel_filters, (std::vector<float>{0, 0.5f, 1, 1, 0.5f, 0}));
  EXPECT_EQ(w.mel_bins, 3);
  ASSERT_EQ(w.tensors.size(), 2u);
  EXPECT_EQ(w.tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(w.load(0).values(), (std::vector<double>{1, 2, 3, 4, 5, 6}));  // begins at no multiple of 4
  EXPECT_EQ(w.load(1).values(), (std::vector<double>{1, -2}));

  write_file(dir / "gpt2.bin", gpt2().tensor("model/wte", {3, 2}, 0, kWeight).out);
  const auto other = open_source(dir / "gpt2.bin");
  EXPECT_EQ(other->format, "legacy ggml (gpt2)");
  EXPECT_EQ(other->metadata.at("n_embd"), "4");
  EXPECT_EQ(other->load(0).values(), (std::vector<double>{1, 2, 3, 4, 5, 6}));

  write_file(dir / "empty.bin", whisper().out);
  EXPECT_EQ(open_source(dir / "empty.bin")->warnings.size(), 1u);
}

void refused(const std::string& file, const std::vector<std::string>& parts) {
  const std::string message = refusal([&] { LegacyGgmlSource(bytes_of(file), "x.bin"); });
  EXPECT_EQ(message.rfind("x.bin: ", 0), 0u) << message;
  EXPECT_NE(message.find("; "), std::string::npos) << message;
  for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "wanted '" << part << "' in: " << message;
}

TEST(LegacyGgml, Refusals) {
  refused("lmgf", {"does not begin with lmgg"});
  refused("lmgg", {"truncated, or of a model"});
  refused(LegacyBuilder().numbers({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}).out, {"a model that graft does not know"});
  refused(whisper().tensor("q", {32}, 8, std::string(34, '\0')).out, {"ggml type 8", "F32 and F16", "GGUF"});
  refused(whisper().tensor("q", {1, 1, 1, 1, 1}, 0, floats({1})).out, {"has 5 for the number of axes"});
  refused(whisper().tensor("q", {-1}, 0, "").out, {"has -1 for the size of an axis"});
  refused(whisper().tensor("q", {0}, 0, "").out, {"axis of size 0"});
  refused(whisper().tensor("", {1}, 0, floats({1})).out, {"not text"});
  refused(whisper().tensor("\xff", {1}, 0, floats({1})).out, {"not text"});
  refused(whisper().tensor("q", {1}, 0, floats({1})).tensor("q", {1}, 0, floats({1})).out, {"twice"});
  refused(whisper().tensor("q", {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff}, 0, "").out, {"63 bits"});
  refused(whisper().tensor("q", {2}, 0, floats({1})).out, {"truncated", "its data takes 8 bytes", "after 4"});
  refused(LegacyBuilder().numbers({2, 1024, 4, 1, 1, 1}).number(2).number(0x7fffffff).number(0).out,
          {"truncated", "a token takes 2147483647"});
  refused(LegacyBuilder().numbers({3, 1500, 384, 6, 4, 448, 384, 6, 4, 4096, 1}).numbers({4096, 65536}).out, {"truncated", "mel filters"});
}

// A file that is cut or has one flipped bit is refused or read within its bounds; cut, it is read only where a tensor ends.
TEST(LegacyGgml, Damage) {
  const std::string head = whisper().out, one = whisper().tensor("first", {3, 2}, 0, kWeight).out;
  const std::string good = whisper().tensor("first", {3, 2}, 0, kWeight).tensor("second", {3, 2}, 0, kWeight).out;
  for (std::size_t n = 0; n < good.size(); ++n) {
    const std::vector<std::byte> cut(bytes_of(good).begin(), bytes_of(good).begin() + static_cast<std::ptrdiff_t>(n));
    if (n == head.size() || n == one.size()) continue;
    EXPECT_NE(refusal([&] { LegacyGgmlSource(cut, "x.bin"); }), "(accepted)") << n;
  }
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    try {
      const LegacyGgmlSource s(bytes_of(bad), "x.bin");
      for (const StoredTensor& t : s.tensors) ASSERT_LE(t.offset + t.bytes, bad.size());
    } catch (const Error& e) { ASSERT_EQ(e.code(), Code::input) << e.what(); }
  }
}

}  // namespace
}  // namespace graft
