// TensorFlow's bundles: one that TensorFlow wrote, those of a writer of our own after the format's description (tests/golden/tf), what is
// refused, and damaged files.
#include "weights/formats/tf_bundle.h"

#include <gtest/gtest.h>

#include "tests/weights/damage.h"
#include "weights/formats/crc32c.h"
#include "weights/formats/leveldb_table.h"
#include "weights/formats/snappy.h"

namespace graft {
namespace {

using damage::read_file;
using damage::refused;
using damage::TempFolder;
using damage::write_file;
namespace fs = std::filesystem;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/tf";

void expect_numbers(const Source& s) {
  for (std::size_t t = 0; t < s.tensors.size(); ++t) {
    const auto v = s.load(t).values();
    const std::string& type = s.tensors[t].dtype;
    for (std::size_t i = 0; i < v.size(); ++i)
      EXPECT_EQ(v[i], type == "BOOL"   ? (i % 3 == 1)
                      : type[0] == 'U' ? static_cast<double>(i)
                                       : static_cast<double>(i) - 2)
          << s.tensors[t].name << " " << i;
  }
}
void copy_bundle(const std::string& name, const fs::path& to) {
  for (const auto& f : fs::directory_iterator(kGolden))
    if (f.path().filename().string().starts_with(name + ".") || f.path().filename() == name)
      fs::copy_file(f.path(), to / f.path().filename().string());
}

TEST(Crc32c, IsTheKnownOne) {
  // The check value of the CRC catalogues, and those of RFC 3720, B.4.
  const auto of = [](const std::string& s) { return crc32c(std::as_bytes(std::span(s.data(), s.size()))); };
  EXPECT_EQ(of("123456789"), 0xe3069283u);
  EXPECT_EQ(of(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(of(std::string(32, '\xff')), 0x62a8ab43u);
  std::string up;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i);
  EXPECT_EQ(of(up), 0x46dd794eu);
  EXPECT_EQ(of(""), 0u);
}
TEST(Snappy, TakesLiteralsAndCopiesAndNothingElse) {
  const auto unpack = [](const std::string& s) { return unsnappy(std::as_bytes(std::span(s.data(), s.size()))); };
  EXPECT_EQ(unpack(std::string("\0", 1)), "");
  EXPECT_EQ(unpack("\x03\x08"
                   "abc"),
            "abc");
  EXPECT_EQ(unpack(std::string("\x0b\x08"
                               "abc"
                               "\x11\x03",
                               7)),
            "abcabcabcab")
      << "a copy that runs into what it writes";
  EXPECT_EQ(unpack(std::string("\x07\x08"
                               "abc"
                               "\x0e\x03\0",
                               8)),
            "abcabca");
  EXPECT_EQ(unpack(std::string("\x07\x08"
                               "abc"
                               "\x0f\x03\0\0\0",
                               10)),
            "abcabca");
  EXPECT_EQ(unpack("\x05\x08"
                   "abc"
                   "\x01\x05"),
            std::nullopt)
      << "before the beginning";
  EXPECT_EQ(unpack(std::string("\x07\x08"
                               "abc"
                               "\x01\0",
                               7)),
            std::nullopt)
      << "no way back";
  EXPECT_EQ(unpack("\x04\x08"
                   "abc"),
            std::nullopt)
      << "shorter than it says";
  EXPECT_EQ(unpack("\x02\x08"
                   "abc"),
            std::nullopt)
      << "longer than it says";
  EXPECT_EQ(unpack("\x03\x08"
                   "ab"),
            std::nullopt)
      << "cut";
  EXPECT_EQ(unpack("\xff\xff\xff\xff\x0f"), std::nullopt) << "4 GB of nothing";
  EXPECT_EQ(unpack("\xff\xff\xff\xff\xff\xff"), std::nullopt);
  EXPECT_EQ(unpack(""), std::nullopt);
}

TEST(TfBundle, ReadsWhatTensorFlowWrote) {
  const auto s = open_source(kGolden / "half_plus_two/variables");
  EXPECT_EQ(s->format, "TensorFlow bundle");
  std::map<std::string, double> got;
  for (std::size_t i = 0; i < s->tensors.size(); ++i) got[s->tensors[i].name] = s->load(i).item();
  EXPECT_EQ(got, (std::map<std::string, double>{{"a", 0.5}, {"a2", 0.5}, {"b", 2}, {"c", 3}, {"c2", 3}}));
}
TEST(TfBundle, ReadsEveryTypePlainAndSnappy) {
  for (const char* name : {"good_types", "good_snappy"}) {
    const auto s = open_source(kGolden / name);
    EXPECT_EQ(s->path, (kGolden / (std::string(name) + ".index")).string());
    ASSERT_EQ(s->tensors.size(), 12u) << "the object graph is passed over";
    const std::map<std::string, std::string> types = {{"1", "F32"}, {"2", "F64"},   {"3", "I32"},   {"4", "U8"},   {"6", "I8"},
                                                      {"9", "I64"}, {"10", "BOOL"}, {"14", "BF16"}, {"19", "F16"}, {"22", "U32"}};
    for (const StoredTensor& t : s->tensors)
      if (t.name.starts_with("type/")) { EXPECT_EQ(t.dtype, types.at(t.name.substr(5))); }
    EXPECT_EQ(s->find("scalar")->shape, std::vector<std::int64_t>{});
    EXPECT_EQ(s->find("none")->shape, (std::vector<std::int64_t>{0, 3}));
    EXPECT_TRUE(s->warnings.empty());
    expect_numbers(*s);
  }
}
TEST(TfBundle, ReadsShardsAndBlocks) {
  const auto s = open_source(kGolden / "good_shards.index");
  ASSERT_EQ(s->tensors.size(), 12u);
  EXPECT_EQ(s->files.size(), 4u);
  EXPECT_TRUE(s->files[s->find("model/h4/attn/c_attn/w")->file].ends_with("data-00001-of-00003"));
  expect_numbers(*s);
}
TEST(TfBundle, JoinsSlices) {
  const auto s = open_source(kGolden / "good_slices");
  ASSERT_EQ(s->tensors.size(), 4u) << "slices are no tensors of their own";
  EXPECT_EQ(s->find("parts/rows")->shape, (std::vector<std::int64_t>{5, 3}));
  EXPECT_EQ(s->find("parts/columns")->shape, (std::vector<std::int64_t>{4, 5, 2}));
  EXPECT_EQ(s->find("parts/many")->shape, (std::vector<std::int64_t>{300}));
  expect_numbers(*s);
  EXPECT_EQ(s->notes.size(), 3u);
}
TEST(TfBundle, IsFoundByPrefixIndexAndFolder) {
  EXPECT_NE(open_source(kGolden / "folder")->find("w"), nullptr) << "the checkpoint file names ckpt-7, wherever it was written";
  EXPECT_NE(open_source(kGolden / "folder/ckpt-3")->find("old"), nullptr);
  EXPECT_NE(open_source(kGolden / "half_plus_two")->find("a2"), nullptr) << "the only index of a folder";
  TempFolder dir;
  copy_bundle("good_types", dir.path);
  fs::rename(dir / "good_types.index", dir / "good_types.data");  // by content
  EXPECT_NE(damage::refusal([&] { open_source(dir / "good_types.data"); }).find("good_types.data.data-00000-of-00001"), std::string::npos);
  write_file(dir / "checkpoint", "model_checkpoint_path: \"gone-1\"\n");
  refused(dir.path, {"names \"gone-1\"", "\"gone-1.index\""});
}
TEST(TfBundle, RefusesByName) {
  refused(kGolden / "bad_text", {"DT_STRING", "\"names\""});
  refused(kGolden / "bad_variant", {"DT_VARIANT", "\"table\""});
  refused(kGolden / "bad_compression", {"unknown compression 7"});
  refused(kGolden / "bad_big_endian", {"big-endian"});
  refused(kGolden / "bad_newer", {"readers of version 2"});
  refused(kGolden / "bad_version_1", {"checkpoint of version 1", "SaverDef.V2"});
  refused(kGolden / "bad_slice_missing", {"of whose 2 slices one is not there", "\"parts\""});
  refused(kGolden / "bad_slices_overlap", {"\"parts\""});
  TempFolder dir;
  copy_bundle("good_shards", dir.path);
  fs::remove(dir / "good_shards.data-00000-of-00003");
  fs::remove(dir / "good_shards.data-00002-of-00003");
  refused(dir / "good_shards", {"2 of 3 shards are missing", "\"good_shards.data-00000-of-00003\", \"good_shards.data-00002-of-00003\""});
}
TEST(TfBundle, ChecksEveryByte) {
  TempFolder dir;
  copy_bundle("good_types", dir.path);
  copy_bundle("good_snappy", dir.path);
  copy_bundle("good_slices", dir.path);
  for (const char* name : {"good_types", "good_snappy", "good_slices"}) {
    const fs::path index = dir / (std::string(name) + ".index"), data = dir / (std::string(name) + ".data-00000-of-00001");
    const auto i = damage::sweep(index, index, 1000, 10000), d = damage::sweep(index, data, 1000, 10000);
    // Only the footer's padding, the place of the filters that nobody reads and the object graph have no checksum that is looked at.
    EXPECT_LT(i.opened, 80) << name;
    EXPECT_LT(d.opened, 8) << name;
    std::printf("damaged %s: index %d refused, %d opened; data %d refused, %d opened\n", name, i.refused, i.opened, d.refused, d.opened);
  }
}

}  // namespace
}  // namespace graft
