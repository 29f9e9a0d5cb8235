#include "tests/fuzz/table_checksums.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "weights/formats/crc32c.h"
#include "weights/formats/snappy.h"

namespace graft::fuzz {
namespace {

std::optional<std::uint64_t> varint(std::span<const std::byte> b, std::size_t& at) {
  std::uint64_t v = 0;
  for (int shift = 0; shift < 64 && at < b.size(); shift += 7) {
    const auto x = static_cast<std::uint64_t>(b[at++]);
    v |= (x & 127u) << shift;
    if (x < 128) return v;
  }
  return {};
}

// Mends the block that the handle at `at` of `from` names; gives its bytes without the trailer, or none where it leaves the table.
std::span<const std::byte> mend(std::span<std::byte> table, std::span<const std::byte> from, std::size_t& at) {
  const auto place = varint(from, at), size = varint(from, at);
  if (!place || !size || *place > table.size() || *size > table.size() - *place || table.size() - *place - *size < 5) return {};
  const auto block = table.subspan(*place, *size + 1);
  const std::uint32_t crc = masked_crc(crc32c(block));
  std::memcpy(table.data() + *place + *size + 1, &crc, 4);
  return block.first(*size);
}

}  // namespace

std::vector<std::byte> with_right_checksums(std::span<const std::byte> given) {
  std::vector<std::byte> table(given.begin(), given.end());
  if (table.size() < 48) return table;
  const std::vector<std::byte> footer(table.end() - 48, table.end());
  std::size_t at = 0;
  mend(table, footer, at);
  const auto index = mend(table, footer, at);
  // A packed index is mended itself, and its blocks by what it unpacks to; entries are read without their restarts, until one makes no
  // sense.
  const bool packed = !index.empty() && static_cast<int>(*(index.data() + index.size())) == 1;
  std::vector<std::byte> entries(index.begin(), index.end());
  if (packed)
    if (const auto text = unsnappy(index))
      entries.assign(reinterpret_cast<const std::byte*>(text->data()), reinterpret_cast<const std::byte*>(text->data()) + text->size());
  for (std::size_t e = 0; e < entries.size();) {
    const auto shared = varint(entries, e), own = varint(entries, e), length = varint(entries, e);
    if (!shared || !own || !length || *own > entries.size() - e || *length > entries.size() - e - *own) break;
    e += *own;
    std::size_t value = 0;
    mend(table, std::span(entries).subspan(e, *length), value);
    e += *length;
  }
  return table;
}

}  // namespace graft::fuzz
