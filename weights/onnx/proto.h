// ONNX files as plain structs. The bytes of a tensor are spans of the mapped file wherever it has them in one piece; nothing is computed
// and nothing executed. Reading checks everything that can be wrong with a file by itself: lengths, wire types, nesting, counts, sizes of
// tensors, paths of external data. The schema is onnx/onnx.proto of github.com/onnx/onnx; the numbers of its fields stand in proto.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/file.h"

namespace graft {

struct OnnxTensor {
  std::string name;
  int type = 0;  // onnx::ElementType
  std::vector<std::int64_t> dims;
  std::span<const std::byte> data;     // the elements, row-major, little endian; empty for strings, and while `external` is not read
  std::shared_ptr<const void> keeper;  // of `data`
  std::uint64_t at = 0;                // of the first byte in the file that has it; 0 where typed fields were gathered
  std::string external;                // file beside the model, "" when the data are inside
  std::string checksum;                // SHA-1 of that file, in hexadecimal, where the model gives one
};

struct OnnxGraphDef;

struct OnnxAttribute {
  // AttributeProto.AttributeType
  enum class Kind {
    undefined = 0,
    real = 1,
    integer = 2,
    text = 3,
    tensor = 4,
    graph = 5,
    reals = 6,
    integers = 7,
    texts = 8,
    tensors = 9,
    graphs = 10,
    sparse = 11,
    sparses = 12,
    type = 13,
    types = 14
  };
  std::string name;
  Kind kind = Kind::undefined;
  float real = 0;
  std::int64_t integer = 0;
  std::string text;
  std::vector<float> reals;
  std::vector<std::int64_t> integers;
  std::vector<std::string> texts;
  std::vector<std::shared_ptr<const OnnxTensor>> tensors;   // one for Kind::tensor
  std::vector<std::shared_ptr<const OnnxGraphDef>> graphs;  // one for Kind::graph
  std::string reference;                                    // inside a function: the attribute of the call that stands here
};

struct OnnxNode {
  std::string op, domain, name, overload;
  std::vector<std::string> inputs, outputs;  // "": not given
  std::vector<OnnxAttribute> attributes;
  std::uint64_t at = 0;  // byte of the file
  const OnnxAttribute* find(std::string_view attribute) const;
  std::string str() const;  // "'conv1' (Conv)", or the first output where the node has no name
};

struct OnnxValueInfo {
  std::string name;
  std::string kind = "tensor";  // "tensor", "sparse tensor", "sequence", "map", "optional", "opaque"
  int type = 0;
  bool has_shape = false;
  std::vector<std::int64_t> dims;  // -1: any size
  std::uint64_t at = 0;            // byte of the file
};

struct OnnxGraphDef {
  std::string name;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxTensor> initialisers;
  std::vector<OnnxValueInfo> inputs, outputs;
  std::size_t sparse_initialisers = 0;
};

struct OnnxFunction {
  std::string domain, name, overload;
  std::vector<std::string> inputs, outputs, attributes;
  std::vector<OnnxAttribute> defaults;
  std::vector<OnnxNode> nodes;
  std::map<std::string, std::int64_t> opsets;
};

struct OnnxModel {
  std::string path;
  std::int64_t ir_version = 0;
  std::string producer, producer_version, domain;
  std::map<std::string, std::int64_t> opsets;  // by domain; "ai.onnx" is ""
  OnnxGraphDef graph;
  std::vector<OnnxFunction> functions;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> external_files;  // names as the tensors have them, each once
};

// Could these be the first bytes of a ModelProto? `size`: of the whole file.
bool looks_like_onnx(std::span<const std::byte> head, std::uint64_t size);

// Throws Error(input) for what is no ONNX model or is damaged, and for an external path that leaves the folder.
std::shared_ptr<const OnnxModel> read_onnx(const std::filesystem::path& path);
// A TensorProto by itself, as ONNX's tests keep inputs and outputs. `what`: "input 0", for messages.
OnnxTensor read_onnx_tensor(const std::filesystem::path& path);

// The data of an external tensor were mapped by read_onnx; this compares its file with the checksum, once per file. Error(input) where they
// differ.
void verify_external(const OnnxTensor& t, const std::string& model_path);

}  // namespace graft
