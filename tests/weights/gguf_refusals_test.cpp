// GGUF files that are wrong in one way each: the classes that ggml's own test makes (tests/test-gguf.cpp of llama.cpp) and more; then
// thousands of damaged ones.
#include <gtest/gtest.h>

#include <functional>

#include "tests/weights/gguf_builder.h"

namespace graft {
namespace {

using namespace gguf_tests;
namespace fs = std::filesystem;
const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/gguf";

GgufFile parse(const std::string& file) { return GgufFile::parse(bytes_of(file), "x.gguf"); }

// Refused with a message that names file, byte and next step, and holds every one of `parts`.
void refused(const std::string& file, const std::vector<std::string>& parts) {
  const std::string message = refusal([&] { parse(file); });
  EXPECT_EQ(message.rfind("x.gguf: ", 0), 0u) << message;
  EXPECT_NE(message.find("; "), std::string::npos) << "no next step: " << message;
  EXPECT_NE(message.find(" at byte "), std::string::npos) << message;
  EXPECT_LT(message.size(), 400u) << message;
  for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "wanted '" << part << "' in: " << message;
}
// The file with one key, or one tensor of type F32 with what is left of the description to the caller.
GgufBuilder one_key() {
  GgufBuilder b;
  b.begin(0, 1);
  return b;
}
GgufBuilder one_tensor() {
  GgufBuilder b;
  b.begin(1, 0);
  return b;
}
constexpr std::uint64_t kMinus1 = ~std::uint64_t{0};

TEST(GgufRefusals, Header) {
  refused("", {"does not begin with GGUF"});
  refused("GGU", {"does not begin with GGUF"});
  refused("FUGG\x03\0\0\0", {"FUGG"});
  refused("GGMLxxxx", {"does not begin with GGUF"});
  refused("GGUF", {"truncated", "the version takes 4 bytes"});
  refused(GgufBuilder(0).begin(0, 0).bytes(), {"version 0"});
  refused(GgufBuilder(4).begin(0, 0).bytes(), {"version 4", "1 to 3 are known"});
  refused(GgufBuilder().begin(kMinus1, 0).bytes(), {"18446744073709551615 tensors", "room for 0", "byte 8"});
  refused(GgufBuilder().begin(0, kMinus1).bytes(), {"18446744073709551615 keys", "room for 0", "byte 16"});
  refused(GgufBuilder(1).begin(0xffffffffu, 0).bytes(), {"4294967295 tensors"});
  std::string swapped = "GGUF";
  swapped += std::string("\0\0\0\3", 4) + std::string(16, '\0');
  refused(swapped, {"other byte order", "3 is meant", "gguf-convert-endian"});
  const GgufFile empty = parse(GgufBuilder().begin(0, 0).bytes());
  EXPECT_TRUE(empty.keys.all().empty() && empty.tensors.empty() && empty.warnings.empty());
}

TEST(GgufRefusals, Keys) {
  refused(one_key().u64(kMinus1).raw(std::string(40, 'k')).bytes(), {"the name of a key would have 18446744073709551615 bytes", "byte 24"});
  refused(one_key().u64(65536).raw(std::string(70000, 'k')).bytes(), {"at most 65535"});
  refused(one_key().u64(100).raw(std::string(40, 'k')).bytes(), {"truncated", "takes 100 bytes"});
  refused(one_key().key("", GgufType::u32).u32(1).bytes(), {"name of a key is empty"});
  refused(one_key().text("a\xff").u32(4).u32(1).bytes(), {"is not text"});
  refused(one_key().text(std::string_view("a\0b", 3)).u32(4).u32(1).bytes(), {"is not text"});
  refused(one_key().text("k").u32(13).u32(1).bytes(), {"value type 13", "\"k\""});
  refused(GgufBuilder().begin(0, 2).key("k", GgufType::u8).raw("x").key("k", GgufType::u8).raw("y").bytes(), {"this key twice", "byte 38"});
  refused(one_key().key("general.alignment", GgufType::u32).u32(13).bytes(), {"alignment 13", "no power of two"});
  refused(one_key().key("general.alignment", GgufType::u32).u32(0).bytes(), {"alignment 0"});
  refused(one_key().key("general.alignment", GgufType::i32).u32(32).bytes(), {"alignment that is i32"});
  refused(one_key().key("general.alignment", GgufType::text).text("32").bytes(), {"alignment that is text"});
  refused(one_key().key("b", GgufType::boolean).raw("\2").bytes(), {"byte 2 for a boolean"});
  refused(one_key().key("v", GgufType::u64).u32(1).bytes(), {"truncated", "a value takes 8 bytes"});
  refused(one_key().key("s", GgufType::text).u64((std::uint64_t{1} << 30) + 1).bytes(), {"at most 1073741824"});
  refused(one_key().key("s", GgufType::text).u64(5).raw("abcd").bytes(), {"truncated"});
}

TEST(GgufRefusals, Arrays) {
  const auto array = [] {
    GgufBuilder b;
    b.begin(0, 1).key("a", GgufType::array);
    return b;
  };
  refused(array().u32(13).u64(1).u32(0).bytes(), {"value type 13", "\"a\""});
  refused(array().u32(4).u64(kMinus1).bytes(), {"at most 1073741824"});
  refused(array().u32(4).u64(3).u64(0).bytes(), {"truncated", "an array of 3 u32 takes 12 bytes"});
  refused(array().u32(12).u64(std::uint64_t{1} << 30).u64(0).bytes(), {"truncated"});
  refused(array().u32(8).u64(3).text("a").text("b").bytes(), {"truncated"});
  refused(array().u32(8).u64(1000000).text("a").bytes(), {"truncated", "1000000 texts"});
  refused(array().u32(8).u64(2).text("a").u64(kMinus1).bytes(), {"text 1 of an array would have"});
  refused(array().u32(7).u64(3).raw(std::string_view("\1\0\3", 3)).bytes(), {"byte 3 for a boolean"});
  refused(array().u32(9).u64(1000000).raw(std::string(1 << 20, '\0')).bytes(), {"1000000 arrays"});
  GgufBuilder deep = array();
  for (int i = 0; i < 20; ++i) deep.u32(9).u64(1);
  refused(deep.u32(4).u64(0).bytes(), {"nests arrays deeper than 8"});
  GgufBuilder fine = array();  // ggml refuses arrays of arrays, gguf-py writes them
  const GgufFile f = parse(fine.u32(9).u64(2).u32(4).u64(1).u32(7).u32(4).u64(0).bytes());
  EXPECT_EQ(f.keys.find("a")->list(0).whole(0), 7);
  EXPECT_EQ(f.keys.find("a")->list(1).size(), 0u);
}

TEST(GgufRefusals, Tensors) {
  const std::string zeros(4096, '\0');
  refused(one_tensor().tensor(std::string(64, 'n'), {1}, 0, 0).pad().raw(zeros).bytes(), {"at most 63"});
  refused(one_tensor().u64(kMinus1).raw(zeros).bytes(), {"the name of a tensor would have"});
  refused(one_tensor().tensor("", {1}, 0, 0).pad().raw(zeros).bytes(), {"name of a tensor is empty"});
  refused(one_tensor().tensor("t", {1, 1, 1, 1, 1}, 0, 0).pad().raw(zeros).bytes(), {"5 axes", "\"t\""});
  refused(one_tensor().text("t").u32(0xffffffffu).raw(zeros).bytes(), {"4294967295 axes"});
  refused(one_tensor().tensor("t", {4, kMinus1}, 0, 0).pad().raw(zeros).bytes(), {"an axis of size 18446744073709551615"});
  refused(one_tensor().tensor("t", {4, 0}, 0, 0).pad().raw(zeros).bytes(), {"an axis of size 0"});
  refused(one_tensor().tensor("t", {std::uint64_t{1} << 40, std::uint64_t{1} << 40}, 0, 0).pad().raw(zeros).bytes(),
          {"more elements or bytes"});
  refused(one_tensor().tensor("t", {std::uint64_t{1} << 62}, 27, 0).pad().raw(zeros).bytes(), {"more elements or bytes"});
  refused(one_tensor().tensor("t", {1}, 43, 0).pad().raw(zeros).bytes(), {"ggml type 43", "0 to 42 are known"});
  refused(one_tensor().tensor("t", {1}, 0xffffffffu, 0).pad().raw(zeros).bytes(), {"ggml type 4294967295"});
  refused(one_tensor().tensor("t", {100}, 8, 0).pad().raw(zeros).bytes(), {"rows of 100", "whole blocks of 32 Q8_0"});
  refused(one_tensor().tensor("t", {}, 8, 0).pad().raw(zeros).bytes(), {"rows of 1"});
  refused(one_tensor().tensor("t", {8}, 0, 32).pad().raw(zeros).bytes(), {"leaves a hole", "begins at 32", "where 0"});
  GgufBuilder twice;
  refused(twice.begin(2, 0).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).pad().raw(zeros).bytes(), {"this tensor twice"});
  GgufBuilder overlap;
  refused(overlap.begin(2, 0).tensor("a", {8}, 0, 0).tensor("b", {8}, 0, 0).pad().raw(zeros).bytes(), {"overlaps", "\"b\""});
  GgufBuilder unaligned;  // places that a file of alignment 1 has
  refused(unaligned.begin(2, 0).tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 4).pad().raw(zeros).bytes(),
          {"overlaps", "where 32 is its place with the alignment 32"});
  GgufBuilder custom;
  const GgufFile f = parse(custom.begin(2, 1)
                               .key("general.alignment", GgufType::u32)
                               .u32(1)
                               .tensor("a", {1}, 0, 0)
                               .tensor("b", {1}, 0, 4)
                               .raw(std::string(8, '\0'))
                               .bytes());
  EXPECT_EQ(f.tensors[1].offset, f.data + 4);
  GgufBuilder scalar;
  EXPECT_EQ(parse(scalar.begin(1, 0).tensor("s", {}, 0, 0).pad().raw(zeros).bytes()).tensors[0].bytes, 4u);
}

