// ONNX files read: where weights hide, files beside the model, functions, and every way in which a file can be wrong.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>

#include "onnx_build.h"
#include "weights/onnx/check.h"
#include "weights/onnx/graph.h"
#include "weights/onnx/sha1.h"
#include "weights/source.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
using namespace onnx_build;

std::string complaint(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}
std::string graph_complaint(const OnnxFolder& f, const std::string& m) {
  const fs::path p = f.write("m.onnx", m);
  return complaint([&] { OnnxGraph g(read_onnx(p)); });
}
#define EXPECT_HAS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

std::vector<double> run_one(const fs::path& p, const std::vector<OnnxValue>& inputs) {
  return OnnxGraph(read_onnx(p)).run(inputs)[0].tensor.values();
}
OnnxValue floats(const std::vector<float>& v, const Shape& s) { return {Tensor::from(v, s), onnx::kFloat}; }

// y = cond ? x + w : x * 3, with w as a Constant of the branch and an initialiser of the graph around it read in the other.
std::string branching() {
  const std::string then_branch = graph(
      {{node("Constant", {}, {"w"}, {attribute_tensor("value", tensor("", 1, {2}, raw<float>({10, 20})))}), node("Add", {"x", "w"}, {"t"})},
       {},
       {},
       {value("t")}});
  const std::string else_branch = graph({{node("Mul", {"x", "three"}, {"e"})}, {}, {}, {value("e")}});
  return graph(
      {{node("If", {"cond"}, {"y"}, {attribute_graph("then_branch", then_branch), attribute_graph("else_branch", else_branch)}, "choice")},
       {tensor("three", 1, {1}, raw<float>({3}))},
       {value("cond", 9), value("x")},
       {value("y")}});
}

TEST(Onnx, WeightsAreFoundWhereTheyHide) {
  const OnnxFolder f;
  // FLOAT16 as int32_data: 1.5 is 0x3e00; BOOL likewise; INT8 -2.
  const std::string half = number(1, 1) + number(2, 10) + bytes(5, varint(0x3e00)) + bytes(8, "half"),
                    truth = number(1, 2) + number(2, 9) + number(5, 1) + number(5, 0) + bytes(8, "truth"),
                    narrow = number(1, 1) + number(2, 3) + number(5, -2) + bytes(8, "narrow"),
                    wide = number(1, 2) + number(2, 7) + bytes(7, varint(5) + varint(static_cast<std::uint64_t>(-6))) + bytes(8, "wide");
  const std::string g = branching() + bytes(5, half) + bytes(5, truth) + bytes(5, narrow) + bytes(5, wide);
  const auto source = open_source(f.write("anything.bin", model(g)));
  EXPECT_EQ(source->format, "ONNX");
  std::string names;
  for (const StoredTensor& t : source->tensors) names += t.name + ":" + t.dtype + " ";
  EXPECT_EQ(names, "three:F32 half:F16 truth:BOOL narrow:I8 wide:I64 y/then_branch/w:F32 ");
  const auto values = [&](const char* name) {
    return source->load(static_cast<std::size_t>(source->find(name) - source->tensors.data())).values();
  };
  EXPECT_EQ(values("half"), (std::vector<double>{1.5}));
  EXPECT_EQ(values("truth"), (std::vector<double>{1, 0}));
  EXPECT_EQ(values("narrow"), (std::vector<double>{-2}));
  EXPECT_EQ(values("wide"), (std::vector<double>{5, -6}));
  EXPECT_EQ(values("y/then_branch/w"), (std::vector<double>{10, 20}));
  EXPECT_EQ(source->metadata.at("onnx.opset"), "17");
}

TEST(Onnx, BranchesSeeTheGraphAroundThem) {
  const OnnxFolder f;
  const fs::path p = f.write("m.onnx", model(branching()));
  const OnnxValue x = floats({1, 2}, {2});
  EXPECT_EQ(run_one(p, {onnx::from_ints({1}, {}, onnx::kBool), x}), (std::vector<double>{11, 22}));
  EXPECT_EQ(run_one(p, {onnx::from_ints({0}, {}, onnx::kBool), x}), (std::vector<double>{3, 6}));
}

