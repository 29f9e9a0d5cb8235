#include "engine/base/text.h"

#include <cstddef>
#include <cstdint>

namespace graft {
namespace {

// Bytes of the character at the front of s when it is well-formed UTF-8 (RFC 3629: no overlong form, no surrogate) and no control
// character; else 0.
std::size_t character(std::string_view s) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(s[i]); };
  const std::uint8_t first = at(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || s.size() < n) return 0;
  std::uint32_t code = first & (0xffu >> (n + 1));
  for (std::size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3fu);
  }
  if (n == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) return 0;
  if (n == 4 && (code < 0x10000 || code > 0x10ffff)) return 0;
  return code < 0xa0 || code == 0x2028 || code == 0x2029 ? 0 : n;  // C1 controls; line and paragraph separator
}

}  // namespace

std::string one_line(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string line;
  while (!text.empty()) {
    const std::size_t n = character(text);
    if (n) {
      line += text.substr(0, n);
    } else {
      const auto byte = static_cast<std::uint8_t>(text[0]);
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
    text.remove_prefix(n ? n : 1);
  }
  return line;
}

}  // namespace graft