TEST(GgufRefusals, TypesThatAreNoWeightsAreNamed) {
  const auto of = [](std::uint32_t type) { return one_tensor().tensor("t", {256}, type, 0).pad().raw(std::string(4096, '\0')).bytes(); };
  for (const auto& [id, name] : std::vector<std::pair<std::uint32_t, std::string>>{{4, "Q4_2"},
                                                                                   {5, "Q4_3"},
                                                                                   {31, "Q4_0_4_4"},
                                                                                   {32, "Q4_0_4_8"},
                                                                                   {33, "Q4_0_8_8"},
                                                                                   {36, "IQ4_NL_4_4"},
                                                                                   {37, "IQ4_NL_4_8"},
                                                                                   {38, "IQ4_NL_8_8"}})
    refused(of(id), {"is of the type " + name + ", which was removed", "convert"});
  for (const auto& [id, name] : std::vector<std::pair<std::uint32_t, std::string>>{{9, "Q8_1"}, {15, "Q8_K"}})
    refused(of(id), {"is of the type " + name, "activations"});
  GgufBuilder old;
  refused(old.begin(1, 1)
              .key("general.quantization_version", GgufType::u32)
              .u32(1)
              .tensor("t", {32}, 2, 0)
              .pad()
              .raw(std::string(64, '\0'))
              .bytes(),
          {"quantisation version 1"});
}

