// GGUF: files of gguf-py read and written again byte for byte, versions 1 and 2 by hand, pieces of split files, the vocabulary, and what is
// written judged by gguf-py. Refusals are in gguf_refusals_test.cpp.
#include "weights/formats/gguf.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/weights/gguf_builder.h"
#include "weights/formats/ggml_blocks.h"
#include "weights/formats/gguf_vocabulary.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using namespace gguf_tests;
namespace fs = std::filesystem;
const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/gguf";

std::vector<GgufItem> items_of(const Source& s) {
  std::vector<GgufItem> items;
  for (const StoredTensor& t : s.tensors) items.push_back({t.name, t.dtype, t.shape});
  return items;
}
const GgufSource& as_gguf(const Source& s) { return dynamic_cast<const GgufSource&>(s); }
void expect_same_bytes(const Tensor& a, const Tensor& b, const std::string& name) {
  ASSERT_EQ(a.str(), b.str()) << name;
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<std::size_t>(a.bytes())), 0) << name;
}

TEST(Gguf, LoadsWhatGgufPyReads) {
  const auto file = open_source(kGolden / "all.gguf"), want = open_source(kGolden / "all.safetensors");
  EXPECT_EQ(file->format, "GGUF version 3");
  EXPECT_TRUE(file->warnings.empty());
  ASSERT_EQ(file->tensors.size(), 32u);
  ASSERT_EQ(want->tensors.size(), 32u);
  std::size_t blocks = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const auto& name = file->tensors[i].name;
    blocks += stored_type(file->tensors[i].dtype)->elements > 1 ? 1 : 0;
    for (std::size_t k = 0; k < 32; ++k)
      if (want->tensors[k].name == name) expect_same_bytes(file->load(i), want->load(k), name);
    EXPECT_NE(want->find(name), nullptr) << name;
  }
  EXPECT_EQ(blocks, 23u);
  EXPECT_EQ(file->find("four axes")->shape, (std::vector<std::int64_t>{2, 3, 4, 5})) << "slowest first";
}