TEST(Onnx, FunctionsOfTheModelRun) {
  const OnnxFolder f;
  // Scaled(x; factor) = x * factor, twice with other factors; the default of the second is the function's own.
  const std::string function = bytes(1, "Scaled") + bytes(4, "a") + bytes(5, "b") +
                               bytes(7, node("Constant", {}, {"k"}, {attribute_reference("value_float", "factor")})) +
                               bytes(7, node("Mul", {"a", "k"}, {"b"})) + bytes(9, opset(17)) + bytes(10, "mine") +
                               bytes(11, attribute("factor", 5.0f));
  const std::string g =
      graph({{node("Scaled", {"x"}, {"h"}, {attribute("factor", 2.0f)}, "", "mine"), node("Scaled", {"h"}, {"y"}, {}, "", "mine")},
             {},
             {value("x")},
             {value("y")}});
  EXPECT_EQ(run_one(f.write("m.onnx", model(g, 17, bytes(8, opset(1, "mine")) + bytes(25, function))), {floats({1, 3}, {2})}),
            (std::vector<double>{10, 30}));
  // One that calls itself is told apart from a graph.
  const std::string self =
      bytes(1, "Scaled") + bytes(4, "a") + bytes(5, "b") + bytes(7, node("Scaled", {"a"}, {"b"}, {}, "", "mine")) + bytes(10, "mine");
  EXPECT_HAS(graph_complaint(f, model(g, 17, bytes(8, opset(1, "mine")) + bytes(25, self))), "call each other deeper");
}

