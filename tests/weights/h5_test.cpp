// Keras' HDF5 files against h5py's own reading of them (tests/golden/keras), what is refused by name, and damaged files.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/weights/damage.h"
#include "weights/formats/hdf5.h"
#include "weights/formats/zip.h"

namespace graft {
namespace {

using damage::read_file;
using damage::refused;
using damage::TempFolder;
using damage::write_file;
using Json = nlohmann::json;
namespace fs = std::filesystem;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/keras";

TEST(H5, ReadsWhatH5pyReads) {
  const Json golden = Json::parse(read_file(kGolden / "answers.json"))["files"];
  std::size_t tensors = 0;
  for (const auto& [name, answers] : golden.items()) {
    const auto s = open_source(kGolden / name);
    EXPECT_EQ(s->tensors.size(), answers.size()) << name;
    for (std::size_t i = 0; i < s->tensors.size(); ++i) {
      const StoredTensor& t = s->tensors[i];
      ASSERT_TRUE(answers.contains(t.name)) << name << ": " << t.name;
      EXPECT_EQ(t.shape, answers[t.name]["shape"].get<std::vector<std::int64_t>>()) << name << ": " << t.name;
      EXPECT_EQ(s->load(i).values(), answers[t.name]["values"].get<std::vector<double>>()) << name << ": " << t.name;
      ++tensors;
    }
  }
  EXPECT_GT(tensors, 500u);
}
TEST(H5, KnowsTypesPlacesAndLinks) {
  const auto s = open_source(kGolden / "good_every.h5");
  EXPECT_EQ(s->format, "HDF5");
  const auto type = [&](const char* name) { return s->find(name)->dtype; };
  EXPECT_EQ(type("le/f2"), "F16");
  EXPECT_EQ(type("be/f8"), "F64");
  EXPECT_EQ(type("be/i1"), "I8");
  EXPECT_EQ(type("le/u4"), "U32");
  EXPECT_EQ(type("bool"), "BOOL");
  EXPECT_EQ(s->find("scalar")->shape, std::vector<std::int64_t>{});
  EXPECT_EQ(s->find("shared/a")->storage, s->find("shared/b")->storage);
  EXPECT_GE(s->find("shared/a")->storage, 0);
  EXPECT_EQ(s->find("scalar")->storage, -1);
  EXPECT_EQ(s->find("soft"), nullptr);
  const auto noted = [&](const char* text) {
    return std::any_of(s->notes.begin(), s->notes.end(), [&](const std::string& n) { return n.find(text) != std::string::npos; });
  };
  EXPECT_TRUE(noted("\"soft\" leads elsewhere"));
  EXPECT_TRUE(noted("\"external\" leads elsewhere"));
  EXPECT_EQ(s->metadata.at("numbers"), "[1,2,3]");
  EXPECT_EQ(s->metadata.at("real"), "0.5");
  EXPECT_EQ(s->metadata.at("texts"), "[\"a\",\"bc\",\"\xc3\xa9\"]");
  EXPECT_EQ(s->metadata.at("fixed"), "[\"a\",\"bcd\"]");
  EXPECT_EQ(s->metadata.at("flag"), "true");
  // The place of a tensor is where its bytes are: nothing is copied.
  const std::string file = read_file(kGolden / "good_every.h5");
  const StoredTensor& t = *s->find("le/f4");
  const KeptBytes b = s->bytes(static_cast<std::size_t>(&t - s->tensors.data()));
  EXPECT_EQ(std::memcmp(file.data() + t.offset, b.data.data(), t.bytes), 0);
}
TEST(H5, ReadsKerasLayouts) {
  for (const char* name : {"good_keras2.h5", "good_latest.h5"}) {
    const auto s = open_source(kGolden / name);
    EXPECT_EQ(s->format, "Keras HDF5");
    EXPECT_NE(s->find("model_weights/dense/dense/kernel:0"), nullptr);
    EXPECT_NE(s->find("optimizer_weights/Adam/iterations:0"), nullptr) << "the optimizer's are there, by their path";
    EXPECT_EQ(s->metadata.at("keras_version"), "2.15.0");
    EXPECT_EQ(Json::parse(s->metadata.at("model_config"))["config"]["layers"][0]["config"]["units"], 4);
    EXPECT_EQ(s->metadata.at("model_weights@layer_names"), "[\"dense\",\"dense_1\"]");
    EXPECT_TRUE(s->notes.empty()) << s->notes[0];
  }
  const auto s = open_source(kGolden / "good_keras3.weights.h5");
  EXPECT_EQ(s->format, "Keras HDF5");
  EXPECT_EQ(s->find("layers/dense/vars/2")->dtype, "BF16");
  EXPECT_NE(s->find("optimizer/vars/259"), nullptr);
}
TEST(H5, ReadsKerasArchives) {
  TempFolder dir;
  const std::string weights = read_file(kGolden / "good_keras3.weights.h5");
  const auto write = [&](const std::string& config, const std::string& inner) {
    write_atomically(dir / "m.keras", [&](FileSink& sink) {
      ZipWriter zip(sink, 1);
      zip.add("metadata.json", std::string_view(R"({"keras_version": "3.5.0"})"));
      zip.add("config.json", std::string_view(config));
      zip.add("model.weights.h5", std::string_view(inner));
      zip.finish();
    });
  };
  write(R"({"class_name": "Sequential", "config": {"layers": []}})", weights);
  const auto s = open_source(dir / "m.keras"), plain = open_source(kGolden / "good_keras3.weights.h5");
  EXPECT_EQ(s->format, "Keras archive");
  ASSERT_EQ(s->tensors.size(), plain->tensors.size());
  const std::string file = read_file(dir / "m.keras");
  for (std::size_t i = 0; i < s->tensors.size(); ++i) {
    EXPECT_EQ(s->load(i).values(), plain->load(i).values());
    const KeptBytes b = s->bytes(i);
    EXPECT_EQ(std::memcmp(file.data() + s->tensors[i].offset, b.data.data(), b.data.size()), 0) << "its place in the archive";
  }
  EXPECT_EQ(s->metadata.at("model_config"), R"({"class_name": "Sequential", "config": {"layers": []}})");
  write(
      R"({"config": {"layers": [{"module": "keras.layers", "class_name": "Lambda", "config": {"name": "boom", "function": {"class_name": "__lambda__"}}}]}})",
      weights);
  refused(dir / "m.keras", {"\"boom\" is a Lambda layer", "CVE-2025-9905", "save_weights"});
  write("{", weights);
  refused(dir / "m.keras", {"not JSON"});
  write("{}", "no hdf5");
  refused(dir / "m.keras", {"model.weights.h5 is no HDF5 file"});
}

TEST(H5, RefusesByName) {
  const std::string kernel = "\"layer/kernel:0\"";
  refused(kGolden / "bad_chunked.h5", {kernel, "stored in chunks", "create_dataset"});
  refused(kGolden / "bad_gzip.h5", {kernel, "filtered (deflate)"});
  refused(kGolden / "bad_lzf.h5", {kernel, "filtered (lzf)"});
  refused(kGolden / "bad_fletcher.h5", {kernel, "filtered (fletcher32)"});
  refused(kGolden / "bad_strings.h5", {kernel, "holds strings"});
  refused(kGolden / "bad_variable.h5", {kernel, "strings of variable length"});
  refused(kGolden / "bad_reference.h5", {kernel, "holds references"});
  refused(kGolden / "bad_compound.h5", {kernel, "holds compounds"});
  refused(kGolden / "bad_complex.h5", {kernel, "holds compounds"});
  refused(kGolden / "bad_empty.h5", {kernel, "without any element"});
  refused(kGolden / "bad_unwritten.h5", {kernel, "was never written"});
  refused(kGolden / "bad_opaque.h5", {kernel, "opaque bytes"});
  refused(kGolden / "bad_cycle.h5", {"\"a/b/again\" that holds itself"});
  refused(kGolden / "bad_lambda.h5", {"\"evil\" is a Lambda layer", "CVE-2025-9905"});
}
TEST(H5, SaysHowMuchOfADownloadIsThere) {
  TempFolder dir;
  const std::string whole = read_file(kGolden / "good_keras2.h5");
  write_file(dir / "a.h5", whole.substr(0, whole.size() / 2));
  refused(dir / "a.h5", {"the file is cut: " + std::to_string(whole.size() / 2) + " of " + std::to_string(whole.size()), "(50 %)"});
  write_file(dir / "a.h5", whole + "more");
  const auto s = open_source(dir / "a.h5");
  ASSERT_EQ(s->notes.size(), 1u);
  EXPECT_NE(s->notes[0].find("4 bytes after the end"), std::string::npos);
}
// Each of 300 texts is looked up in the heap that has all of them; the budget of steps is for walking, not for the square of it.
TEST(H5, ManyTextsOfOneHeap) {
  const auto s = open_source(kGolden / "names_many.h5");
  ASSERT_EQ(s->tensors.size(), 1u);
  const std::string& names = s->metadata.at("names");
  EXPECT_NE(names.find("\"layer_0\""), std::string::npos) << names;
  EXPECT_NE(names.find("\"layer_299\""), std::string::npos) << names;
}
TEST(H5, SurvivesDamage) {
  TempFolder dir;
  for (const char* name : {"good_keras2.h5", "good_latest.h5", "good_keras3.weights.h5", "good_every.h5", "good_many.h5"}) {
    const fs::path file = dir / "x.h5";
    write_file(file, read_file(kGolden / name));
    const auto c = damage::sweep(file, file, 150, 2500);
    EXPECT_GT(c.refused, 150) << name;
    std::printf("damaged %s: %d refused, %d opened (numbers or unused bytes differ)\n", name, c.refused, c.opened);
  }
}

}  // namespace
}  // namespace graft
