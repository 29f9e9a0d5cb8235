// A checkpoint of any origin, seen in one way: a list of tensors with names, types, shapes and places, and the bytes of one of them when
// somebody wants them. Opening reads the lists alone and checks all of it; nothing is executed, nothing is loaded. What a container knows
// beside tensors (configuration, vocabulary, graph) is `metadata` for people and, for programs, in the format's own header under formats/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/tensor.h"

namespace graft {

struct StoredTensor {
  std::string name;                   // as the container has it; in nested containers the path, joined by dots
  std::string dtype;                  // by weights/stored_type.h
  std::vector<std::int64_t> shape;    // slowest axis first, in every container
  std::vector<std::int64_t> strides;  // in elements; empty: row-major
  std::uint64_t offset = 0;           // of its first byte in `file`; 0 where the container has it compressed or in pieces
  std::uint64_t bytes = 0;            // that bytes() gives
  std::size_t file = 0;               // index into Source::files
  std::int64_t storage = -1;          // tensors with the same number, not -1, lie in the same memory (tied or views of each other)
};

// Bytes and what keeps them alive.
struct KeptBytes {
  std::span<const std::byte> data;
  std::shared_ptr<const void> keeper;
};

class Source {
 public:
  virtual ~Source() = default;

  std::string path;                             // what was opened
  std::string format;                           // for people: "safetensors", "PyTorch zip"
  std::vector<std::string> files;               // all that were read
  std::vector<StoredTensor> tensors;            // names are unique
  std::map<std::string, std::string> metadata;  // text as it stands, other values as JSON; long ones cut
  std::optional<std::vector<std::string>>
      metadata_order;                         // of safetensors (MetadataOrder there): the order of its keys, which its bytes depend on
  std::map<std::string, std::string> beside;  // of a folder: what its config.json says (model_type, architecture, dtype, labels as JSON);
                                              // it is not written with the tensors
  std::vector<std::string> warnings;          // always shown
  std::vector<std::string> notes;             // legal but unusual, shown by `inspect --strict`

  // The stored bytes of tensor i, little endian: shape's elements in row-major order, or, where there are strides, the range from the first
  // to the last element. A span of the mapping where it can be one. Throws Error(input) where the container lies (checksums, lengths,
  // compressed data).
  virtual KeptBytes bytes(std::size_t i) const = 0;
  // bytes() in row-major order whatever the strides. Error(bug) where they do not lie in the bytes; not for types that are less than a byte
  // with strides.
  KeptBytes dense_bytes(std::size_t i) const;

  // As a tensor on the CPU: it borrows a mapping when type, order and alignment allow; else it is a copy, dense, widened or dequantised to
  // what graft computes in. Error(input) for types that have no counterpart (complex, floats below 8 bits), more than 8 axes, and BOOL
  // bytes other than 0 and 1.
  Tensor load(std::size_t i) const;

  const StoredTensor* find(std::string_view name) const;  // nullptr when it is not there
};

// Recognised by content, never by extension. A folder: model.safetensors, its index, pytorch_model.bin, its index, a TensorFlow bundle, or
// one file of weights. Error(input) for what is no checkpoint, saying what it is (a Git LFS pointer, HTML, JSON, text, nothing, a truncated
// download).
std::unique_ptr<Source> open_source(const std::filesystem::path& path);

}  // namespace graft