TEST(Onnx, FilesBesideTheModel) {
  const OnnxFolder f;
  const std::string data = raw<float>({1, 2, 3, 4});
  f.write("weights.bin", data);
  const auto of = [&](const std::vector<std::pair<std::string, std::string>>& where) {
    return f.write("m.onnx", model(graph({{node("Add", {"x", "w"}, {"y"})}, {outside("w", {2}, where)}, {value("x")}, {value("y")}})));
  };
  const std::string sum = sha1_hex(std::as_bytes(std::span(data.data(), data.size())));
  EXPECT_EQ(run_one(of({{"location", "weights.bin"}, {"offset", "8"}, {"length", "8"}, {"checksum", sum}}), {floats({0, 0}, {2})}),
            (std::vector<double>{3, 4}));
  EXPECT_EQ(open_source(f.path / "m.onnx")->load(0).values(), (std::vector<double>{3, 4}));
  EXPECT_EQ(sha1_hex(std::as_bytes(std::span("abc", 3))), "a9993e364706816aba3e25717850c26c9cd0d89d");  // FIPS 180's own
  EXPECT_EQ(sha1_hex({}), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  const std::string million(1000000, 'a');
  EXPECT_EQ(sha1_hex(std::as_bytes(std::span(million.data(), million.size()))), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");

  const auto refused = [&](const std::vector<std::pair<std::string, std::string>>& where) {
    const fs::path p = of(where);
    return complaint([&] { open_source(p)->load(0); });
  };
  EXPECT_HAS(refused({{"location", "weights.bin"}, {"length", "16"}}), "external data of 16 bytes for a tensor of 8");
  EXPECT_HAS(refused({{"location", "weights.bin"}, {"length", "8"}, {"checksum", std::string(40, '0')}}), "has the SHA-1 " + sum);
  EXPECT_HAS(refused({{"location", "weights.bin"}, {"offset", "12"}, {"length", "8"}}),
             "has 16 bytes, and the tensor wants 8 from byte 12");
  EXPECT_HAS(refused({{"location", "weights.bin"}, {"offset", "18446744073709551615"}, {"length", "8"}}), "has 16 bytes");
  EXPECT_HAS(refused({{"location", "weights.bin"}, {"offset", "-1"}}), "is no number");
  EXPECT_HAS(refused({{"location", "none.bin"}}), "is not there");
  EXPECT_HAS(refused({{"location", ""}}), "has no name");
  // The ways out of the folder.
  EXPECT_HAS(refused({{"location", "/etc/passwd"}}), "is an absolute path");
  EXPECT_HAS(refused({{"location", "../" + f.path.filename().string() + "/weights.bin"}}), "leads out of the folder by ..");
  EXPECT_HAS(refused({{"location", "sub/../../x"}}), "leads out of the folder by ..");
  EXPECT_HAS(refused({{"location", "..\\x"}}), "as Windows names paths");
  EXPECT_HAS(refused({{"location", "c:x"}}), "as Windows names paths");
  EXPECT_HAS(refused({{"location", std::string("weights.bin\0x", 13)}}), "zero byte");
  fs::create_symlink("/etc/passwd", f.path / "link");
  EXPECT_HAS(refused({{"location", "link"}}), "is a link out of the folder");
  fs::create_directory(f.path / "folder");
  EXPECT_HAS(refused({{"location", "folder"}}), "is no regular file");
}

TEST(Onnx, AllThatCannotRunIsListedAtOnce) {
  const OnnxFolder f;
  const std::string g = graph({{node("Frobnicate", {"x"}, {"a"}, {}, "first"), node("Relu", {"a"}, {"b"}),
                                node("Thing", {"b"}, {"y"}, {}, "second", "other.domain")},
                               {},
                               {value("x")},
                               {value("y")}});
  const std::string said = graph_complaint(f, model(g, 17, bytes(8, opset(3, "other.domain"))));
  EXPECT_HAS(said, "node \"first\" (Frobnicate) of opset 17 is unknown");
  EXPECT_HAS(said, "node \"second\" (other.domain.Thing) of opset 3 is unknown");
  EXPECT_HAS(graph_complaint(f, model(graph({{node("Relu", {"x"}, {"y"})}, {}, {value("x")}, {value("y")}}), 99)),
             "opset 99 is newer than 28");
  EXPECT_HAS(graph_complaint(f, model(graph({{node("Identity", {"x"}, {"y"})}, {}, {value("x", 8)}, {value("y", 8)}}))),
             "input \"x\" is of STRING");
}

TEST(Onnx, GraphsThatAreWrong) {
  const OnnxFolder f;
  EXPECT_HAS(
      graph_complaint(f, model(graph({{node("Add", {"x", "b"}, {"a"}), node("Relu", {"a"}, {"b"})}, {}, {value("x")}, {value("b")}}))),
      "the graph is a circle");
  EXPECT_HAS(graph_complaint(f, model(graph({{node("Relu", {"x"}, {"y"}), node("Relu", {"x"}, {"y"})}, {}, {value("x")}, {value("y")}}))),
             "which is made already");
  EXPECT_HAS(graph_complaint(f, model(graph({{node("Relu", {"nowhere"}, {"y"})}, {}, {value("x")}, {value("y")}}))), "which nothing makes");
  EXPECT_HAS(graph_complaint(f, model(graph({{node("Relu", {"x"}, {"z"})}, {}, {value("x")}, {value("y")}}))), "made by nothing");
  EXPECT_HAS(
      graph_complaint(
          f, model(graph({{}, {tensor("w", 1, {2}, raw<float>({1, 2})), tensor("w", 1, {2}, raw<float>({1, 2}))}, {}, {value("w")}}))),
      "stands twice");
  // Nodes need not stand in order.
  const fs::path p =
      f.write("m.onnx", model(graph({{node("Neg", {"h"}, {"y"}), node("Abs", {"x"}, {"h"})}, {}, {value("x")}, {value("y")}})));
  EXPECT_EQ(run_one(p, {floats({-2, 3}, {2})}), (std::vector<double>{-2, -3}));
  // What is wrong only when it runs has the node's name.
  const fs::path q = f.write("q.onnx", model(graph({{node("MatMul", {"x", "x"}, {"y"}, {}, "product")}, {}, {value("x")}, {value("y")}})));
  const std::string said = complaint([&] { run_one(q, {floats({1, 2, 3, 4, 5, 6}, {2, 3})}); });
  EXPECT_HAS(said, "node \"product\" (MatMul)");
  EXPECT_HAS(said, "f32[2,3]");
}

TEST(Onnx, TensorsThatAreWrong) {
  const OnnxFolder f;
  const auto refused = [&](const std::string& t) {
    const fs::path p = f.write("m.onnx", model(graph({{node("Relu", {"x"}, {"y"})}, {t}, {value("x")}, {value("y")}})));
    return complaint([&] { open_source(p); });
  };
  EXPECT_HAS(refused(tensor("w", 1, {3}, raw<float>({1, 2}))), "a tensor of 12 bytes has data of 8");
  EXPECT_HAS(refused(tensor("w", 1, {1}, raw<float>({1, 2}))), "a tensor of 4 bytes has data of 8");
  EXPECT_HAS(refused(tensor("w", 1, {-1}, "")), "negative size");
  EXPECT_HAS(refused(tensor("w", 1, {std::int64_t{1} << 40, std::int64_t{1} << 40}, "")), "overflows");
  EXPECT_HAS(refused(tensor("w", 77, {1}, "aaaa")), "element type 77, which nobody knows");
  EXPECT_HAS(refused(number(1, 2) + number(2, 1) + bytes(8, "w") + bytes(4, raw<float>({1}))), "typed data of 4");
  EXPECT_HAS(refused(number(1, 1) + number(2, 1) + bytes(8, "w") + bytes(4, raw<float>({1})) + bytes(9, raw<float>({1}))),
             "raw and typed data");
  EXPECT_HAS(refused(number(1, 1) + number(2, 1) + bytes(8, "w") + bytes(4, "abc")), "not a multiple of 4");
  EXPECT_HAS(refused(bytes(2, "x") + bytes(8, "w")), "is not Protocol Buffers");
  EXPECT_HAS(refused(tensor("", 1, {1}, raw<float>({1}))), "initialiser without a name");
  // Graphs in graphs without end.
  std::string deep = graph({{}, {}, {}, {}});
  for (int i = 0; i < 40; ++i) deep = graph({{node("If", {"c"}, {"y"}, {attribute_graph("then_branch", deep)})}, {}, {}, {}});
  const fs::path p = f.write("deep.onnx", model(deep));
  EXPECT_HAS(complaint([&] { open_source(p); }), "deeper than");
}

TEST(Onnx, DamagedFilesAreRefusedOrReadWhole) {
  const OnnxFolder f;
  const std::string whole = model(branching() + bytes(5, tensor("more", 1, {8}, raw<float>({1, 2, 3, 4, 5, 6, 7, 8}))));
  const OnnxValue x = floats({1, 2}, {2}), cond = onnx::from_ints({1}, {}, onnx::kBool);
  int refused = 0, read = 0;
  const auto attempt = [&](const std::string& content) {
    const fs::path p = f.write("m.onnx", content);
    try {
      const auto source = open_source(p);
      for (std::size_t i = 0; i < source->tensors.size(); ++i) source->load(i);
      OnnxGraph(read_onnx(p)).run({cond, x});
      ++read;
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == Code::input || e.code() == Code::usage || e.code() == Code::memory) << e.what();
      ++refused;
    }
  };
  for (std::size_t n = 0; n < whole.size(); ++n) attempt(whole.substr(0, n));
  EXPECT_EQ(read, 0) << "a file that was cut loads without a word";
  EXPECT_EQ(refused, static_cast<int>(whole.size()));
  for (std::size_t i = 0; i < whole.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = whole;
      other[i] = static_cast<char>(other[i] ^ (1 << bit));
      attempt(other);
    }
  std::mt19937 random(3);
  for (int k = 0; k < 2000; ++k) {  // several bytes at once
    std::string other = whole;
    for (int j = 0; j < 4; ++j) other[random() % other.size()] = static_cast<char>(random());
    attempt(other);
  }
}

TEST(Onnx, PrefixesOfARealModelAreRefused) {
  const char* named = std::getenv("GRAFT_TEST_DATA");
  const fs::path path = (named ? fs::path(named) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data") / "checkpoints/mnist-cnn.onnx";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path << "; set GRAFT_TEST_DATA";
  std::ifstream in(path, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const OnnxFolder f;
  for (std::size_t n = 0; n < whole.size(); n += 9970) {
    const fs::path p = f.write("m.onnx", whole.substr(0, n));
    complaint([&] { open_source(p); });
  }
  EXPECT_GT(open_source(path)->tensors.size(), 10u);
}

// Models that once ended the program, did not end, or gave another answer without a word (tests/golden/onnx_traps/make.py).
TEST(Onnx, Traps) {
  const fs::path traps = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/onnx_traps";
  for (const char* name : {"fn", "ov", "dq", "reduce8", "bn"}) {
    const OnnxCheck c = onnx_check(traps / name / "m.onnx", traps / name);
    EXPECT_EQ(c.verdict, OnnxCheck::Verdict::equal) << name << ": " << c.reason;
  }
  const OnnxCheck sums = onnx_check(traps / "einsum/m.onnx", traps / "einsum");
  EXPECT_EQ(sums.verdict, OnnxCheck::Verdict::unsupported);
  EXPECT_HAS(sums.reason, "53 bits");
  for (const auto& [name, words] : {std::pair{"col2im", "has no place in an image of 1"},
                                    {"split", "splits into 1152921504606846976 parts for 1 outputs"},
                                    {"tscatter", "an axis of no places"},
                                    {"attn", "2 heads of keys and 0 of values"},
                                    {"scan8", "1 lengths for 2 rows"},
                                    {"laughs", "unfold to more than 200000 nodes"},
                                    {"reshape", "more than 2^40 elements"}}) {
    const std::string said = complaint([&, n = name] { onnx_check(traps / n / "m.onnx", traps / n); });
    EXPECT_HAS(said, words);
    EXPECT_HAS(said, ";");
  }
  // A few bytes that ask for gigabytes or hours, of constants alone: reading the model does none of it.
  for (const char* name : {"fold", "fold2"}) EXPECT_EQ(OnnxGraph(read_onnx(traps / name / "m.onnx")).inputs().size(), 0u);
}

// PyTorch's answers to models of its own (tests/golden/onnx/make.py).
TEST(Onnx, PyTorchsModelsGiveItsAnswers) {
  for (const char* name : {"cnn", "encoder", "recurrent"}) {
    const fs::path folder = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/onnx" / name;
    const OnnxCheck c = onnx_check(folder / "model.onnx", folder / "test_data_set_0", 1e-4, 1e-6);
    EXPECT_EQ(c.verdict, OnnxCheck::Verdict::equal) << name << ": " << c.reason;
    EXPECT_LT(c.max_difference, 1e-5) << name;
    EXPECT_GT(c.outputs, 0);
  }
}
TEST(Onnx, AnotherAnswerIsDifferent) {
  const OnnxFolder f;
  const fs::path golden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/onnx/cnn";
  fs::copy(golden / "test_data_set_0/input_0.pb", f.path / "input_0.pb");
  f.write("output_0.pb", tensor("y", 1, {2, 5}, raw<float>(std::vector<float>(10, 0.25f))));
  const OnnxCheck c = onnx_check(golden / "model.onnx", f.path);
  EXPECT_EQ(c.verdict, OnnxCheck::Verdict::different);
  EXPECT_HAS(c.reason, "expected 0.250000");
  f.write("output_0.pb", tensor("y", 1, {2, 4}, raw<float>(std::vector<float>(8, 0.25f))));
  EXPECT_HAS(onnx_check(golden / "model.onnx", f.path).reason, "has the shape [2,5], expected [2,4]");
}

}  // namespace
}  // namespace graft
