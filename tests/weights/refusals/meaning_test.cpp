// Refusals 9 and 10: files that are whole, and whose contents are not what a model, or anything of graft's, can use.
#include <fstream>
#include <limits>

#include "tests/weights/refusals/front_door.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
using front_door::FrontDoor;
using front_door::Plain;
using front_door::safetensors_of;
using front_door::seen;

// ---- 3.9 ----

// The 20-layer residual network for CIFAR-10 under the names of its best known PyTorch code.
std::vector<Plain> resnet20() {
  std::vector<Plain> all;
  const auto norm = [&](const std::string& name, std::int64_t n) {
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) all.push_back({name + "." + part, "F32", {n}});
  };
  all.push_back({"conv1.weight", "F32", {16, 3, 3, 3}});
  norm("bn1", 16);
  for (std::int64_t l = 1, in = 16; l <= 3; ++l) {
    const std::int64_t out = 8 << l;
    for (int b = 0; b < 3; ++b, in = out) {
      const std::string block = "layer" + std::to_string(l) + "." + std::to_string(b) + ".";
      all.push_back({block + "conv1.weight", "F32", {out, in, 3, 3}});
      norm(block + "bn1", out);
      all.push_back({block + "conv2.weight", "F32", {out, out, 3, 3}});
      norm(block + "bn2", out);
    }
  }
  all.push_back({"linear.weight", "F32", {10, 64}});
  all.push_back({"linear.bias", "F32", {10}});
  return all;
}
Plain& of(std::vector<Plain>& all, const std::string& name) {
  for (Plain& t : all)
    if (t.name == name) return t;
  throw std::logic_error(name);
}

TEST_F(FrontDoor, AllShapesThatDoNotFitAreRowsOfOneTable) {
  std::vector<Plain> w = resnet20();
  of(w, "layer1.0.conv1.weight").shape = {16, 16, 1, 1};
  of(w, "layer2.1.bn2.running_var").shape = {33};
  of(w, "linear.bias").shape = {11};
  not_imported_bytes(
      "shapes.safetensors", safetensors_of(w),
      {"does not fit this model: ", "'layer1.0.conv1.weight' is f32[16,16,3,3], checkpoint has f32[16,16,1,1] at byte ",
       "'layer2.1.bn2.running_var' is f32[32], checkpoint has f32[33] at byte ",
       "'linear.bias' is f32[10], checkpoint has f32[11] (init.head=new draws another) at byte ", "name the recipe whose network it is"});
}
TEST_F(FrontDoor, WeightsThatAreWholeNumbersAreRefused) {
  std::vector<Plain> w = resnet20();
  of(w, "layer1.0.conv1.weight").dtype = "I8";
  not_imported_bytes("whole.safetensors", safetensors_of(w),
                     {"the numbers of tensor \"layer1.0.conv1.weight\" are I8 at byte ", "weights are floats"});
}
TEST_F(FrontDoor, MissingAndUnexpectedNamesAreGroupedWithTheNearest) {
  std::vector<Plain> w = resnet20();
  for (int b = 0; b < 3; ++b) of(w, "layer2." + std::to_string(b) + ".conv2.weight").name = "layer2." + std::to_string(b) + ".conv2.wieght";
  std::erase_if(w, [](const Plain& t) { return t.name == "bn1.bias"; });
  w.push_back({"teacher_queue", "F32", {4}});
  not_imported_bytes("names.safetensors", safetensors_of(w),
                     {"\"layer#.#.conv#.weight\" (3 tensors; nearest: \"layer2.0.conv2.wieght\")", "\"bn1.bias\"", "are missing",
                      "\"layer#.#.conv#.wieght\" (3 tensors; nearest: \"layer2.0.conv2.weight\")", "\"teacher_queue\"",
                      "are in the checkpoint but the model has no use for them", "--map FILE"});
  not_imported_bytes(
      "stranger.safetensors", safetensors_of({{"encoder.kernel", "F32", {2}}}),
      {"carries no graft configuration and is of a network that graft does not recognise", "name a recipe whose network it fits"});
  not_imported("stranger.safetensors",
               {"does not fit this model: ", "\"encoder.kernel\" is in the checkpoint but the model has no use for it"},
               {"cifar-resnet20", "model.classes=10"});
}
TEST_F(FrontDoor, NumbersThatAreNoneAndWeightsOfZerosAreImportedWithAWarning) {
  std::vector<Plain> w = resnet20();
  of(w, "layer1.0.conv2.weight").fill = std::numeric_limits<float>::quiet_NaN();
  of(w, "layer2.0.conv2.weight").fill = -std::numeric_limits<float>::infinity();
  of(w, "layer3.0.conv2.weight").fill = 0;
  std::ofstream(dir / "odd.safetensors", std::ios::binary) << safetensors_of(w);
  const auto s = seen({"import", (dir / "odd.safetensors").string(), "--out", (dir / "out").string()});
  EXPECT_EQ(s.code, 0) << s.err;
  for (const char* part : {"graft: warning: ", "tensor \"layer1.0.conv2.weight\" holds 2304 NaN and 0 infinite numbers of 2304\n",
                           "tensor \"layer2.0.conv2.weight\" holds 0 NaN and 9216 infinite numbers of 9216\n",
                           "tensor \"layer3.0.conv2.weight\" is zero throughout\n"})
    EXPECT_NE(s.err.find(part), std::string::npos) << part << " in " << s.err;
  EXPECT_EQ(std::count(s.err.begin(), s.err.end(), '\n'), 3) << s.err;
  EXPECT_TRUE(fs::exists(dir / "out/model.safetensors"));
  const auto listed = seen({"inspect", (dir / "odd.safetensors").string(), "--values"});
  EXPECT_EQ(listed.code, 0) << listed.err;
  for (const char* part : {"NaN: 2304, infinite: 0", "NaN: 0, infinite: 9216", "all zero"})
    EXPECT_NE(listed.out.find(part), std::string::npos) << part;
}

