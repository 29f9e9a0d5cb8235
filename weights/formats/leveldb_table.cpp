#include "weights/formats/leveldb_table.h"

#include "weights/formats/crc32c.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/snappy.h"

namespace graft {
namespace {

constexpr std::uint64_t kMagic = 0xdb4775248b80fb57u, kFooter = 48, kTrailer = 5, kMostBytes = std::uint64_t{1} << 30;

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

Place handle(const ByteWindow& w, std::uint64_t& at, std::uint64_t end, std::uint64_t table) {
  Place p{};
  p.at = varint(w, at, end, "a block's place");
  p.size = varint(w, at, end, "a block's place");
  const std::uint64_t room = table - kFooter;
  if (p.at > room || p.size > room - p.at || room - p.at - p.size < kTrailer)
    w.refuse(at, "a block of " + std::to_string(p.size) + " bytes at " + std::to_string(p.at) + " that leaves the table");
  return p;
}

// Appends the entries of one block.
void block(const ByteWindow& w, Place p, std::uint64_t& budget, std::vector<TableEntry>& out) {
  const int kind = w.u8(p.at + p.size, "a block");
  if (kind > 1) w.refuse(p.at + p.size, "a block of the unknown compression " + std::to_string(kind));
  const std::uint32_t have = masked_crc(crc32c(w.bytes(p.at, p.size + 1, "a block"))), want = w.u32(p.at + p.size + 1, "a block");
  if (have != want) w.refuse(p.at, "a block that does not agree with its checksum");
  std::string unpacked;
  if (kind == 1) {
    auto text = unsnappy(w.bytes(p.at, p.size, "a block"));
    if (!text) w.refuse(p.at, "a block that is no snappy stream");
    unpacked = std::move(*text);
  }
  const ByteWindow inner(std::as_bytes(std::span(unpacked)), w.path(), w.offset_in_file(p.at));
  const ByteWindow& b = kind == 1 ? inner : w;
  const std::uint64_t first = kind == 1 ? 0 : p.at, size = kind == 1 ? inner.size() : p.size;
  if (size < 4) b.refuse(first, "a block without its restarts");
  const std::uint64_t restarts = b.u32(first + size - 4, "a block");
  if (restarts > (size - 4) / 4)
    b.refuse(first + size - 4, "a block with " + std::to_string(restarts) + " restarts, more than it has room for");
  const std::uint64_t end = first + size - 4 - 4 * restarts;
  std::string key;
  for (std::uint64_t at = first; at < end;) {
    const std::uint64_t begin = at;
    const std::uint64_t shared = varint(b, at, end, "an entry"), own = varint(b, at, end, "an entry"),
                        length = varint(b, at, end, "an entry");
    if (shared > key.size() || own > end - at || length > end - at - own) b.refuse(begin, "an entry that leaves its block");
    key.resize(shared);
    key += b.text(at, own, "a key");
    at += own;
    if (!out.empty() && key <= out.back().key) b.refuse(begin, "the key " + in_quotes(key) + " out of order");
    // Keys share their beginnings: without a limit a small table could stand for a large memory.
    budget -= std::min<std::uint64_t>(budget, key.size() + length);
    if (budget == 0) b.refuse(begin, "keys and values of more than " + std::to_string(kMostBytes) + " bytes");
    out.push_back({key, std::string(b.text(at, length, "a value")), kind == 1 ? p.at : at});
    at += length;
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
  if (w.size() < kFooter || w.u64(w.size() - 8, "the footer") != kMagic)
    w.refuse(w.size() - std::min<std::uint64_t>(8, w.size()), "no LevelDB table's end", "the file is cut or none, get it again");
  std::uint64_t at = w.size() - kFooter;
  handle(w, at, w.size() - 8, w.size());  // of the filters, which a reading of everything needs not
  const Place index = handle(w, at, w.size() - 8, w.size());
  std::vector<TableEntry> blocks, out;
  std::uint64_t budget = kMostBytes;
  block(w, index, budget, blocks);
  for (const TableEntry& b : blocks) {
    const ByteWindow value(std::as_bytes(std::span(b.value)), w.path(), w.offset_in_file(b.at));
    std::uint64_t p = 0;
    const Place place = handle(value, p, value.size(), w.size());
    if (p != value.size()) w.refuse(b.at, "a block's place with more behind it");
    block(w, place, budget, out);
    if (!out.empty() && out.back().key > b.key) w.refuse(b.at, "a block with keys behind the one it is listed by");
  }
  return out;
}

}  // namespace graft
