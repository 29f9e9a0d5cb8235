// Refusals 7 and 8: GGUF, by the classes of files that ggml's own test makes by hand, and ONNX.
#include <sys/stat.h>

#include <fstream>

#include "tests/weights/gguf_builder.h"
#include "tests/weights/onnx_build.h"
#include "tests/weights/refusals/front_door.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
namespace ob = onnx_build;
using front_door::FrontDoor;
using front_door::seen;
using gguf_tests::GgufBuilder;

// ---- 3.7: the classes of llama.cpp's tests/test-gguf.cpp, in its order ----

const std::string kZeros(4096, '\0');
constexpr std::uint64_t kMinus1 = ~std::uint64_t{0};
GgufBuilder one_key() { return GgufBuilder().begin(0, 1); }
std::string one_tensor(const std::string& name, const std::vector<std::uint64_t>& sizes, std::uint32_t type, std::uint64_t offset = 0) {
  return GgufBuilder().begin(1, 0).tensor(name, sizes, type, offset).pad().raw(kZeros).bytes();
}

TEST_F(FrontDoor, GgufHeaders) {
  is("bad_magic", "FUGG" + GgufBuilder().begin(0, 0).bytes().substr(4), {"begins with FUGG, the letters of GGUF turned around at byte 0"});
  is("bad_version_0", GgufBuilder(0).begin(0, 0).bytes(), {"GGUF version 0", "at byte 4"});
  is("bad_version_future", GgufBuilder(4).begin(0, 0).bytes(), {"GGUF version 4, and 1 to 3 are known at byte 4", "update graft"});
  is("bad_n_tensors", GgufBuilder().begin(kMinus1, 0).bytes(), {"18446744073709551615 tensors", "at byte 8"});
  is("bad_n_kv", GgufBuilder().begin(0, kMinus1).bytes(), {"18446744073709551615 keys", "at byte 16"});
  is("other_order", std::string("GGUF\0\0\0\3", 8) + std::string(16, '\0'),
     {"of the other byte order: its version reads as 50331648 where 3 is meant at byte 4"});
  // Version 1, which ggml refuses, is a format of its own here.
  std::ofstream(dir / "bad_version_1", std::ios::binary) << GgufBuilder(1).begin(0, 0).bytes();
  EXPECT_EQ(seen({"inspect", (dir / "bad_version_1").string()}).code, 0);
}
TEST_F(FrontDoor, GgufKeysThatAreWrong) {
  is("bad_key_size", one_key().u64(kMinus1).raw(kZeros).bytes(), {"the name of a key would have 18446744073709551615 bytes", "at byte 24"});
  is("empty_key", one_key().key("", GgufType::u32).u32(1).bytes(), {"the name of a key is empty at byte 24"});
  is("bad_type", one_key().text("k").u32(13).u32(1).bytes(), {"value type 13, and 0 to 12 are known at byte 33", "key \"k\""});
  is("duplicate_key", GgufBuilder().begin(0, 2).key("k", GgufType::u8).raw("x").key("k", GgufType::u8).raw("y").bytes(),
     {"has this key twice at byte 38", "key \"k\""});
  is("bad_align", one_key().key("general.alignment", GgufType::u32).u32(13).bytes(),
     {"the alignment 13, which is no power of two at byte 24"});
  is("wrong_type_align", one_key().key("general.alignment", GgufType::i32).u32(32).bytes(),
     {"an alignment that is i32, and u32 belongs there at byte 24"});
  is("array_type", one_key().key("a", GgufType::array).u32(13).u64(1).u32(0).bytes(), {"value type 13", "at byte 37", "key \"a\""});
  is("array_size", one_key().key("a", GgufType::array).u32(4).u64(kMinus1).bytes(),
     {"an array of 18446744073709551615 elements, and at most 1073741824 are allowed"});
  is("text_size", one_key().key("s", GgufType::text).u64(kMinus1).raw(kZeros).bytes(), {"a text would have 18446744073709551615 bytes"});
  is("boolean", one_key().key("b", GgufType::boolean).raw("\2").bytes(), {"byte 2 for a boolean"});
  is("nested",
     [] {
       GgufBuilder b = one_key();
       b.key("a", GgufType::array);
       for (int i = 0; i < 20; ++i) b.u32(9).u64(1);
       return b.u32(4).u64(0).bytes();
     }(),
     {"nests arrays deeper than 8"});
  // What a key says is judged where it is used; the byte is the key's.
  GgufBuilder old;
  is("quantisation",
     old.begin(1, 2)
         .key("a", GgufType::u8)
         .raw("x")
         .key("general.quantization_version", GgufType::u32)
         .u32(1)
         .tensor("t", {32}, 2, 0)
         .pad()
         .raw(kZeros)
         .bytes(),
     {"blocks of quantisation version 1, and 2 is known at byte 38"});
  const auto piece = [](GgufType type, const std::string& value) {
    return GgufBuilder().begin(0, 2).key("a", GgufType::u8).raw("x").key("split.count", type).raw(value).bytes();
  };
  is("m-00001-of-00003.gguf", piece(GgufType::u16, std::string("\3\0", 2)),
     {"lacks 2 of its 3 pieces: m-00002-of-00003.gguf, m-00003-of-00003.gguf at byte 38"});
  is("m-00001-of-00002.gguf", piece(GgufType::u16, std::string("\3\0", 2)), {"is one of 3 pieces, but is called one of 2 at byte 38"});
  is("m.gguf", piece(GgufType::u16, std::string("\3\0", 2)), {"is not called ...-0000N-of-3.gguf", "at byte 38"});
  is("n.gguf", piece(GgufType::f32, std::string(4, '\0')),
     {"where a number of pieces or tensors belongs at byte 38 (key \"split.count\")"});
}
TEST_F(FrontDoor, GgufTensorsThatAreWrong) {
  is("bad_name_size", one_tensor(std::string(64, 'n'), {1}, 0),
     {"the name of a tensor would have 64 bytes, and at most 63 are allowed at byte 24"});
  is("bad_n_dims", one_tensor("t", {1, 1, 1, 1, 1}, 0), {"5 axes, and a tensor has at most 4", "tensor \"t\""});
  is("bad_shape", one_tensor("t", {4, kMinus1}, 0), {"an axis of size 18446744073709551615", "tensor \"t\""});
  is("zero_dim", one_tensor("t", {4, 0}, 0), {"an axis of size 0", "tensor \"t\""});
  is("ne_too_big", one_tensor("t", {std::uint64_t{1} << 40, std::uint64_t{1} << 40}, 0), {"more elements or bytes than 63 bits count"});
  is("nbytes_too_big", one_tensor("t", {std::uint64_t{1} << 62}, 27), {"more elements or bytes than 63 bits count"});
  is("bad_type_of_tensor", one_tensor("t", {1}, 43), {"the ggml type 43, and 0 to 42 are known"});
  is("bad_offset", one_tensor("t", {8}, 0, 32), {"leaves a hole: it begins at 32 of the data, where 0 is its place"});
  is("duplicate_name", GgufBuilder().begin(2, 0).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).pad().raw(kZeros).bytes(),
     {"has this tensor twice", "tensor \"t\""});
  is("tensors_bad_align",
     GgufBuilder().begin(1, 1).key("general.alignment", GgufType::u32).u32(13).tensor("t", {1}, 0, 0).raw(kZeros).bytes(),
     {"the alignment 13"});
  is("tensors_inconsistent_align", GgufBuilder().begin(2, 0).tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 4).pad().raw(kZeros).bytes(),
     {"overlaps: it begins at 4 of the data, where 32 is its place with the alignment 32"});
  is("not_enough_data", GgufBuilder().begin(1, 0).tensor("t", {100}, 0, 0).pad().raw(std::string(399, '\0')).bytes(),
     {"is truncated: its tensors take ", "(99%)", "tensor \"t\""});
  is("mem_size_overflow",
     GgufBuilder()
         .begin(2, 0)
         .tensor("a", {0x7FFFFFFFFFFFFFC0u}, 24, 0)
         .tensor("b", {0x7FFFFFFFFFFFFFC0u}, 24, 0x7FFFFFFFFFFFFFC0u)
         .pad()
         .bytes(),
     {"63 bits", "tensor \"a\""});
  is("data_bad_align", GgufBuilder().begin(1, 1).key("general.alignment", GgufType::u32).u32(13).tensor("t", {1}, 0, 0).raw(kZeros).bytes(),
     {"the alignment 13"});
  is("data_inconsistent_align", GgufBuilder().begin(1, 0).tensor("t", {8}, 0, 0).raw("x").pad().raw(kZeros).bytes(),
     {"where zeros lead from the header to the data"});
  is("block", one_tensor("t", {100}, 8), {"rows of 100, which are not whole blocks of 32 Q8_0"});
  is("removed", one_tensor("t", {32}, 4), {"of the type Q4_2, which was removed"});
  is("activations", one_tensor("t", {32}, 9), {"of the type Q8_1, which is a format of activations"});
  const std::string good = golden_bytes("gguf/all.gguf");
  std::string mangled;
  for (const char c : good) mangled += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : "\xEF\xBF\xBD";
  is("mangled", mangled, {"was read and written as text on its way: EF BF BD stands for other bytes"});
}