// ---- 3.10 ----

TEST_F(FrontDoor, KerasThatIsNotRead) {
  golden("keras/bad_gzip.h5", {"the dataset \"layer/kernel:0\" is filtered (deflate), which graft does not read, at byte "});
  golden("keras/bad_lzf.h5", {"is filtered (lzf), which graft does not read, at byte "});
  golden("keras/bad_fletcher.h5", {"is filtered (fletcher32), which graft does not read, at byte "});
  golden("keras/bad_chunked.h5", {"is stored in chunks, which graft does not read, at byte "});
  golden("keras/bad_variable.h5", {"holds strings of variable length, which graft does not read, at byte "});
  golden("keras/bad_strings.h5", {"holds strings, which graft does not read, at byte "});
  golden("keras/bad_reference.h5", {"holds references, which graft does not read, at byte "});
  golden("keras/bad_compound.h5", {"holds compounds, which graft does not read, at byte "});
  golden("keras/bad_opaque.h5", {"holds opaque bytes, which graft does not read, at byte "});
  golden("keras/bad_lambda.h5", {"is a Lambda layer, whose configuration holds Python bytecode (CVE-2025-9905)", "at byte "});
  is("lambda.keras", test::read_file(fs::path(GRAFT_SOURCE_DIR) / "tests/fuzz/corpus/keras_archive/lambda"),
     {"the layer \"l\" is a Lambda layer, whose configuration holds Python bytecode (CVE-2025-9905)"});
}
TEST_F(FrontDoor, ArraysAndTablesThatHoldNoNumbers) {
  golden("numpy/bad_text.npy", {"holds text (dtype \"<U2\") at byte "});
  golden("numpy/bad_bytes.npy", {"holds text (dtype \"|S2\") at byte "});
  golden("numpy/bad_dates.npy", {"holds dates or times", "at byte "});
  golden("numpy/bad_structured.npy", {"is structured", "at byte "});
  golden("numpy/bad_long_double.npy", {"\"<f16\"", "at byte "});
  fs::copy_file(fs::path(GRAFT_SOURCE_DIR) / "tests/golden/tf/bad_text.data-00000-of-00001", dir / "bad_text.data-00000-of-00001");
  golden("tf/bad_text.index", {"a tensor of DT_STRING, which holds no numbers (tensor \"names\") at byte "});
  is("legacy.bin", "lmgg" + front_door::le(7, 4) + std::string(60, '\0'), {"of a model that graft does not know"});
}