TEST(Gguf, EveryKindOfValueIsThere) {
  const auto file = open_source(kGolden / "all.gguf");
  const GgufKeys& k = as_gguf(*file).keys;
  const auto at = [&](const char* name) -> const GgufValue& {
    const GgufValue* v = k.find(name);
    if (!v) throw std::runtime_error(name);
    return *v;
  };
  EXPECT_EQ(k.all().size(), 35u);
  EXPECT_EQ(at("k.u8").whole(), 200);
  EXPECT_EQ(at("k.i8").whole(), -100);
  EXPECT_EQ(at("k.u16").whole(), 60000);
  EXPECT_EQ(at("k.i16").whole(), -30000);
  EXPECT_EQ(at("k.u32").whole(), 4000000000);
  EXPECT_EQ(at("k.i32").whole(), -2000000000);
  EXPECT_EQ(at("k.f32").number(), static_cast<double>(0.1f));
  EXPECT_EQ(at("k.u64").number(), 0x1p64);
  EXPECT_THROW(at("k.u64").whole(), Error) << "above 2^63 - 1";
  EXPECT_EQ(at("k.i64").whole(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(at("k.f64").number(), 0.1);
  EXPECT_EQ(at("k.yes").whole(), 1);
  EXPECT_EQ(at("k.no").type(), GgufType::boolean);
  EXPECT_EQ(at("k.text").text(), "Gr\u00fc\u00dfe, \"\u4e16\u754c\"\n");
  EXPECT_EQ(at("k.numbers").numbers<std::int32_t>(), (std::vector<std::int32_t>{3, -1, 4, -1, 5, -9, 2, 6, 5, 3}));
  EXPECT_THROW(at("k.numbers").numbers<std::uint32_t>(), Error);
  EXPECT_EQ(at("k.floats").numbers<float>(), (std::vector<float>{0.5f, -0.25f, 1e30f}));
  EXPECT_EQ(at("k.truths").whole(1), 0);
  EXPECT_EQ(at("k.texts").text(2), "two\u00b2");
  EXPECT_EQ(at("k.texts").text(0), "");
  EXPECT_THROW(at("k.texts").text(3), Error);
  EXPECT_EQ(at("k.bytes").numbers<std::uint8_t>(), (std::vector<std::uint8_t>{0, 127, 255}));
  EXPECT_EQ(at("k.wide").numbers<std::uint64_t>()[1], std::uint64_t{1} << 63);
  ASSERT_EQ(at("k.nested").size(), 3u);
  EXPECT_EQ(at("k.nested").list(2).numbers<std::int32_t>(), (std::vector<std::int32_t>{5, 6}));
  // For people.
  EXPECT_EQ(file->metadata.at("k.numbers"), "[3, -1, 4, -1, 5, -9, 2, 6, ... (10 in all)]");
  EXPECT_EQ(file->metadata.at("k.truths"), "[true, false, true]");
  EXPECT_EQ(file->metadata.at("k.nested"), "[[1, 2, 3], [4], [5, 6]]");
  EXPECT_EQ(file->metadata.at("k.f32"), "0.1");
  EXPECT_EQ(file->metadata.at("k.u64"), "18446744073709551615");
  EXPECT_EQ(file->metadata.at("general.name"), "every type");
  EXPECT_EQ(GgufValue::of(std::string(5000, 'x')).shown().size(), 4096 + std::string("... (5000 bytes in all)").size());
}

TEST(Gguf, WritesGgufPysFilesAgainByteForByte) {
  const Folder dir;
  for (const char* name : {"all.gguf", "aligned.gguf", "vocab.gguf", "part-00001-of-00003.gguf"}) {
    const std::string original = read_file(kGolden / name);
    const GgufFile file = GgufFile::parse(bytes_of(original), name);
    std::vector<GgufItem> items;
    for (const GgufTensor& t : file.tensors) items.push_back({t.name, t.dtype, t.shape});
    write_gguf(dir / name, file.keys, items,
               [&](std::size_t i) { return bytes_of(original).subspan(file.tensors[i].offset, file.tensors[i].bytes); });
    EXPECT_TRUE(read_file(dir / name) == original) << name;
  }
}

TEST(Gguf, VersionsOneAndTwo) {
  for (const std::uint32_t version : {1u, 2u, 3u}) {
    GgufBuilder b(version);
    b.begin(2, 3).key("general.architecture", GgufType::text).text("old").key("list", GgufType::array).u32(8).count(2).text("a").text("bc");
    b.key("numbers", GgufType::array).u32(4).count(2).u32(7).u32(8);
    b.tensor("first", {3, 2}, 0, 0).tensor("second", {32}, 8, 32).pad();
    const float x[6] = {1, 2, 3, 4, 5, 6};
    b.raw(std::string(reinterpret_cast<const char*>(x), sizeof x)).pad();
    b.raw(std::string("\x00\x3c", 2)).raw(std::string(32, '\x02')).pad();
    const Folder dir;
    write_file(dir / "old.gguf", b.bytes());
    const auto file = open_source(dir / "old.gguf");
    EXPECT_EQ(file->format, "GGUF version " + std::to_string(version));
    ASSERT_EQ(file->tensors.size(), 2u);
    EXPECT_EQ(file->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(file->load(0).values(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(file->load(1).values(), std::vector<double>(32, 2.0));
    EXPECT_EQ(as_gguf(*file).keys.find("list")->text(1), "bc");
    EXPECT_EQ(as_gguf(*file).keys.find("numbers")->whole(1), 8);
    // Written again it is version 3, and the same in it.
    write_gguf(dir / "new.gguf", as_gguf(*file).keys, items_of(*file), [&](std::size_t i) { return file->bytes(i).data; });
    const auto again = open_source(dir / "new.gguf");
    EXPECT_EQ(again->format, "GGUF version 3");
    EXPECT_EQ(again->metadata, file->metadata);
    EXPECT_EQ(again->load(1).values(), file->load(1).values());
  }
}

// ---- split files ----

std::string copy_pieces(const Folder& dir) {
  for (const char* n : {"1", "2", "3"}) {
    const std::string name = std::string("part-0000") + n + "-of-00003.gguf";
    fs::copy_file(kGolden / name, dir / name);
  }
  return "part-00001-of-00003.gguf";
}

TEST(Gguf, PiecesAreJoinedFromAnyOfThem) {
  for (const char* n : {"1", "2", "3"}) {
    const auto file = open_source(kGolden / (std::string("part-0000") + n + "-of-00003.gguf"));
    ASSERT_EQ(file->files.size(), 3u);
    ASSERT_EQ(file->tensors.size(), 5u);
    EXPECT_EQ(file->metadata.at("general.name"), "three pieces");
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(file->tensors[i].name, "blk." + std::to_string(i) + ".weight");
      EXPECT_EQ(file->tensors[i].file, i / 2);
      EXPECT_EQ(file->load(i).values(), std::vector<double>(8, static_cast<double>(i) + 0.5));
    }
  }
}

TEST(Gguf, WrongPiecesAreRefused) {
  const auto with = [](auto&& change) {
    const Folder dir;
    const std::string first = copy_pieces(dir);
    change(dir);
    return refusal([&] { open_source(fs::exists(dir / first) ? dir / first : dir / "other.gguf"); });
  };
  const auto holds = [](const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& p : parts) EXPECT_NE(message.find(p), std::string::npos) << "wanted '" << p << "' in: " << message;
    EXPECT_NE(message.find(';'), std::string::npos) << message;
  };
  holds(with([](const Folder& d) {
          fs::remove(d / "part-00002-of-00003.gguf");
          fs::remove(d / "part-00003-of-00003.gguf");
        }),
        {"lacks 2 of its 3 pieces: part-00002-of-00003.gguf, part-00003-of-00003.gguf"});
  holds(with([](const Folder& d) { fs::rename(d / "part-00001-of-00003.gguf", d / "other.gguf"); }),
        {"one of 3 pieces", "cannot be found"});
  holds(with([](const Folder& d) {
          fs::remove(d / "part-00002-of-00003.gguf");
          fs::copy_file(d / "part-00003-of-00003.gguf", d / "part-00002-of-00003.gguf");
        }),
        {"part-00002", "piece 2 counted from 0", "split.no"});
  holds(with([](const Folder& d) {
          fs::remove(d / "part-00003-of-00003.gguf");
          fs::copy_file(kGolden / "aligned.gguf", d / "part-00003-of-00003.gguf");
        }),
        {"part-00003", "split.count"});
  const auto piece = [](std::uint16_t no, const std::string& tensor, std::int32_t all) {
    GgufKeys keys;
    keys.set("split.no", GgufValue::of(no));
    keys.set("split.count", GgufValue::of(std::uint16_t{3}));
    keys.set("split.tensors.count", GgufValue::of(all));
    return gguf_header(keys, {{tensor, "F32", {1}}}) + std::string(32, '\0');
  };
  holds(with([&](const Folder& d) { write_file(d / "part-00003-of-00003.gguf", piece(2, "blk.0.weight", 5)); }),
        {"part-00001", "has too", "blk.0.weight"});
  holds(with([&](const Folder& d) {
          write_file(d / "part-00001-of-00003.gguf", piece(0, "a", 5));
          write_file(d / "part-00003-of-00003.gguf", piece(2, "b", 5));
        }),
        {"hold 5 tensors, and they hold 4"});
}

// ---- vocabulary ----

TEST(Gguf, VocabularyIsThereForPrograms) {
  for (const char* name : {"vocab.gguf", "all.gguf"}) {
    const auto file = open_source(kGolden / name);
    const auto v = read_vocabulary(as_gguf(*file).keys, name);
    ASSERT_TRUE(v);
    EXPECT_EQ(v->model, "llama");
    EXPECT_EQ(v->pre, "default");
    EXPECT_EQ(v->tokens, (std::vector<std::string>{"<unk>", "<s>", "</s>", "\u2581the", "\u00fcber", "\U0001f600", "<0x0A>", "a b"}));
    EXPECT_EQ(v->scores[7], -4.125f);
    EXPECT_EQ(v->types[6], 6);
    EXPECT_EQ(v->merges, (std::vector<std::string>{"a b", "ab c"}));
    EXPECT_EQ(v->special, (std::map<std::string, std::int64_t>{{"bos", 1}, {"eos", 2}, {"unknown", 0}}));
    EXPECT_EQ(v->flags, (std::map<std::string, bool>{{"add_bos_token", true}, {"add_eos_token", false}}));
  }
  EXPECT_FALSE(read_vocabulary({}, "x"));
  GgufKeys keys;
  keys.set("tokenizer.ggml.tokens", GgufValue::array(std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read_vocabulary(keys, "x")->tokens.size(), 2u);
  const std::vector<std::pair<std::string, GgufValue>> wrong = {{"tokenizer.ggml.scores", GgufValue::array(std::vector<float>{1})},
                                                                {"tokenizer.ggml.scores", GgufValue::array(std::vector<double>{1, 2})},
                                                                {"tokenizer.ggml.bos_token_id", GgufValue::of(std::uint32_t{2})},
                                                                {"tokenizer.ggml.eos_token_id", GgufValue::of("1")},
                                                                {"tokenizer.ggml.merges", GgufValue::of("a b")},
                                                                {"tokenizer.ggml.model", GgufValue::of(std::uint32_t{2})}};
  for (const auto& [key, value] : wrong) {
    GgufKeys k = keys;
    k.set(key, value);
    EXPECT_NE(refusal([&] { read_vocabulary(k, "x.gguf"); }).find(key), std::string::npos) << key;
  }
}

// The vocabulary files of llama.cpp.
TEST(Gguf, RealVocabulariesOpen) {
  const char* named = std::getenv("GRAFT_TEST_DATA");
  const fs::path data = (named ? fs::path(named) : fs::path(GRAFT_SOURCE_DIR).parent_path() / "shared/data") / "tokenizers";
  struct Real {
    const char *file, *model;
    std::size_t tokens, merges;
  };
  int opened = 0;
  for (const Real& r : {Real{"ggml-vocab-bert-bge.gguf", "bert", 30522, 0}, Real{"ggml-vocab-gpt-2.gguf", "gpt2", 50257, 50000},
                        Real{"ggml-vocab-llama-spm.gguf", "llama", 32000, 0}}) {
    if (!fs::exists(data / r.file)) continue;
    ++opened;
    const auto file = open_source(data / r.file);
    const auto v = read_vocabulary(as_gguf(*file).keys, r.file);
    ASSERT_TRUE(v) << r.file;
    std::printf("%s: %s, %zu keys, %zu tensors, %zu tokens, %zu merges\n", r.file, file->format.c_str(), as_gguf(*file).keys.all().size(),
                file->tensors.size(), v->tokens.size(), v->merges.size());
    EXPECT_EQ(v->model, r.model);
    EXPECT_EQ(v->tokens.size(), r.tokens);
    EXPECT_EQ(v->types.size(), r.tokens);
    EXPECT_EQ(v->merges.size(), r.merges);
    EXPECT_EQ(file->tensors.size(), 0u);
    EXPECT_TRUE(file->warnings.empty()) << file->warnings[0];
    // The same bytes again, the vocabulary of 30,000 to 50,000 texts included.
    const Folder dir;
    write_gguf(dir / "again.gguf", as_gguf(*file).keys, {}, [](std::size_t) { return std::span<const std::byte>(); });
    EXPECT_TRUE(read_file(dir / "again.gguf") == read_file(data / r.file)) << r.file;
  }
  if (opened == 0) GTEST_SKIP() << "no vocabularies at " << data << "; set GRAFT_TEST_DATA";
}

// ---- writing ----

Tensor drawn(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(shape.numel()));
  for (float& v : x) v = normal(random);
  return Tensor::from(x, shape);
}

const std::vector<std::string> kWritten = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",  "Q5_0",  "Q5_1",
                                           "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0", "MXFP4"};

GgufKeys with_vocabulary() {
  const auto from = open_source(kGolden / "vocab.gguf");
  return gguf_keys_for(as_gguf(*from).keys, "Q4_K");
}
void write_all_types(const fs::path& path) {
  std::vector<GgufOutput> out;
  for (const std::string& t : kWritten) out.push_back({"blk." + t, drawn({3, 512}, 5), t});
  out.push_back({"numbers", Tensor::from(std::vector<std::int64_t>{1, -2, 3}, {3}), "I64"});
  write_gguf(path, with_vocabulary(), out);
}

TEST(Gguf, FloatsAreWrittenAsEveryType) {
  const Folder dir;
  write_all_types(dir / "all.gguf");
  const auto file = open_source(dir / "all.gguf");
  ASSERT_EQ(file->tensors.size(), kWritten.size() + 1);
  const std::vector<double> x = drawn({3, 512}, 5).values();
  // Root mean square error of unit normals: what half a step of each type's grid makes, with room.
  const std::map<std::string, double> most = {
      {"F32", 0},     {"F16", 3e-4},  {"BF16", 3e-3}, {"Q8_0", 8e-3}, {"Q4_0", 0.11}, {"Q4_1", 0.1},  {"Q5_0", 0.055}, {"Q5_1", 0.05},
      {"Q2_K", 0.35}, {"Q3_K", 0.17}, {"Q4_K", 0.08}, {"Q5_K", 0.04}, {"Q6_K", 0.02}, {"TQ1_0", 1.0}, {"TQ2_0", 1.0},  {"MXFP4", 0.15}};
  for (std::size_t i = 0; i < kWritten.size(); ++i) {
    EXPECT_EQ(file->tensors[i].dtype, kWritten[i]);
    EXPECT_EQ(file->tensors[i].offset % 32, 0u);
    const std::vector<double> y = file->load(i).values();
    ASSERT_EQ(y.size(), x.size());
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) sum += (x[k] - y[k]) * (x[k] - y[k]);
    EXPECT_LE(std::sqrt(sum / static_cast<double>(x.size())), most.at(kWritten[i])) << kWritten[i];
  }
  EXPECT_EQ(file->load(kWritten.size()).values(), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(file->metadata.at("general.file_type"), "15");
  EXPECT_EQ(file->metadata.at("general.quantization_version"), "2");
  EXPECT_EQ(read_vocabulary(as_gguf(*file).keys, "x")->tokens.size(), 8u);
}

// A view is written as its elements stand, not as its memory does.
TEST(Gguf, ViewsAreWrittenRowMajor) {
  const Folder dir;
  const Tensor t = drawn({64, 32}, 9), turned = t.alias({32, 64}, {1, 32}, 0);
  write_gguf(dir / "view.gguf", {}, {{"turned", turned, "Q8_0"}, {"plain", turned, "F32"}});
  const auto file = open_source(dir / "view.gguf");
  EXPECT_EQ(file->load(1).values(), turned.values());
  const std::vector<double> q = file->load(0).values(), x = turned.values();
  for (std::size_t i = 0; i < q.size(); ++i) ASSERT_NEAR(q[i], x[i], 0.02);
}

TEST(Gguf, TypesFallBackWhereRowsAreNoBlocks) {
  EXPECT_EQ(gguf_dtype_for("Q4_K", std::vector<std::int64_t>{8, 512}), "Q4_K");
  EXPECT_EQ(gguf_dtype_for("Q4_K", std::vector<std::int64_t>{8, 96}), "Q8_0");
  EXPECT_EQ(gguf_dtype_for("Q4_K", std::vector<std::int64_t>{8, 100}), "F16");
  EXPECT_EQ(gguf_dtype_for("Q4_K", std::vector<std::int64_t>{512}), "F32");
  EXPECT_EQ(gguf_dtype_for("F16", std::vector<std::int64_t>{8, 3}), "F16");
  EXPECT_THROW(gguf_dtype_for("U8", std::vector<std::int64_t>{8, 3}), Error);
}

TEST(Gguf, TheWriterRefusesWhatAReaderWould) {
  const Folder dir;
  const Tensor x = drawn({2, 32}, 1);
  const auto usage = [&](const GgufKeys& keys, const std::vector<GgufOutput>& out, const std::string& part) {
    const std::string m = refusal([&] { write_gguf(dir / "no.gguf", keys, out); }, Code::usage);
    EXPECT_NE(m.find(part), std::string::npos) << m;
    EXPECT_FALSE(fs::exists(dir / "no.gguf"));
  };
  usage({}, {{"a", x, "F32"}, {"a", x, "F32"}}, "twice");
  usage({}, {{"", x, "F32"}}, "0 bytes");
  usage({}, {{std::string(64, 'n'), x, "F32"}}, "64 bytes");
  usage({}, {{"a", drawn({1, 1, 1, 1, 2}, 1), "F32"}}, "5 axes");
  usage({}, {{"a", Tensor::zeros({0, 32}), "F32"}}, "size 0");
  usage({}, {{"a", x, "Q4_K"}}, "whole blocks");
  usage({}, {{"a", x, "IQ4_NL"}}, "only read");
  usage({}, {{"a", x, "U8"}}, "has not");
  usage({}, {{"a", x, "I32"}}, "cannot be written");
  GgufKeys keys;
  keys.set("general.alignment", GgufValue::of(std::uint32_t{48}));
  usage(keys, {{"a", x, "F32"}}, "power of two");
  keys.set("general.alignment", GgufValue::of(std::uint64_t{32}));
  usage(keys, {{"a", x, "F32"}}, "u32");
  x.data<float>()[40] = 1e6f;
  const std::string m = refusal([&] { write_gguf(dir / "no.gguf", {}, {{"a", x, "F16"}}); });
  EXPECT_NE(m.find("element 40"), std::string::npos) << m;
  x.data<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(refusal([&] { write_gguf(dir / "no.gguf", {}, {{"a", x, "Q8_0"}}); }).find("tensor \"a\": element 40"), std::string::npos);
  EXPECT_FALSE(fs::exists(dir / "no.gguf"));
  write_gguf(dir / "yes.gguf", {}, {{"a", x, "F32"}});  // plain types hold it
}

std::uint32_t crc32(const void* data, std::size_t n) {
  std::uint32_t c = 0xffffffffu;
  for (std::size_t i = 0; i < n; ++i) {
    c ^= static_cast<const unsigned char*>(data)[i];
    for (int b = 0; b < 8; ++b) c = (c >> 1) ^ (c & 1u ? 0xedb88320u : 0u);
  }
  return ~c;
}

// gguf-py reads every tensor of a file of graft's and dequantises it to the bits that graft reads.
TEST(Gguf, GgufPyReadsWhatGraftWrites) {
  const char* chosen = std::getenv("GRAFT_PYTHON");
  const std::string python = chosen ? chosen : "python3";
  if (std::system((python + " -c 'import gguf' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << python << " has no gguf; set GRAFT_PYTHON to one that has it";
  const Folder dir;
  write_all_types(dir / "all.gguf");
  const std::string out = (dir / "out.txt").string();
  ASSERT_EQ(std::system(
                (python + " '" + (kGolden / "judge_gguf.py").string() + "' '" + (dir / "all.gguf").string() + "' > '" + out + "'").c_str()),
            0)
      << read_file(out);
  const auto file = open_source(dir / "all.gguf");
  std::istringstream lines(read_file(out));
  std::size_t keys = 0, tensors = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("key ")) ++keys;
    if (line.starts_with("tokens ")) { EXPECT_EQ(line, "tokens <unk>|<s>|</s>|\u2581the|\u00fcber|\U0001f600|<0x0A>|a b"); }
    if (!line.starts_with("tensor ")) continue;
    ASSERT_LT(tensors, file->tensors.size());
    const StoredTensor& t = file->tensors[tensors];
    const std::vector<double> values = file->load(tensors).values();
    const std::vector<float> floats(values.begin(), values.end());
    std::string shape;
    for (const std::int64_t n : t.shape) shape += (shape.empty() ? "[" : ", ") + std::to_string(n);
    char crc[16];
    std::snprintf(crc, sizeof crc, "%08x", crc32(floats.data(), 4 * floats.size()));
    EXPECT_EQ(line, "tensor " + t.name + " " + t.dtype + " " + shape + "] " + crc);
    ++tensors;
  }
  EXPECT_EQ(tensors, kWritten.size() + 1);
  EXPECT_EQ(keys, with_vocabulary().all().size());
}

}  // namespace
}  // namespace graft