TEST(GgufRefusals, Data) {
  const auto of = [](std::size_t bytes) { return one_tensor().tensor("t", {100}, 0, 0).pad().raw(std::string(bytes, '\1')).bytes(); };
  EXPECT_TRUE(parse(of(416)).notes.empty());
  EXPECT_EQ(parse(of(400)).notes.size(), 1u) << "the end is not padded";
  refused(of(399), {"truncated", "its tensors take", "(99%)", "\"t\""});
  refused(of(0), {"truncated"});
  EXPECT_EQ(parse(of(417)).warnings.size(), 1u);
  EXPECT_NE(parse(of(417)).warnings[0].find("1 bytes"), std::string::npos);
  GgufBuilder sum;
  refused(
      sum.begin(2, 0).tensor("a", {0x7FFFFFFFFFFFFFC0u}, 24, 0).tensor("b", {0x7FFFFFFFFFFFFFC0u}, 24, 0x7FFFFFFFFFFFFFC0u).pad().bytes(),
      {"63 bits"});
  GgufBuilder dirty;
  refused(dirty.begin(1, 0).tensor("t", {8}, 0, 0).raw("x").pad().raw(std::string(32, '\0')).bytes(), {"byte 120 where zeros lead"});
  GgufBuilder wide;  // an alignment that nothing is left after
  refused(wide.begin(1, 1)
              .key("general.alignment", GgufType::u32)
              .u32(0x80000000u)
              .tensor("t", {1}, 0, 0)
              .pad()
              .raw(std::string(64, '\0'))
              .bytes(),
          {"truncated", "(0%)"});
}

