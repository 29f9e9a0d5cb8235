#include "weights/formats/pickle_text.h"

#include <cstdint>

namespace graft {
namespace {

void put_utf8(std::uint32_t c, std::string& to) {
  const auto tail = [&](int shift) { to += static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) {
    to += static_cast<char>(c);
  } else if (c < 0x800) {
    to += static_cast<char>(0xc0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    to += static_cast<char>(0xe0 | c >> 12);
    tail(6);
    tail(0);
  } else {
    to += static_cast<char>(0xf0 | c >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

// `digits` hexadecimal digits of `text` from `at`; false when they are not all there.
bool hex(std::string_view text, std::size_t at, std::size_t digits, std::uint32_t& v) {
  if (text.size() - at < digits) return false;
  v = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    const char c = text[i];
    const int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (d < 0) return false;
    v = v << 4 | static_cast<std::uint32_t>(d);
  }
  return true;
}

}  // namespace

std::string utf8_of_latin1(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) put_utf8(static_cast<unsigned char>(c), out);
  return out;
}

std::optional<std::string> latin1_of_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      out += text[i];
    } else if ((c == 0xc2 || c == 0xc3) && i + 1 < text.size()) {
      out += static_cast<char>((c & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
    } else {
      return {};
    }
  }
  return out;
}

bool unescape_string(std::string_view s, std::string& out) {
  if (s.size() < 2 || (s.front() != '\'' && s.front() != '"') || s.back() != s.front()) return false;
  s = s.substr(1, s.size() - 2);
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      out += s[i];
      continue;
    }
    if (++i == s.size()) return false;
    switch (s[i]) {
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case 'r': out += '\r'; break;
      case 'a': out += '\a'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'v': out += '\v'; break;
      case '\\':
      case '\'':
      case '"': out += s[i]; break;
      case 'x': {
        std::uint32_t v = 0;
        if (!hex(s, i + 1, 2, v)) return false;
        out += static_cast<char>(v);
        i += 2;
        break;
      }
      default: {
        if (s[i] < '0' || s[i] > '7') return false;
        int v = 0;
        std::size_t n = 0;
        for (; n < 3 && i + n < s.size() && s[i + n] >= '0' && s[i + n] <= '7'; ++n) v = v * 8 + (s[i + n] - '0');
        out += static_cast<char>(v);
        i += n - 1;
      }
    }
  }
  return true;
}

bool unescape_unicode(std::string_view s, std::string& out) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 == s.size() || (s[i + 1] != 'u' && s[i + 1] != 'U')) {
      put_utf8(static_cast<unsigned char>(s[i]), out);
      continue;
    }
    const std::size_t digits = s[i + 1] == 'u' ? 4 : 8;
    std::uint32_t v = 0;
    if (!hex(s, i + 2, digits, v) || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return false;
    put_utf8(v, out);
    i += 1 + digits;
  }
  return true;
}

}  // namespace graft
