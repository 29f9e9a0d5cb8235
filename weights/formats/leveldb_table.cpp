#include "weights/formats/leveldb_table.h"

#include "weights/formats/crc32c.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

constexpr std::uint64_t kMagic = 0xdb4775248b80fb57u, kFooter = 48, kTrailer = 5;

struct Place {
  std::uint64_t at, size;
};

std::uint64_t varint(const ByteWindow& w, std::uint64_t& at, std::uint64_t end, const char* what) {
  std::uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at >= end) w.refuse(at, std::string(what) + " that ends within a number");
    const std::uint64_t b = w.u8(at++, what);
    if (shift == 63 && b > 1) break;
    v |= (b & 127u) << shift;
    if (b < 128) return v;
  }
  w.refuse(at, std::string(what) + " with a number of more than 64 bits");
}

Place handle(const ByteWindow& w, std::uint64_t& at, std::uint64_t end) {
  Place p{};
  p.at = varint(w, at, end, "a block's place");
  p.size = varint(w, at, end, "a block's place");
  const std::uint64_t room = w.size() - kFooter;
  if (p.at > room || p.size > room - p.at || room - p.at - p.size < kTrailer) w.refuse(at, "a block of " + std::to_string(p.size) + " bytes at " + std::to_string(p.at) + " that leaves the table");
  return p;
}

// Appends the entries of one block.
void block(const ByteWindow& w, Place p, std::vector<TableEntry>& out) {
  const int kind = w.u8(p.at + p.size, "a block");
  if (kind > 1) w.refuse(p.at + p.size, "a block of the unknown compression " + std::to_string(kind));
  const std::uint32_t have = masked_crc(crc32c(w.bytes(p.at, p.size + 1, "a block"))), want = w.u32(p.at + p.size + 1, "a block");
  if (have != want) w.refuse(p.at, "a block that does not agree with its checksum");
  if (kind == 1) w.refuse(p.at + p.size, "a block compressed with snappy", "graft reads the uncompressed tables that TensorFlow's savers write: save it once more with tf.train.Checkpoint");
  if (p.size < 4) w.refuse(p.at, "a block without its restarts");
  const std::uint64_t restarts = w.u32(p.at + p.size - 4, "a block");
  if (restarts > (p.size - 4) / 4) w.refuse(p.at + p.size - 4, "a block with " + std::to_string(restarts) + " restarts, more than it has room for");
  const std::uint64_t end = p.at + p.size - 4 - 4 * restarts;
  std::string key;
  for (std::uint64_t at = p.at; at < end;) {
    const std::uint64_t begin = at;
    const std::uint64_t shared = varint(w, at, end, "an entry"), own = varint(w, at, end, "an entry"), size = varint(w, at, end, "an entry");
    if (shared > key.size() || own > end - at || size > end - at - own) w.refuse(begin, "an entry that leaves its block");
    key.resize(shared);
    key += w.text(at, own, "a key");
    at += own;
    if (!out.empty() && key <= out.back().key) w.refuse(begin, "the key " + in_quotes(key) + " out of order");
    out.push_back({key, at, size});
    at += size;
  }
}

}  // namespace

bool is_leveldb_table(std::span<const std::byte> file) {
  std::uint64_t magic = 0;
  if (file.size() < kFooter) return false;
  std::memcpy(&magic, file.data() + file.size() - 8, 8);
  return magic == kMagic;
}

std::vector<TableEntry> read_leveldb_table(const ByteWindow& w) {
  if (w.size() < kFooter || w.u64(w.size() - 8, "the footer") != kMagic) w.refuse(w.size() - std::min<std::uint64_t>(8, w.size()), "no LevelDB table's end", "the file is cut or none, get it again");
  std::uint64_t at = w.size() - kFooter;
  handle(w, at, w.size() - 8);  // of the filters, which a reading of everything needs not
  const Place index = handle(w, at, w.size() - 8);
  std::vector<TableEntry> blocks, out;
  block(w, index, blocks);
  for (const TableEntry& b : blocks) {
    std::uint64_t p = b.at;
    const Place place = handle(w, p, b.at + b.size);
    if (p != b.at + b.size) w.refuse(p, "a block's place with more behind it");
    block(w, place, out);
    if (!out.empty() && out.back().key > b.key) w.refuse(b.at, "a block with keys behind the one it is listed by");
  }
  return out;
}

}  // namespace graft
