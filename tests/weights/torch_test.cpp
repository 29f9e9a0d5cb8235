// PyTorch's containers against what PyTorch reads in them (tests/golden/torch), ties and views, real files, refusals, the writer, and
// damage to every golden file.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <random>
#include <set>

#include "engine/ops/ops.h"
#include "tests/weights/torch_testing.h"
#include "weights/formats/readers.h"
#include "weights/formats/torch_writer.h"
#include "weights/formats/zip.h"

namespace graft {
namespace {

using torch_testing::bytes_of;
using torch_testing::checkpoint;
using torch_testing::golden_lines;
using torch_testing::kGolden;
using torch_testing::listing;
using torch_testing::read_file;
using torch_testing::refusal;
using torch_testing::refused;
using torch_testing::TempFolder;
using torch_testing::write_file;
using std::string_literals::operator""s;
namespace fs = std::filesystem;

// File, listing, what people are told it is.
struct GoldenTorch {
  const char *file, *name, *format;
};
constexpr GoldenTorch kFiles[] = {{"state.pt", "state", "PyTorch zip"},
                                  {"legacy.pth", "legacy", "PyTorch before 1.6"},
                                  {"deflated.pt", "deflated", "PyTorch zip"},
                                  {"dtypes.pt", "dtypes", "PyTorch zip"},
                                  {"big_endian.pt", "big_endian", "PyTorch zip"},
                                  {"training.pt", "training", "PyTorch zip"},
                                  {"module.pt", "module", "PyTorch zip"},
                                  {"module_legacy.pth", "module_legacy", "PyTorch before 1.6"},
                                  {"script.pt", "script", "TorchScript"},
                                  {"parameters.pt", "parameters", "PyTorch zip"},
                                  {"quantised.pt", "quantised", "PyTorch zip"},
                                  {"arrays0.pkl", "arrays0", "pickle"},
                                  {"arrays1.pkl", "arrays1", "pickle"},
                                  {"arrays2.pkl", "arrays2", "pickle"},
                                  {"arrays3.pkl", "arrays3", "pickle"},
                                  {"arrays4.pkl", "arrays4", "pickle"},
                                  {"arrays5.pkl", "arrays5", "pickle"},
                                  {"objects.pkl", "objects", "pickle"},
                                  {"tensors2.pkl", "tensors2", "pickle"},
                                  {"tensors4.pkl", "tensors4", "pickle"},
                                  {"python2.pkl", "python2", "pickle"},
                                  {"python2_legacy.pth", "python2_legacy", "PyTorch before 1.6"},
                                  {"old.tar", "old", "PyTorch before 0.1.10 (tar)"}};

std::unique_ptr<Source> parse(const std::string& bytes, const std::string& path = "x.pt") {
  const auto kept = std::make_shared<const std::string>(bytes);
  return open_torch(bytes_of(*kept), path, kept);
}

TEST(Torch, EveryContainerGivesWhatPyTorchReads) {
  std::set<std::string> dtypes;
  for (const auto& [file, name, format] : kFiles) {
    SCOPED_TRACE(file);
    const auto source = open_source(kGolden / file);
    EXPECT_EQ(source->format, format);
    EXPECT_EQ(source->path, (kGolden / file).string());
    const auto want = golden_lines(name);
    if (std::string(name) == "quantised") {  // PyTorch fuses the product and the difference where the machine can
      ASSERT_EQ(source->tensors.size(), want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        const Tensor t = source->load(i);
        ASSERT_TRUE(want[i].starts_with(t.name() + " F32 ")) << want[i];
        const std::string digits = want[i].substr(want[i].find(" : ") + 3);
        const auto got = t.values();
        ASSERT_EQ(digits.size(), got.size() * 8);
        for (std::size_t k = 0; k < got.size(); ++k) {
          float v;
          std::uint8_t b[4];
          for (std::size_t j = 0; j < 4; ++j) b[j] = static_cast<std::uint8_t>(std::stoul(digits.substr(k * 8 + j * 2, 2), nullptr, 16));
          std::memcpy(&v, b, 4);
          EXPECT_NEAR(got[k], v, 2e-6 * std::abs(v) + 1e-8) << t.name() << " " << k;
        }
      }
      continue;
    }
    auto have = listing(*source), sorted = want;
    if (std::string(format) == "TorchScript")
      std::sort(have.begin(), have.end()), std::sort(sorted.begin(), sorted.end());  // attributes stand in the order of their class
    EXPECT_EQ(have, sorted);
    for (const StoredTensor& t : source->tensors) dtypes.insert(t.dtype);
    for (std::size_t i = 0; i < source->tensors.size(); ++i)
      if (const StoredType* type = stored_type(source->tensors[i].dtype); type->loads) {
        EXPECT_EQ(source->load(i).shape(), Shape(source->tensors[i].shape));
      }
  }
  EXPECT_EQ(dtypes.size(), 20u) << "every dtype that PyTorch has";
}

TEST(Torch, TheSameFromMemoryAndFromShards) {
  for (const auto& [file, name, format] : kFiles) {
    const std::string bytes = read_file(kGolden / file);
    EXPECT_EQ(listing(*parse(bytes)), listing(*open_source(kGolden / file))) << file;
  }
  const auto shards = open_source(kGolden / "pytorch_model.bin.index.json");
  EXPECT_EQ(listing(*shards), golden_lines("shards"));
  EXPECT_EQ(shards->files.size(), 2u);
  EXPECT_EQ(shards->tensors[2].file, 1u);
  EXPECT_NE(shards->tensors[0].storage, shards->tensors[2].storage);
}

TEST(Torch, TensorsAreViewsOfTheFile) {
  const auto source = open_source(kGolden / "state.pt");
  const std::string file = read_file(kGolden / "state.pt");
  const auto& t = source->tensors;
  const auto at = [&](const char* name) { return static_cast<std::size_t>(source->find(name) - t.data()); };
  EXPECT_EQ(t[at("layer.weight")].storage, t[at("head.weight")].storage) << "tied";
  EXPECT_EQ(t[at("layer.weight")].offset, t[at("head.weight")].offset);
  EXPECT_EQ(t[at("row")].storage, t[at("layer.weight")].storage) << "a view";
  EXPECT_EQ(t[at("row")].offset, t[at("layer.weight")].offset + 16);
  EXPECT_NE(t[at("layer.bias")].storage, t[at("layer.weight")].storage);
  EXPECT_EQ(t[at("layer.weight")].strides, std::vector<std::int64_t>{}) << "row-major";
  EXPECT_EQ(t[at("permuted")].strides, (std::vector<std::int64_t>{1, 12, 4}));
  EXPECT_EQ(t[at("columns")].strides, (std::vector<std::int64_t>{4, 1}));
  EXPECT_EQ(t[at("columns")].bytes, 40u) << "from the first to the last element";
  EXPECT_EQ(t[at("expanded")].strides, (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(t[at("expanded")].bytes, 8u);
  EXPECT_EQ(t[at("bf16.permuted")].strides, (std::vector<std::int64_t>{1, 5})) << "bfloat16 and permuted at once";
  for (std::size_t i = 0; i < t.size(); ++i)
    if (t[i].bytes > 0) {
      const KeptBytes b = source->bytes(i);
      EXPECT_EQ(std::memcmp(b.data.data(), file.data() + t[i].offset, b.data.size()), 0) << t[i].name << " lies where it says";
      if (t[i].strides.empty() && t[i].name != "row") { EXPECT_EQ(t[i].offset % 64, 0u); }
    }
  // What is loaded borrows the mapping.
  const Tensor w = source->load(at("layer.weight"));
  EXPECT_EQ(static_cast<const void*>(w.raw()), static_cast<const void*>(source->bytes(at("layer.weight")).data.data()));
  EXPECT_EQ(open_source(kGolden / "deflated.pt")->tensors[0].offset, 0u) << "packed: it lies nowhere";
}

TEST(Torch, WhatStandsBesideTheTensors) {
  const auto m = open_source(kGolden / "training.pt")->metadata;
  const std::map<std::string, std::string> want = {{"epoch", "3"},           {"best", "0.5"},
                                                   {"arch", "resn\xc3\xa9"}, {"flags", "[true, null, [1, 2.5]]"},
                                                   {"device", "cuda:1"},     {"dtype", "torch.bfloat16"},
                                                   {"size", "[2, 3]"},       {"numpy", "1.5"}};
  EXPECT_EQ(m, want);
  const auto a = open_source(kGolden / "arrays2.pkl")->metadata;
  EXPECT_EQ(a, (std::map<std::string, std::string>{{"lr", "0.1"}, {"steps", "3"}, {"name", "n\xc3\xa9t"}, {"list", "[1, \"a\", null]"}}));
  EXPECT_EQ(open_source(kGolden / "arrays0.pkl")->metadata, a);
  EXPECT_EQ(open_source(kGolden / "module_legacy.pth")->metadata, (std::map<std::string, std::string>{{"epoch", "1"}}));
  EXPECT_EQ(open_source(kGolden / "old.tar")->metadata, (std::map<std::string, std::string>{{"epoch", "5"}}));
}

TEST(Torch, ContentDecidesNotTheName) {
  TempFolder dir;
  for (const auto& [file, name, format] : kFiles) {
    fs::copy(kGolden / file, dir / "weights.safetensors", fs::copy_options::overwrite_existing);
    EXPECT_EQ(open_source(dir / "weights.safetensors")->format, format);
  }
}

TEST(Torch, Folders) {
  TempFolder dir;
  fs::copy(kGolden / "state.pt", dir / "pytorch_model.bin");
  write_file(dir / "config.json", "{}");
  write_file(dir / "training_args.bin",
             "\x80\x02"
             "c__main__\nArgs\n)\x81.");
  EXPECT_EQ(open_source(dir.path)->tensors.size(), 11u);
  fs::rename(dir / "pytorch_model.bin", dir / "best.ckpt");
  EXPECT_EQ(open_source(dir.path)->path, (dir / "best.ckpt").string()) << "the only file of weights";
  fs::copy(kGolden / "legacy.pth", dir / "last.ckpt");
  refused([&] { open_source(dir.path); }, {"several candidates", "\"best.ckpt\", \"last.ckpt\"", "name the one to read"});

  TempFolder shards;
  for (const char* f : {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"})
    fs::copy(kGolden / f, shards / f);
  EXPECT_EQ(listing(*open_source(shards.path)), golden_lines("shards"));
  const auto index = [&](const std::string& map) {
    write_file(shards / "pytorch_model.bin.index.json", "{\"weight_map\": {" + map + "}}");
    open_source(shards.path);
  };
  const std::string one = "\"pytorch_model-00001-of-00002.bin\"", two = "\"pytorch_model-00002-of-00002.bin\"";
  refused([&] { index("\"a\": " + one + ", \"tied\": " + one + ", \"b\": " + one); },
          {"tensor \"b\"", "is not in its shard", "or any other"});
  refused([&] { index("\"a\": " + two + ", \"tied\": " + one + ", \"b\": " + two); }, {"tensor \"a\"", "is not in its shard", "but in"});
  EXPECT_NE(refusal([&] { index("\"a\": " + one + ", \"b\": \"gone.bin\""); }).find("1 of 2 shards are missing: \"gone.bin\""),
            std::string::npos);
  write_file(shards / "pytorch_model.bin.index.json", "{\"weight_map\": {\"a\": " + one + ", \"b\": " + two + "}}");
  const auto source = open_source(shards.path);
  ASSERT_EQ(source->warnings.size(), 1u);
  EXPECT_NE(source->warnings[0].find("1 tensors that the index leaves out: \"tied\""), std::string::npos);
  fs::copy(kGolden / "pytorch_model-00001-of-00002.bin", shards / "pytorch_model-00002-of-00002.bin", fs::copy_options::overwrite_existing);
  EXPECT_NE(refusal([&] { open_source(shards.path); }).find("is in the shard \"pytorch_model-00001-of-00002.bin\" too"), std::string::npos);
}

TEST(Torch, RealFiles) {
  const fs::path old = checkpoint("resnet20-cifar10-12fca82f.th"), zip = checkpoint("mnist-cnn.pt");
  if (old.empty() || zip.empty()) GTEST_SKIP() << "the checkpoints are not here (GRAFT_TEST_DATA)";
  const auto a = open_source(old);
  EXPECT_EQ(a->format, "PyTorch before 1.6");
  EXPECT_EQ(a->metadata.at("best_prec1").substr(0, 5), "91.78");
  ASSERT_NE(a->find("state_dict.module.conv1.weight"), nullptr);
  EXPECT_EQ(a->find("state_dict.module.conv1.weight")->shape, (std::vector<std::int64_t>{16, 3, 3, 3}));
  std::int64_t weights = 0;
  for (std::size_t i = 0; i < a->tensors.size(); ++i)
    if (const std::string& n = a->tensors[i].name; n.ends_with("weight") || n.ends_with("bias")) weights += a->load(i).numel();
  EXPECT_EQ(weights, 269722) << "as many as the network has parameters";
  const auto b = open_source(zip);
  EXPECT_EQ(b->format, "PyTorch zip");
  EXPECT_EQ(b->tensors.size(), 20u);
  for (std::size_t i = 0; i < b->tensors.size(); ++i) EXPECT_EQ(b->tensors[i].offset % 64, 0u);
}

// ---- refusals ----

// An archive as torch.save lays it out, of what the test says.
std::string archive(const std::string& pickle, const std::vector<std::pair<std::string, std::string>>& members) {
  TempFolder dir;
  write_atomically(dir / "x", [&](FileSink& sink) {
    ZipWriter zip(sink);
    zip.add("a/data.pkl", pickle);
    for (const auto& [name, data] : members) zip.add("a/" + name, data);
    zip.finish();
  });
  return read_file(dir / "x");
}
std::string text(const std::string& s) { return "X" + std::string{static_cast<char>(s.size()), 0, 0, 0} + s; }
std::string whole(int v) {
  return std::string("J") +
         std::string{static_cast<char>(v), static_cast<char>(v >> 8), static_cast<char>(v >> 16), static_cast<char>(v >> 24)};
}
std::string wholes(const std::vector<int>& v) {
  std::string s = "(";
  for (const int x : v) s += whole(x);
  return s + "t";
}
std::string storage(const std::string& type, const std::string& key, int n) {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + whole(n) + "tQ";
}
std::string tensor(const std::string& from, int offset, const std::vector<int>& shape, const std::vector<int>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + from + whole(offset) + wholes(shape) + wholes(strides) + "\x89}tR";
}
std::string dict(const std::string& pairs) { return "\x80\x02}(" + pairs + "u."; }
const std::string kSixteen(16, '\1');

void refused_tensor(const std::string& t, const std::vector<std::string>& parts, const std::string& data = kSixteen) {
  refused([&] { parse(archive(dict(text("w") + t), {{"data/0", data}})); }, parts);
}

TEST(TorchRefusals, TensorsThatAreNone) {
  const std::string s = storage("FloatStorage", "0", 4);
  EXPECT_EQ(parse(archive(dict(text("w") + tensor(s, 0, {2, 2}, {2, 1})), {{"data/0", kSixteen}}))->tensors.size(), 1u)
      << "what is broken below is whole";
  refused_tensor(tensor(s, 0, {2, 2}, {-2, 1}), {"x.pt: ", "negative stride -2", "\"w\"", "a/data.pkl"});
  refused_tensor(tensor(s, 1, {2, 2}, {2, 1}), {"a view past its storage: element 4 of 4", "\"w\""});
  refused_tensor(tensor(s, -1, {2}, {1}), {"before its storage"});
  refused_tensor(tensor(s, 0, {-1}, {1}), {"with the size -1"});
  refused_tensor(tensor(s, 0, {2147483647, 2147483647, 2147483647}, {1, 1, 1}), {"whose size overflows"});
  refused_tensor(tensor(s, 0, {65536, 65536}, {2147483647, 2147483647}), {"view past its storage"});
  refused_tensor(tensor(s, 0, {2, 2}, {1}), {"2 sizes and 1 strides"});
  refused_tensor(tensor(s, 0, {100000}, {0}), {"more than four times the file", "save clones"});
  refused_tensor(tensor(storage("FloatStorage", "0", 5), 0, {2}, {1}),
                 {"a storage shorter than declared: 16 bytes in place of 20", "a/data/0"});
  refused_tensor(tensor(storage("FloatStorage", "0", 3), 0, {2}, {1}), {"a storage longer than declared: 16 bytes in place of 12"});
  refused_tensor(tensor(storage("FloatStorage", "1", 4), 0, {2}, {1}), {"the storage \"a/data/1\" is missing"});
  refused_tensor(tensor(storage("FloatStorage", "0", -4), 0, {2}, {1}), {"a storage of -4 elements"});
  refused_tensor(tensor(storage("QUInt4x2Storage", "0", 4), 0, {2}, {1}), {"torch.QUInt4x2Storage", "convert it where it was made"});
  refused_tensor(tensor(s, 0, {2}, {1}) + text("v") + tensor(storage("FloatStorage", "0", 2), 0, {2}, {1}),
                 {"the storage \"0\" is said to be 16 and 8 bytes long"});
  refused_tensor(tensor("N", 0, {2}, {1}), {"a tensor without a storage"});
  refused_tensor("ctorch._utils\n_rebuild_sparse_tensor\n(ctorch\nsparse_coo\nNtR",
                 {"a sparse tensor", "\"w\"", "save it with .to_dense()"});
  refused_tensor("ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n)tR", {"meta device", "no numbers"});
  refused_tensor("ctorch._utils\n_rebuild_wrapper_subclass\n)R", {"a tensor of a class of its own"});
  refused_tensor("ctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_sparse_tensor\n(ctorch\nsparse_coo\nNtR\x88}tR",
                 {"a sparse tensor"});
  refused_tensor(tensor(s, 0, {2}, {1}) + text("w") + tensor(s, 0, {2}, {1}), {"a key is there twice", "\"w\""});
  refused_tensor("}" + text("x") + tensor(s, 0, {2}, {1}) + "s" + text("w.x") + tensor(s, 0, {2}, {1}),
                 {"two tensors of one name", "\"w.x\""});
}

TEST(TorchRefusals, UnknownNames) {
  refused(
      [&] {
        parse(
            "\x80\x02"
            "ctransformers.training_args\nTrainingArguments\n)\x81}b.");
      },
      {"x.pt: needs transformers.training_args.TrainingArguments: this file holds no tensors at byte 2"});
  const std::string w = text("w") + tensor(storage("FloatStorage", "0", 4), 0, {2}, {1});
  const auto with = [&](const std::string& more) { return [=] { parse(archive(dict(w + more), {{"data/0", kSixteen}})); }; };
  refused(with(text("x") + "cposix\nsystem\n" + "(" + text("id") + "tR"),
          {"needs posix.system, which the file wants to be called", "a/data.pkl"});
  refused(with(text("x") + "c__builtin__\neval\n(" + text("1") + "tR"), {"needs builtins.eval, which the file wants to be called"});
  refused(with(text("x") + "cmine\nThing\n)\x81}b"), {"needs mine.Thing, which stands among the tensors", "save the state_dict() alone"});
  refused(with(text("x") + "cmine\nfunction\n"), {"needs mine.function"});
  refused(with(text("x") + "cmine\nfunction\n0N"), {"needs mine.function"});  // pushed and popped: still refused
  refused(with(text("x") + "c__builtin__\ngetattr\n(NNtR"), {"needs builtins.getattr"});
  refused(with(text("x") + "cbad\nna\"me\x01\n(tR"), {"a global without a proper name"});
  // A call in the attributes of a whole module is a call all the same.
  const std::string module = "cmine\nNet\n)\x81}(" + text("_parameters") + "}" + text("_buffers") + "}" + text("_modules") + "}" +
                             text("hook") + "cos\nsystem\n(" + text("id") + "tRub";
  refused(with(text("m") + module), {"needs os.system, which the file wants to be called"});
}

// Modules are read whatever they are called and carry about; what is no module beside them is said to be left out.
TEST(Torch, ModulesAreDataWhateverTheirNames) {
  const auto part = [](const std::string& name, const std::string& value) { return text(name) + value; };
  const std::string f = storage("FloatStorage", "0", 4), none = "}", odd = "cmine\nOdd\n)\x81}" + text("secret") + "K\1sb";
  const std::string child =
      "cmine.blocks\nBlock\n)\x81}(" + part("_parameters", "}(" + part("weight", tensor(f, 0, {2}, {1})) + part("bias", "N") + "u") +
      part("_buffers", none) + part("_modules", none) + part("act", "ctorch.nn.functional\ngelu\n") + part("made", odd) + "ub";
  const std::string net = "cmine\nNet\n)\x81}(" + part("training", "\x89") + part("_parameters", none) +
                          part("_buffers", "}(" + part("mean", tensor(f, 2, {2}, {1})) + part("mask", tensor(f, 0, {1}, {1})) + "u") +
                          part("_non_persistent_buffers_set", "c__builtin__\nset\n(](" + text("mask") + "etR") +
                          part("_modules", "}(" + part("0", child) + part("1", "N") + "u") + "ub";
  const auto s = parse(archive(dict(part("model", net) + part("ema", odd) + part("epoch", "K\7")), {{"data/0", kSixteen}}));
  EXPECT_EQ(listing(*s), (std::vector<std::string>{"model.mean F32 2 : 0101010101010101", "model.0.weight F32 2 : 0101010101010101"}));
  EXPECT_EQ(s->metadata, (std::map<std::string, std::string>{{"epoch", "7"}}));
  ASSERT_EQ(s->notes.size(), 1u);
  EXPECT_EQ(s->notes[0], "\"ema\" is an object of mine.Odd; it is left out");
  refused(
      [&] {
        parse(archive(dict(part("model", "cmine\nNet\n)\x81}(" + part("_parameters", none) + part("_buffers", none) +
                                             part("_modules", "}" + text("x") + "K\1s") + "ub")),
                      {}));
      },
      {"a module's child is no module", "\"model.x\""});
}

TEST(TorchRefusals, ContainersThatLie) {
  const std::string zip = read_file(kGolden / "state.pt"), old = read_file(kGolden / "legacy.pth"), tar = read_file(kGolden / "old.tar");
  refused([&] { parse(zip.substr(0, zip.size() / 2)); }, {"without its end record", "the download was cut off"});
  refused([&] { parse(old.substr(0, old.size() - 20)); },
          {"the file ends after " + std::to_string(old.size() - 20), "% are there", "the download was cut off"});
  refused([&] { parse(old + "x"); }, {"1 bytes after the last storage"});
  refused([&] { parse(tar.substr(0, 2000)); }, {"cut off"});
  std::string broken = tar;
  broken[520]++;  // contents: sys_info, which nobody reads
  EXPECT_EQ(listing(*parse(broken)), golden_lines("old"));
  broken = tar;
  broken[0]++;
  refused([&] { parse(broken); }, {"a tar header whose checksum is wrong"});
  refused([&] { parse(archive("\x80\x02}.", {{"byteorder", "middle"}})); }, {"the byte order \"middle\""});
  refused([&] { parse(archive("\x80\x02}.}.", {})); }, {"2 bytes after the pickle's end"});
  refused([&] { parse(read_file(kGolden / "arrays4.pkl") + "x"); }, {"1 bytes after the pickle's end"});
  // data.pkl without its archive
  const ZipView view = ZipView::parse(bytes_of(zip), "z");
  const KeptBytes pickle = view.bytes(*view.find("state/data.pkl"));
  refused([&] { open_torch(pickle.data, "data.pkl"); }, {"is missing", "data.pkl of an archive without the archive"});
  TempFolder dir;
  write_atomically(dir / "other.zip", [&](FileSink& sink) {
    ZipWriter w(sink);
    w.add("readme", std::string_view("hello"));
    w.finish();
  });
  refused([&] { open_source(dir / "other.zip"); }, {"a zip archive at byte 0 that holds no weights"});
}

TEST(TorchRefusals, ValuesThatUnfold) {
  // Each list holds the one before it ten times: 10^12 strings for whoever walks them.
  std::string laughs = "\x80\x02" + text("ha") + "q\1" + "0";
  for (int i = 0; i < 12; ++i) {
    laughs += "](";
    for (int k = 0; k < 10; ++k) laughs += "h" + std::string(1, static_cast<char>(i + 1));
    laughs += "eq" + std::string(1, static_cast<char>(i + 2)) + "0";
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto s = parse(laughs + "h\x0d.");
  EXPECT_TRUE(s->tensors.empty());
  EXPECT_LT(s->metadata.at("value").size(), 2u << 20);
  std::string dicts = "\x80\x02" + text("ha") + "q\1" + "0";
  for (int i = 0; i < 12; ++i) {
    dicts += "}(";
    for (int k = 0; k < 10; ++k) dicts += "K" + std::string(1, static_cast<char>(k)) + "h" + std::string(1, static_cast<char>(i + 1));
    dicts += "uq" + std::string(1, static_cast<char>(i + 2)) + "0";
  }
  refused([&] { parse(dicts + "h\x0d."); }, {"unfold to more than"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  refused([&] { parse("\x80\x02]q\1h\1a."); }, {"a value that holds itself"});
  refused([&] { parse("\x80\x02}q\1" + text("a") + "h\1s."); }, {"a value that holds itself"});
  refused(
      [&] {
        parse("\x80\x02" + [] {
          std::string s;
          for (int i = 0; i < 300; ++i) s += "]";
          for (int i = 0; i < 299; ++i) s += "a";
          return s;
        }() + ".");
      },
      {"nested deeper than 200"});
}

// What a file may say to send a reader of it astray: found by reading, each once crashed or read what it should not.
TEST(TorchRefusals, DepthBehindKeysAndScales) {
  std::string key = "\x80\x02}" + std::string(")");
  for (int i = 0; i < 200000; ++i) key += '\x85';
  refused([&] { parse(key + "K\1s."); }, {"nested deeper than 200"});

  const std::string storage = "(" + text("storage") + "ctorch\nQInt8Storage\n" + text("0") + text("cpu") + "K\1tQ";
  std::string scales = "\x80\x02}" + text("a") + storage +
                       "q\0"
                       "0"s +
                       "ctorch._utils\n_rebuild_qtensor\nq\1"
                       "0ctorch\nper_channel_affine\nq\2"
                       "0K\1\x85q\3"
                       "0" +
                       "h\1(h\0K\0h\3h\3(ctorch\nper_tensor_affine\nG?\xf0\0\0\0\0\0\0K\0ttRq\4"
                       "0"s;
  for (int i = 0; i < 40000; ++i)
    scales +=
        "h\1(h\0K\0h\3h\3(h\2h\4h\4K\0ttRq\4"
        "0"s;
  refused([&] { parse(scales + "h\4s."); }, {"a tensor made of tensors without end"});
}

// A storage of the file's may have any key, that of a value in the pickle too: the two are not each other.
TEST(TorchRefusals, AKeyThatLooksLikeAnArrays) {
  const TempFolder dir;
  for (int id = 0; id < 64; ++id) {
    const std::string key = "array at " + std::to_string(id), numbers(80, '\1');
    const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\nFloatStorage\n" + text(key) +
                               text("cpu") + "K\1tQK\0K\1\x85K\1\x85\x89}tR"s;
    const std::string array = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85"s +
                              "C\1btR(K\1K\x14\x85"
                              "cnumpy\ndtype\n(" +
                              text("f4") + "K\0K\1tR(K\3"s + text("<") +
                              "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
                              "B\x50\0\0\0"s +
                              numbers + "tb";
    write_atomically(dir / "x.pt", [&](FileSink& sink) {
      ZipWriter zip(sink);
      zip.add("a/data.pkl", "\x80\x02}(" + text("t") + tensor + text("n") + array + "u.");
      zip.add("a/data/" + key, std::string("\2\0\0\0", 4));
      zip.finish();
    });
    const auto s = open_source(dir / "x.pt");
    ASSERT_EQ(s->tensors.size(), 2u) << id;
    EXPECT_EQ(s->find("t")->bytes, 4u);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(s->bytes(i).data.size(), s->tensors[i].bytes) << id;
    const KeptBytes n = s->bytes(s->tensors[0].name == "n" ? 0 : 1);
    EXPECT_TRUE(std::equal(n.data.begin(), n.data.end(), bytes_of(numbers).begin())) << id;
  }
}

// PyTorch can be told to write no CRC; then every one is 0.
TEST(Torch, AFileWithoutChecksumsIsRead) {
  const TempFolder dir;
  std::string file = read_file(kGolden / "state.pt");
  const auto zip = ZipView::parse(bytes_of(file), "state.pt");
  for (const ZipMember& m : zip.members())
    for (std::size_t at = 0; (at = file.find({reinterpret_cast<const char*>(&m.crc), 4}, at)) != std::string::npos; at += 4)
      if (m.crc != 0) file.replace(at, 4, 4, '\0');
  write_file(dir / "x.pt", file);
  const auto with = open_source(kGolden / "state.pt"), without = open_source(dir / "x.pt");
  EXPECT_EQ(listing(*without), listing(*with));
  ASSERT_FALSE(without->notes.empty());
  EXPECT_NE(without->notes.back().find("without checksums"), std::string::npos);
}

TEST(TorchRefusals, Quickly) {
  for (const char* what : {"\x80\x02"
                           "cmine\nThing\n)\x81.",
                           "\x80\x02]q\1h\1a.", "\x80\x02\xff"}) {
    const std::clock_t begin = std::clock();  // of the processor: the wall's is the other programs' too
    EXPECT_NE(refusal([&] { parse(what); }), "(accepted)");
    EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 0.05);
  }
}

// ---- damage ----

// Opens, lists, and reads every byte; the values, or nothing where the file was refused in one line.
std::optional<std::vector<std::string>> try_all(const std::string& bytes) {
  try {
    const auto source = parse(bytes);
    auto all = listing(*source);
    for (const auto& [key, value] : source->metadata) all.push_back(key + "=" + value);
    return all;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    EXPECT_LT(std::string(e.what()).size(), 800u) << e.what();
    return {};
  }
}

TEST(TorchDamage, EveryTruncationIsRefused) {
  int refusals = 0;
  for (const auto& [file, name, format] : kFiles) {
    const std::string whole = read_file(kGolden / file);
    const std::size_t step = whole.size() > 2500 ? 7 : 1;
    // A tar ends with two blocks of zeros, of which readers need one.
    const std::size_t last = std::string(file) == "old.tar" ? whole.size() - 512 : whole.size();
    for (std::size_t n = 0; n < last; n += step) {
      EXPECT_FALSE(try_all(whole.substr(0, n)).has_value()) << file << " cut to " << n;
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 5000);
}

// Archives have sums over their data, so that there a flipped bit is refused or lies where nobody reads. Elsewhere it may well be another
// number; it must not be a crash.
TEST(TorchDamage, FlippedBits) {
  std::mt19937 random(1);
  int refusals = 0, same = 0, other = 0;
  for (const auto& [file, name, format] : kFiles) {
    const std::string whole = read_file(kGolden / file);
    const auto want = try_all(whole);
    ASSERT_TRUE(want.has_value()) << file;
    const bool summed = std::string(format).ends_with("zip") || std::string(format) == "TorchScript";
    const std::size_t step = whole.size() > 2500 ? 3 : 1;
    for (std::size_t at = 0; at < whole.size(); at += step) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      const auto got = try_all(bytes);
      if (!got) ++refusals;
      else if (*got == *want) ++same;
      else {
        ++other;
        EXPECT_FALSE(summed) << file << " byte " << at << " changed what is read";
      }
    }
  }
  EXPECT_GT(refusals, 3000);
  EXPECT_GT(same, 1000);
  RecordProperty("refused", refusals);
  RecordProperty("same", same);
  RecordProperty("other", other);
}

// Streams of opcodes that begin well and go on at random: whatever they mean, nothing but a refusal or values.
TEST(TorchDamage, RandomOpcodes) {
  std::mt19937 random(2);
  const std::string seed = read_file(kGolden / "arrays2.pkl"), seed4 = read_file(kGolden / "tensors4.pkl");
  const std::string ops =
      "(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu}])"
      "G\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98";
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = round % 2 ? seed : seed4;
    for (int k = 0; k < 1 + round % 5; ++k) {
      const std::size_t at = 2 + random() % (bytes.size() - 2);
      if (random() % 2) bytes[at] = ops[random() % ops.size()];
      else bytes.insert(at, 1, ops[random() % ops.size()]);
    }
    try_all(bytes);
  }
}

// ---- writing ----

std::string python_with_torch() {
  for (const std::string& p : {std::string(std::getenv("GRAFT_PYTHON") ? std::getenv("GRAFT_PYTHON") : ""), std::string("python3")})
    if (!p.empty() && std::system(("'" + p + "' -c 'import torch' >/dev/null 2>&1").c_str()) == 0) return p;
  return "";
}

// Lines as judge.py wants them: with the names that share a storage.
std::vector<std::string> with_ties(const Source& s) {
  auto lines = listing(s);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string ties;
    for (std::size_t k = 0; k < lines.size(); ++k)
      if (k != i && s.tensors[i].bytes > 0 && s.tensors[k].bytes > 0 && s.tensors[k].storage == s.tensors[i].storage)
        ties += (ties.empty() ? "" : ",") + s.tensors[k].name;
    if (!ties.empty()) lines[i] += " = " + ties;
  }
  return lines;
}

void write_from(const Source& s, const fs::path& path, const std::string& wrapped_in = "") {
  std::vector<TorchItem> items;
  for (const StoredTensor& t : s.tensors) items.push_back({t.name, t.dtype, t.shape, t.strides, t.storage, t.offset});
  KeptBytes kept;
  write_torch(
      path, items,
      [&](std::size_t i) {
        kept = s.bytes(i);
        return kept.data;
      },
      wrapped_in);
}

TEST(TorchWriter, WhatIsWrittenIsReadBackAlike) {
  TempFolder dir;
  for (const auto& [file, name, format] : kFiles) {
    SCOPED_TRACE(file);
    const auto from = open_source(kGolden / file);
    write_from(*from, dir / "out.pt");
    const auto back = open_source(dir / "out.pt");
    EXPECT_EQ(listing(*back), listing(*from));
    for (std::size_t i = 0; i < back->tensors.size(); ++i) {
      EXPECT_EQ(back->tensors[i].strides, from->tensors[i].strides) << back->tensors[i].name;
    }
    if (from->tensors[0].offset > 0 && std::string(format) != "pickle") { EXPECT_EQ(with_ties(*back), with_ties(*from)) << "ties stay"; }
    const std::string once = read_file(dir / "out.pt");
    write_from(*back, dir / "again.pt");
    EXPECT_EQ(read_file(dir / "again.pt"), once) << "the same tensors give the same bytes";
  }
  // Nothing at all, and a wrapped one.
  write_torch(dir / "none.pt", std::vector<TorchItem>{}, [](std::size_t) { return std::span<const std::byte>(); });
  EXPECT_TRUE(open_source(dir / "none.pt")->tensors.empty());
  write_from(*open_source(kGolden / "state.pt"), dir / "wrapped.pt", "state_dict");
  EXPECT_EQ(open_source(dir / "wrapped.pt")->tensors[0].name, "state_dict.layer.weight");
}

TEST(TorchWriter, TiesWithoutPlaces) {
  TempFolder dir;
  // Deflated members lie nowhere: equal forms with equal bytes are one tensor, the others stand alone.
  write_from(*open_source(kGolden / "deflated.pt"), dir / "out.pt");
  const auto s = open_source(dir / "out.pt");
  EXPECT_EQ(s->find("layer.weight")->storage, s->find("head.weight")->storage);
  EXPECT_NE(s->find("layer.weight")->storage, s->find("row")->storage);
  // One storage by its number, but two opinions on what is in it: both are kept.
  const std::string a = "aaaa", b = "bbbb";
  write_torch(dir / "two.pt", {{"a", "U8", {4}, {}, 0, 100}, {"b", "U8", {4}, {}, 0, 100}},
              [&](std::size_t i) { return bytes_of(i ? b : a); });
  const auto two = open_source(dir / "two.pt");
  EXPECT_NE(two->tensors[0].storage, two->tensors[1].storage);
  EXPECT_EQ(listing(*two), (std::vector<std::string>{"a U8 4 : 61616161", "b U8 4 : 62626262"}));
}

TEST(TorchWriter, TensorsOfTheEngine) {
  TempFolder dir;
  const Tensor w = Tensor::arange(0, 12, 1, DType::f32).alias({3, 4}, {4, 1}, 0);
  write_torch(dir / "t.pt", {{"w", w},
                             {"t", w.alias({4, 3}, {1, 4}, 0)},
                             {"row", w.alias({4}, {1}, 4)},
                             {"n", Tensor::full({}, 7, DType::i64)},
                             {"none", Tensor::zeros({0, 2})}});
  const auto s = open_source(dir / "t.pt");
  EXPECT_EQ(s->load(0).values(), w.values());
  EXPECT_EQ(s->tensors[1].strides, (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(s->load(2).values(), (std::vector<double>{4, 5, 6, 7}));
  EXPECT_EQ(s->load(3).item(), 7);
  EXPECT_EQ(s->tensors[0].storage, s->tensors[1].storage);
  EXPECT_EQ(s->tensors[0].storage, s->tensors[2].storage);
}

TEST(TorchWriter, Refuses) {
  TempFolder dir;
  const std::string four(4, 'x');
  const auto write = [&](std::vector<TorchItem> items) {
    return refusal([&] { write_torch(dir / "x.pt", items, [&](std::size_t) { return bytes_of(four); }); }, Code::usage);
  };
  EXPECT_NE(write({{"a", "U8", {4}, {}, -1, 0}, {"a", "U8", {4}, {}, -1, 0}}).find("two tensors are called \"a\""), std::string::npos);
  EXPECT_NE(write({{"a", "Q4_0", {32}, {}, -1, 0}}).find("PyTorch has no tensors of Q4_0"), std::string::npos);
  EXPECT_NE(write({{"a", "U8", {4}, {-1}, -1, 0}}).find("a negative stride"), std::string::npos);
  EXPECT_NE(write({{"\xff", "U8", {4}, {}, -1, 0}}).find("is not UTF-8"), std::string::npos);
  EXPECT_NE(refusal(
                [&] {
                  write_torch(dir / "x.pt", {{"a", "U8", {5}, {}, -1, 0}}, [&](std::size_t) { return bytes_of(four); });
                },
                Code::bug)
                .find("4 bytes for"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(dir / "x.pt"));
}

TEST(TorchWriter, PyTorchTakesIt) {
  const std::string python = python_with_torch();
  if (python.empty()) GTEST_SKIP() << "no Python with torch here (GRAFT_PYTHON names one)";
  TempFolder dir;
  for (const char* file : {"state.pt", "dtypes.pt", "module.pt", "big_endian.pt"}) {
    const std::string wrapped = std::string(file) == "state.pt" ? "state_dict" : "";
    const auto from = open_source(kGolden / file);
    write_from(*from, dir / "out.pt", wrapped);
    std::string want;
    for (const std::string& line : with_ties(*from)) want += line + "\n";
    write_file(dir / "want.txt", want);
    EXPECT_EQ(std::system(("'" + python + "' '" + (kGolden / "judge.py").string() + "' '" + (dir / "out.pt").string() + "' '" +
                           (dir / "want.txt").string() + "' " + wrapped + " >/dev/null")
                              .c_str()),
              0)
        << file;
  }
}

}  // namespace
}  // namespace graft