// ---- 3.8 ----

// A classifier of 1x4x4 images: flattened, and a product with w [16,3].
std::string shaped(const std::string& name, const std::vector<std::int64_t>& sizes) {
  std::string shape;
  for (const std::int64_t n : sizes) shape += ob::bytes(1, n < 0 ? ob::bytes(2, "n") : ob::number(1, n));
  return ob::bytes(1, name) + ob::bytes(2, ob::bytes(1, ob::number(1, 1) + ob::bytes(2, shape)));
}
ob::GraphParts parts() {
  return {{ob::node("Flatten", {"x"}, {"f"}, {}, "flat"), ob::node("Gemm", {"f", "w"}, {"y"}, {}, "last")},
          {ob::tensor("w", 1, {16, 3}, ob::raw(std::vector<float>(48, 0.5f)))},
          {shaped("x", {-1, 1, 4, 4})},
          {shaped("y", {-1, 3})}};
}

TEST_F(FrontDoor, AGraphThatCanBeReadIsImported) {
  std::ofstream(dir / "good.onnx", std::ios::binary) << ob::model(ob::graph(parts()));
  const auto s = seen({"import", (dir / "good.onnx").string(), "--out", (dir / "out").string()});
  EXPECT_EQ(s.code, 0) << s.err;
  EXPECT_NE(s.out.find("every tensor is accounted for"), std::string::npos) << s.out;
  const auto listed = seen({"inspect", (dir / "out/model.safetensors").string(), "--json"});
  EXPECT_EQ(listed.code, 0) << listed.err;
  EXPECT_NE(listed.out.find("\"graft.input\": \"[1,4,4]\""), std::string::npos) << listed.out;
}
TEST_F(FrontDoor, OnnxPathsThatLeadElsewhere) {
  const auto with = [](const std::string& location) {
    return ob::model(ob::graph({{}, {ob::outside("w", {4}, {{"location", location}})}, {}, {ob::value("w")}}));
  };
  const test::TempFolder away;
  test::write_file(away / "w.bin", std::string(16, '\0'));
  fs::create_symlink(away / "w.bin", dir / "link.bin");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  fs::create_directory(dir / "folder");
  is("absolute.onnx", with((away / "w.bin").string()),
     {"is an absolute path", "at byte ", "(\"w\")", "a model may name files beside itself alone"});
  is("up.onnx", with("../" + away.path.filename().string() + "/w.bin"), {"leads out of the folder by .."});
  is("up2.onnx", with("folder/../../w.bin"), {"leads out of the folder by .."});
  is("windows.onnx", with("..\\w.bin"), {"is named as Windows names paths"});
  is("drive.onnx", with("C:w.bin"), {"is named as Windows names paths"});
  is("link.onnx", with("link.bin"), {"is a link out of the folder"});
  is("pipe.onnx", with("pipe"), {"is no regular file"});
  is("folder.onnx", with("folder"), {"is no regular file"});
  is("zero.onnx", with(std::string("w\0.bin", 6)), {"has a zero byte in its name"});
  is("empty.onnx", with(""), {"has no name"});
  is("missing.onnx", with("other.bin"), {"the external file \"other.bin\" is not there"});
  test::write_file(dir / "short.bin", std::string(8, '\0'));
  is("short.onnx", with("short.bin"), {"has 8 bytes, and the tensor wants 16 from byte 0"});
}
TEST_F(FrontDoor, GraphsThatCannotBeRun) {
  const auto changed = [](const std::function<void(ob::GraphParts&)>& change, std::int64_t opset = 17, const std::string& more = {}) {
    ob::GraphParts g = parts();
    change(g);
    return ob::model(ob::graph(g), opset, more);
  };
  not_imported_bytes("unknown.onnx",
                     changed(
                         [](ob::GraphParts& g) {
                           g.nodes[0] = ob::node("Frobnicate", {"x"}, {"f"}, {}, "first"),
                           g.nodes.push_back(ob::node("Thing", {"y"}, {"z"}, {}, "second", "my.own"));
                         },
                         17, ob::bytes(8, ob::opset(3, "my.own"))),
                     {"graft cannot run this graph: ", "node \"first\" (Frobnicate) of opset 17 is unknown at byte 13",
                      "node \"second\" (my.own.Thing) of opset 3 is unknown at byte ", "graft convert"});
  not_imported_bytes("opset.onnx", changed([](ob::GraphParts&) {}, 29), {"opset 29 is newer than 28, the newest that graft knows"});
  not_imported_bytes("domain.onnx", changed([](ob::GraphParts& g) { g.nodes[0] = ob::node("Relu", {"x"}, {"f"}, {}, "first", "no.such"); }),
                     {"node \"first\" (no.such.Relu) of no imported opset is unknown"});
  not_imported_bytes(
      "circle.onnx", changed([](ob::GraphParts& g) {
        g.nodes.push_back(ob::node("Add", {"f", "b"}, {"a"}, {}, "one")), g.nodes.push_back(ob::node("Relu", {"a"}, {"b"}, {}, "two"));
      }),
      {"the graph is a circle: node \"one\" (Add) waits for its own result at byte "});
  not_imported_bytes("twice.onnx", changed([](ob::GraphParts& g) { g.nodes.push_back(ob::node("Relu", {"x"}, {"f"}, {}, "again")); }),
                     {"node \"again\" (Relu) makes \"f\", which is made already at byte ", "names must be unique"});
  not_imported_bytes("inputs.onnx", changed([](ob::GraphParts& g) { g.inputs.push_back(g.inputs[0]); }),
                     {"two inputs of a graph have the name \"x\" at byte "});
  is("initialisers.onnx", changed([](ob::GraphParts& g) { g.initialisers.push_back(g.initialisers[0]); }),
     {"two constants at bytes ", "\"w\""});
  not_imported_bytes("nobody.onnx", changed([](ob::GraphParts& g) {
                       g.nodes[1] = ob::node("Gemm", {"g", "w"}, {"y"}, {}, "last");
                     }),
                     {"node \"last\" (Gemm) reads \"g\", which nothing makes at byte "});
  not_imported_bytes("output.onnx", changed([](ob::GraphParts& g) {
                       g.outputs[0] = shaped("z", {-1, 3});
                     }),
                     {"output \"z\" of a graph is made by nothing at byte "});
  not_imported_bytes("no_shape.onnx", changed([](ob::GraphParts& g) { g.inputs[0] = ob::value("x"); }),
                     {"the input has no shape at byte ", "(\"x\")", "export it with the sizes of its images"});
  not_imported_bytes("free.onnx", changed([](ob::GraphParts& g) {
                       g.inputs[0] = shaped("x", {-1, 1, -1, -1});
                     }),
                     {"the input has the shape [?,1,?,?], which is no image's, at byte "});
  not_imported_bytes("flat.onnx", changed([](ob::GraphParts& g) {
                       g.inputs[0] = shaped("x", {-1, 16});
                     }),
                     {"the input has the shape [?,16], which is no image's, at byte "});
  not_imported_bytes("words.onnx", changed([](ob::GraphParts& g) { g.inputs.push_back(ob::value("s", 8)); }),
                     {"input \"s\" is of STRING at byte "});
  is("cut.onnx", changed([](ob::GraphParts&) {}).substr(0, 100), {"ends in the middle of a field at byte ", "the file was cut or damaged"});
  is("no_opset.onnx", ob::number(1, 8) + ob::bytes(7, ob::graph(parts())), {"an ONNX model that imports no opset"});
  is("data.onnx", changed([](ob::GraphParts& g) {
       g.initialisers[0] = ob::tensor("w", 1, {16, 3}, std::string(8, '\0'));
     }),
     {"a tensor of 192 bytes has data of 8", "(\"w\")"});
  is("type.onnx", changed([](ob::GraphParts& g) { g.initialisers[0] = ob::tensor("w", 99, {1}, std::string(4, '\0')); }),
     {"the element type 99, which nobody knows", "(\"w\")"});
}

}  // namespace
}  // namespace graft
