// A LevelDB table (one sorted file of keys and values; doc/table_format.md of google/leveldb), as far as TensorFlow's bundles use it: plain
// or snappy blocks, all read at once. Checksums of all blocks are checked, and that the keys ascend.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "weights/formats/byte_window.h"

namespace graft {

struct TableEntry {
  std::string key, value;
  std::uint64_t at;  // of the value in the window; of its block, where that is packed
};

bool is_leveldb_table(std::span<const std::byte> file);  // by the magic number at its end

// Throws Error(input) on damage.
std::vector<TableEntry> read_leveldb_table(const ByteWindow& file);

}  // namespace graft