// Opened as text and saved: the bytes that are no UTF-8 became U+FFFD.
TEST(GgufRefusals, MangledAsText) {
  const std::string good = read_file(kGolden / "all.gguf");
  std::string mangled;
  for (const char c : good) mangled += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : "\xEF\xBF\xBD";
  refused(mangled, {"read and written as text", "EF BF BD"});
}

TEST(GgufRefusals, OpenSourceTellsThemByContent) {
  const Folder dir;
  write_file(dir / "model.safetensors", GgufBuilder(9).begin(0, 0).bytes());
  EXPECT_NE(refusal([&] { open_source(dir / "model.safetensors"); }).find("GGUF version 9"), std::string::npos);
  fs::copy_file(kGolden / "vocab.gguf", dir / "vocab.bin");
  EXPECT_EQ(open_source(dir / "vocab.bin")->format, "GGUF version 3");
  write_file(dir / "pointer.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 390660192\n");
  EXPECT_NE(refusal([&] { open_source(dir / "pointer.gguf"); }).find("390660192 bytes"), std::string::npos);
}

// ---- damage ----

TEST(GgufDamage, EveryTruncationIsRefusedUnlessOnlyPaddingIsGone) {
  for (const char* name : {"all.gguf", "aligned.gguf"}) {
    const std::string good = read_file(kGolden / name);
    const GgufFile whole = GgufFile::parse(bytes_of(good), "x.gguf");
    const std::uint64_t end = whole.tensors.back().offset + whole.tensors.back().bytes;
    for (std::size_t n = 0; n < good.size(); ++n) {
      // In memory of exactly that size, so that a sanitizer sees a read beyond it.
      const std::vector<std::byte> cut(bytes_of(good).begin(), bytes_of(good).begin() + static_cast<std::ptrdiff_t>(n));
      if (n >= end) {
        EXPECT_EQ(GgufFile::parse(cut, "x.gguf").tensors.size(), whole.tensors.size());
      } else {
        const std::string m = refusal([&] { GgufFile::parse(cut, "x.gguf"); });
        ASSERT_NE(m, "(accepted)") << name << " cut to " << n;
      }
    }
  }
}

// Whatever single bit flips: a refusal, or a header that says exactly what the changed bytes say, so that writing it gives those bytes
// again.
TEST(GgufDamage, NoFlippedBitOfTheHeaderIsLost) {
  const std::string good = read_file(kGolden / "all.gguf");
  const GgufFile whole = GgufFile::parse(bytes_of(good), "x.gguf");
  int refusals = 0, read = 0;
  for (std::size_t bit = 0; bit < 8 * whole.data; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    try {
      const GgufFile f = GgufFile::parse(bytes_of(bad), "x.gguf");
      std::vector<GgufItem> items;
      for (const GgufTensor& t : f.tensors) items.push_back({t.name, t.dtype, t.shape});
      std::string again = gguf_header(f.keys, items);
      again[4] = static_cast<char>(f.version);  // it writes version 3
      ASSERT_TRUE(bad.starts_with(again)) << "bit " << bit % 8 << " of byte " << bit / 8;
      ASSERT_TRUE(f.tensors.size() == whole.tensors.size() || !f.warnings.empty()) << "bit " << bit % 8 << " of byte " << bit / 8;
      ++read;
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), Code::input) << e.what() << ": bit " << bit % 8 << " of byte " << bit / 8;
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 5000);
  EXPECT_GT(read, 1000) << "names and values may change";
}

// Bytes drawn at random after a good beginning.
TEST(GgufDamage, NoiseIsRefused) {
  std::uint64_t state = 1;
  const auto next = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
  const std::string good = read_file(kGolden / "all.gguf");
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (std::size_t changes = 1 + (next() >> 60); changes > 0; --changes) bad[(next() >> 33) % 2400] = static_cast<char>(next() >> 56);
    try {
      const GgufFile f = GgufFile::parse(bytes_of(bad), "x.gguf");
      for (const GgufTensor& t : f.tensors) ASSERT_LE(t.offset + t.bytes, bad.size());
    } catch (const Error& e) { ASSERT_EQ(e.code(), Code::input) << e.what(); }
  }
}

}  // namespace
}  // namespace graft
