// Refusals 1 to 4: text in place of weights, downloads that were cut, and every rule of safetensors.
#include <fstream>

#include "tests/weights/refusals/front_door.h"

namespace graft {
namespace {
using front_door::file_of;
using front_door::FrontDoor;
using front_door::le;
using front_door::tensor;

// ---- 3.1 to 3.3: what was never weights, and what is only a part of them ----

TEST_F(FrontDoor, TextInPlaceOfWeights) {
  is("pointer.safetensors",
     "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize "
     "390660192\n",
     {"a Git LFS pointer", "(390660192 bytes elsewhere)", "run git lfs pull", "at byte 0"});
  is("pytorch_model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 17\n",
     {"a Git LFS pointer", "(17 bytes elsewhere)"});
  is("link", "../../blobs/0123456789abcdef0123456789abcdef", {"the path of a link that was copied as a file", "../../blobs"});
  is("page.pt", "<!DOCTYPE html>\n<html><body>404</body></html>\n", {"an HTML page", "a download that failed"});
  is("page2.gguf", "\n  <html><head></head></html>", {"an HTML page"});
  is("model.json", "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {}}", {"JSON text"});
  is("list", "[1, 2, 3]\n", {"JSON text"});
  is("notes.txt", "These are my notes.\nThere are two lines.\n", {"text at byte 0, not weights", "These are my notes."});
  is("empty", "", {"the file is empty"});
}
TEST_F(FrontDoor, DownloadsThatWereCut) {
  is("cut.safetensors", file_of("{" + tensor("w", "U8", "[1000]", "[0,1000]") + "}", std::string(430, 'x')),
     {"truncated", "describes 1067 bytes, 497 are there (46%)"});
  is("cut2.safetensors", file_of("{" + tensor("w", "U8", "[1000]", "[0,1000]") + "}").substr(0, 40), {"header has", "only"});
  const std::string pt = golden_bytes("torch/state.pt");
  is("cut.pt", pt.substr(0, pt.size() / 2), {"cut off"});
  const std::string legacy = golden_bytes("torch/legacy.pth");
  is("cut.pth", legacy.substr(0, legacy.size() - 9), {"at byte"});
  const std::string gguf = golden_bytes("gguf/aligned.gguf");
  is("cut.gguf", gguf.substr(0, gguf.size() - 100), {"truncated", "%"});
  const std::string h5 = golden_bytes("keras/good_keras2.h5");
  is("cut.h5", h5.substr(0, h5.size() / 2), {"at byte"});
  const std::string npy = golden_bytes("numpy/good_version_1.npy");
  is("cut.npy", npy.substr(0, npy.size() - 1), {"at byte"});
  const std::string llmc = golden_bytes("llmc/gpt2_fp32.bin");
  is("cut.bin", llmc.substr(0, llmc.size() - 4), {"at byte"});
}

// ---- 3.4 ----

TEST_F(FrontDoor, EveryRuleOfSafetensors) {
  const auto header = [&](const std::string& name, const std::string& json, const std::vector<std::string>& parts,
                          const std::string& data = "") { is(name, file_of(json, data), parts); };
  is("short", std::string("\2\0\0", 3), {"too short", "3 bytes"});
  is("long_header", le(500, 8) + "{}", {"header has 500 bytes", "only 2 follow"});
  is("huge_header", le(100000001, 8) + "{}", {"100000001", "limit is 100000000"});
  header("utf8", "{\"a\xff\":1}", {"not UTF-8", "byte 11"});
  header("json", "{\n\"a\":}", {"not JSON", "line 2, column 5"});
  header("no_object", "[]\x01", {"begins with '{'"});
  header("twice", "{" + tensor("a", "U8", "[1]", "[0,1]") + "," + tensor("\\u0061", "U8", "[1]", "[1,2]") + "}",
         {"key \"a\" is there twice"}, std::string("\1\2"));
  header("dtype", "{" + tensor("w", "F7", "[1]", "[0,1]") + "}", {"tensor \"w\" has the unknown dtype \"F7\""}, "\1");
  const auto two = [&](const std::string& a, const std::string& b) {
    return "{" + tensor("a", "U8", "[2]", a) + "," + tensor("b", "U8", "[2]", b) + "}";
  };
  header("hole", two("[0,2]", "[3,5]"), {"tensor \"b\" leaves a hole of 1 bytes"}, "\1\2\3\4\5");
  header("hole_first", two("[1,3]", "[3,5]"), {"tensor \"a\" leaves a hole"}, "\1\2\3\4\5");
  header("overlap", two("[0,2]", "[1,3]"), {"tensor \"b\" overlaps"}, "\1\2\3");
  header("backwards", two("[2,0]", "[2,4]"), {"tensor \"a\" ends (0) before it begins (2)"}, "\1\2\3\4");
  header("size", "{" + tensor("w", "F32", "[2]", "[0,4]") + "}", {"F32[2] takes 8 bytes", "span 4"}, "\1\2\3\4");
  header("bits", "{" + tensor("w", "F4", "[3]", "[0,1]") + "}", {"12 bits of F4"}, "\1");
  header("overflow", "{" + tensor("w", "U8", "[4294967296,4294967296]", "[0,0]") + "}", {"tensor \"w\" of shape", "overflows"});
  header("trailing", two("[0,2]", "[2,4]"), {"1 trailing bytes at byte"}, "\1\2\3\4\5");
  header("metadata", "{\"__metadata__\":{\"key\":1}}", {"__metadata__ entry \"key\" is not a string"});
  header("metadata2", "{\"__metadata__\":[]}", {"__metadata__ is not an object"});
  header("negative", "{" + tensor("w", "U8", "[-1]", "[0,1]") + "}", {"tensor \"w\" has a shape that is not a list of whole numbers"},
         "\1");
  header("float", "{" + tensor("w", "U8", "[1.0]", "[0,1]") + "}", {"tensor \"w\" has a shape that is not a list of whole numbers"}, "\1");
  header("float2", "{" + tensor("w", "U8", "[1]", "[0,1e0]") + "}", {"data_offsets that are not two whole numbers"}, "\1");
  header("above", "{" + tensor("w", "U8", "[9007199254740993]", "[0,1]") + "}", {"holds a number above 2^53"}, "\1");
  header("no_dtype", "{\"w\":{\"shape\":[1],\"data_offsets\":[0,1]}}", {"tensor \"w\" has no dtype"}, "\1");
  header("deep", "{\"a\":{\"x\":" + std::string(1'000'000, '['), {"nests deeper than 32"});
  is("a.safetensors.index.json", "{\"weight_map\":{\"w\":\"../model.safetensors\"}}", {"../model.safetensors"});
  is("b.safetensors.index.json", "{\"weight_map\":{\"w\":\"m-1.safetensors\",\"v\":\"m-2.safetensors\"}}",
     {"m-1.safetensors", "m-2.safetensors"});
}

}  // namespace
}  // namespace graft