// A linear layer [in 64, out 32] as each quantiser leaves it.
struct Packed {
  const char *file, *method, *telling;
  std::vector<Plain> tensors;
};
const std::vector<Packed>& packed() {
  static const std::vector<Packed> all = {
      {"gptq",
       "GPTQ",
       "l.q.qweight",
       {{"l.q.qweight", "I32", {8, 32}}, {"l.q.qzeros", "I32", {1, 4}}, {"l.q.scales", "F16", {1, 32}}, {"l.q.g_idx", "I32", {64}}}},
      {"gptq_plain",
       "GPTQ",
       "l.q.qweight",
       {{"l.q.qweight", "I32", {8, 32}}, {"l.q.qzeros", "I32", {1, 4}}, {"l.q.scales", "F16", {1, 32}}}},
      {"awq", "AWQ", "l.q.qweight", {{"l.q.qweight", "I32", {64, 4}}, {"l.q.qzeros", "I32", {1, 4}}, {"l.q.scales", "F16", {1, 32}}}},
      {"nf4",
       "bitsandbytes (4 bits, nf4)",
       "l.q.weight.quant_state.bitsandbytes__nf4",
       {{"l.q.weight", "U8", {1024, 1}},
        {"l.q.weight.absmax", "F32", {32}},
        {"l.q.weight.quant_map", "F32", {16}},
        {"l.q.weight.quant_state.bitsandbytes__nf4", "U8", {80}}}},
      {"int8",
       "bitsandbytes (8 bits)",
       "l.q.SCB",
       {{"l.q.weight", "I8", {32, 64}}, {"l.q.SCB", "F32", {32}}, {"l.q.weight_format", "U8", {}}}},
      {"compressed",
       "compressed-tensors",
       "l.q.weight_packed",
       {{"l.q.weight_packed", "I32", {32, 8}}, {"l.q.weight_scale", "F32", {32, 1}}, {"l.q.weight_shape", "I32", {2}}}},
      {"fp8", "float8 with scales", "l.q.weight_scale_inv", {{"l.q.weight", "F8_E4M3", {32, 64}}, {"l.q.weight_scale_inv", "F32", {1, 1}}}},
  };
  return all;
}
TEST_F(FrontDoor, PackingsAreNamed) {
  for (const Packed& p : packed()) {
    std::vector<Plain> w = p.tensors;
    for (const Plain& t : p.tensors) w.push_back({"l.k" + t.name.substr(3), t.dtype, t.shape});
    w.push_back({"embed.weight", "F32", {4, 4}});
    const std::string name = std::string(p.file) + ".safetensors";
    const std::string telling = "l.k" + std::string(p.telling).substr(3);
    not_imported_bytes(name, safetensors_of(w),
                       {"the weights of 2 layers are packed by " + std::string(p.method) + " at byte ", "(tensor \"" + telling + "\")",
                        "which graft does not unpack", "a GGUF of it"});
    not_imported(name, {"packed by " + std::string(p.method)}, {"cifar-resnet20"});
    const auto listed = seen({"inspect", (dir / name).string()});
    EXPECT_EQ(listed.code, 0) << listed.err;
    EXPECT_NE(listed.out.find("packed by " + std::string(p.method) + ": 2 layers, the first by " + telling), std::string::npos)
        << listed.out;
    const auto json = seen({"inspect", (dir / name).string(), "--json"});
    EXPECT_NE(json.out.find("\"method\": \"" + std::string(p.method) + "\""), std::string::npos) << json.out;
  }
  // What only looks like it is taken for what it is.
  std::ofstream(dir / "plain.safetensors", std::ios::binary)
      << safetensors_of({{"l.weight", "F32", {4, 4}}, {"l.scales", "F32", {4}}, {"codes", "I32", {4}}, {"weight_scale", "F32", {1}}});
  EXPECT_EQ(seen({"inspect", (dir / "plain.safetensors").string()}).out.find("packed by"), std::string::npos);
}
TEST_F(FrontDoor, AFoldersConfigNamesItsPacking) {
  for (const char* method : {"gptq", "awq", "bitsandbytes"}) {
    fs::create_directory(dir / method);
    std::ofstream(dir / method / "model.safetensors", std::ios::binary) << safetensors_of({{"l.weight", "F32", {4, 4}}});
    std::ofstream(dir / method / "config.json")
        << R"({"model_type": "llama", "quantization_config": {"quant_method": ")" << method << R"(", "bits": 4}})";
    not_imported(method, {"config.json: the weights are packed by \"" + std::string(method) +
                          "\" (quantization_config), which graft does not unpack"});
    front_door::refused(dir.path, {"inspect", (dir / method).string()}, {(dir / method / "config.json").string() + ": ", {"packed by"}});
  }
}

}  // namespace
}  // namespace graft
