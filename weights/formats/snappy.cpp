#include "weights/formats/snappy.h"

#include <cstdint>

namespace graft {

std::optional<std::string> unsnappy(std::span<const std::byte> packed) {
  std::size_t at = 0;
  const auto left = [&] { return packed.size() - at; };
  const auto number = [&](std::size_t bytes) {  // little endian; the caller has looked whether they are there
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < bytes; ++i) v |= std::to_integer<std::uint64_t>(packed[at++]) << (8 * i);
    return v;
  };
  std::uint64_t length = 0;
  for (int shift = 0;; shift += 7) {
    if (shift > 28 || left() == 0) return {};
    const std::uint64_t b = number(1);
    length |= (b & 127u) << shift;
    if (b < 128) break;
  }
  // Three bytes make 64 at most: a longer length is a lie, and nothing is taken for it.
  if (length > 22 * packed.size()) return {};
  std::string out;
  out.reserve(length);
  while (left() > 0) {
    const auto tag = static_cast<unsigned>(number(1));
    std::uint64_t n = (tag >> 2) + 1, back = 0;
    if ((tag & 3u) == 0) {
      if (n > 60) {
        const std::size_t width = n - 60;
        if (left() < width) return {};
        n = number(width) + 1;
      }
      if (n > left() || n > length - out.size()) return {};
      out.append(reinterpret_cast<const char*>(packed.data()) + at, n);
      at += n;
      continue;
    }
    const std::size_t width = (tag & 3u) == 3 ? 4 : tag & 3u;
    if (left() < width) return {};
    back = number(width);
    if ((tag & 3u) == 1) {
      n = (tag >> 2 & 7u) + 4;
      back |= static_cast<std::uint64_t>(tag >> 5) << 8;
    }
    if (back == 0 || back > out.size() || n > length - out.size()) return {};
    for (std::size_t from = out.size() - back; n > 0; --n) out += out[from++];  // may run into what it writes
  }
  if (out.size() != length) return {};
  return out;
}

}  // namespace graft
