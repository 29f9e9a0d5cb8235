// Checkpoints written in the containers of others. What is written is a list of tensors that give their bytes when it is their turn, so
// that a checkpoint larger than memory can be converted; what a container cannot hold (types, ties, strides) is brought into a form that it
// can before, and said.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weights/source.h"

namespace graft {

enum class Container { safetensors, torch, npz, gguf };
// By name ("safetensors", "pt", "npz", "gguf") or by the extension of a file's name; nothing where neither says.
std::optional<Container> container_named(std::string_view name);
std::optional<Container> container_of_file(const std::filesystem::path& path);
std::string_view name_of(Container c);

struct OutTensor {
  std::string name, dtype;  // by weights/stored_type.h
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // in elements; empty: row-major
  std::int64_t storage = -1;          // as StoredTensor::storage
  std::uint64_t offset = 0;           // where it begins, to tell views of one storage apart
  std::function<KeptBytes()> bytes;   // as Source::bytes gives them
};

struct OutCheckpoint {
  std::vector<OutTensor> tensors;
  std::map<std::string, std::string> metadata;             // where the container has a place for it
  std::optional<std::vector<std::string>> metadata_order;  // as Source::metadata_order
  std::shared_ptr<const Source> origin;  // what a container knows beside (GGUF's keys, vocabulary) is carried along from it; may be empty
  std::string wrapped_in;                // of a PyTorch file: the dictionary around the names ("state_dict"), else empty
};

// All of a source, as it is.
OutCheckpoint as_written(std::shared_ptr<const Source> source);
OutTensor out_tensor(const std::string& name, const Tensor& t);  // dense, on the CPU
Tensor load_once(const OutTensor& t);                            // as Source::load
KeptBytes dense_once(const OutTensor& t);                        // as Source::dense_bytes
// The tensor with its floats in another type (F64, F32, BF16, F16, or a block type where graft writes it); itself where it has no floats or
// has the type.
OutTensor in_dtype(OutTensor t, std::string_view dtype);

struct WriteOptions {
  std::string dtype;              // of all float tensors; empty: as they are, as far as the container can
  std::uint64_t shard_bytes = 0;  // safetensors: the most bytes of a file, but for a tensor larger than that; 0: one file
};
struct Written {
  std::filesystem::path at;       // what to open: the file, or the index of its shards
  std::vector<std::string> said;  // what had to be changed, a line each
};
// Writes `path`, or, where it takes more than one shard, files beside it that an index in `path`'s folder names; atomically, each file.
// Error(usage): a type the container has not and graft cannot turn into one that it has; otherwise as write_atomically.
Written write_checkpoint(const std::filesystem::path& path, Container container, const OutCheckpoint& checkpoint,
                         const WriteOptions& options);

}  // namespace graft
