// The index beside a checkpoint of several files: {"weight_map": {tensor: file}}. safetensors' and PyTorch's shards have the same.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace graft {

struct MappedShard {
  std::string file;
  std::uint64_t byte;  // of the tensor's key in the index
};
using ShardIndex = std::map<std::string, MappedShard>;  // by tensor

// Throws Error(input): not JSON, no weight_map, a file that is no plain name in the index's own folder.
ShardIndex read_shard_index(const std::filesystem::path& path);
// The files it names. Error(input) when some are missing, all of them listed.
std::set<std::string> shards_of(const std::filesystem::path& path, const ShardIndex& map);

// For messages: "a", "b", "c" and 7 more
std::string quoted_list(const std::vector<std::string>& names);

}  // namespace graft
