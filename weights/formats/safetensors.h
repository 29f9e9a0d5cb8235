// safetensors: u64 length N (little endian), N bytes of JSON header, then the data of the tensors without holes.
// Reading checks the whole header before anything is handed out and copies no data: entries are spans of the mapped file.
// Writing gives the same bytes as the reference package. Every refusal of a file is Error(Code::input) naming file, rule, byte and tensor.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/file.h"

namespace graft {

class Tensor;  // engine/tensor/tensor.h

// The keys of __metadata__ in a file's order; nothing where the file has no __metadata__. The reference writes them in a new order each
// time, so that only this brings a file's bytes back.
using MetadataOrder = std::optional<std::vector<std::string>>;

// One tensor of a file. Whoever keeps an entry keeps the mapping.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;                       // as the file spells it: "F32", "F8_E4M3", ...
  std::vector<std::int64_t> shape;         // [] is one element; sizes may be 0
  std::span<const std::byte> bytes;        // row-major, little endian
  std::uint64_t offset = 0;                // of `bytes` in the file
  std::shared_ptr<const MappedFile> file;  // empty when parsed from bytes in memory
};

struct SafetensorsFile {
  std::string path;
  std::vector<SafetensorsEntry> entries;  // in the order of their data
  bool has_metadata = false;              // whether __metadata__ is there at all
  std::map<std::string, std::string> metadata;
  std::vector<std::string> metadata_order;  // its keys as the file has them
  std::vector<std::string> notes;           // legal but unusual, for `inspect --strict`: leading whitespace, unknown fields

  static SafetensorsFile open(const std::filesystem::path& path);
  // `bytes` is the whole file; `path` is only for messages. The caller keeps `bytes` alive, or `file` does.
  static SafetensorsFile parse(std::span<const std::byte> bytes, const std::string& path, std::shared_ptr<const MappedFile> file = nullptr);
  const SafetensorsEntry* find(std::string_view name) const;  // nullptr when it is not there
};

// Bits of one element of a dtype by its safetensors name; 0 when the format does not know it.
int safetensors_bits(std::string_view dtype);

// The entry as a tensor: it borrows the mapping when the element type allows and the address is aligned, else it is a copy.
// Error(input) for the 14 dtypes that graft does not compute in, for more than 8 axes, and for BOOL bytes other than 0 and 1.
Tensor load(const SafetensorsEntry& entry);

// A whole checkpoint: one file, or the shards that an index names.
struct Checkpoint {
  std::string path;                             // the file or index that was read
  std::vector<SafetensorsEntry> tensors;        // names are unique over all shards
  std::map<std::string, std::string> metadata;  // of all shards; the first to set a key wins
  MetadataOrder metadata_order;                 // likewise
  std::vector<std::string> warnings;            // always shown
  std::vector<std::string> notes;               // shown by `inspect --strict`
  const SafetensorsEntry* find(std::string_view name) const;
};

// `path`: a .safetensors file, a .safetensors.index.json, or a folder with model.safetensors, with model.safetensors.index.json, or with
// exactly one other file of either kind. Error(input) when the index names a path, a missing shard (all are listed), a tensor that its
// shard lacks, or when two shards hold the same name. Tensors that the index leaves out are read, with a warning.
Checkpoint open_checkpoint(const std::filesystem::path& path);

// ---- writing ----
struct SafetensorsItem {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
};
// The positions of `items` in the order the data is written in: dtypes from the most aligned down (ties in the format's own order), then
// names by byte.
std::vector<std::size_t> safetensors_order(const std::vector<SafetensorsItem>& items);
// Length and header of a file whose data are `items` in safetensors_order. Metadata: the keys of `order` first, then the others by byte;
// without metadata and order, __metadata__ is left out. Error(usage): a name twice, a name "__metadata__", an unknown dtype, text that is
// not UTF-8, a header above the format's limit.
std::string safetensors_header(const std::vector<SafetensorsItem>& items, const std::map<std::string, std::string>& metadata,
                               const MetadataOrder& order = {});
// Writes any of the 22 dtypes. `bytes_of(i)` is called once per item, in write order; its result must hold until the next call.
void write_safetensors(const std::filesystem::path& path, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& bytes_of, const MetadataOrder& order = {});
// Atomic (engine/base/file.h). Views with strides are written row-major. Other programs want metadata {"format": "pt"} to be there.
void write_safetensors(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace graft
