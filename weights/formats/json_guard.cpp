// A SAX pass over nlohmann's parser. Byte positions come from an iterator that counts what the lexer has taken.
#include "weights/formats/json_guard.h"

#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "kernels/core/error.h"

namespace graft {

namespace {

constexpr std::size_t kDeepest = 32;  // the formats need 3; a limit keeps the sets of keys small

// The lexer holds a copy of this iterator; `taken` is shared with the handler. It runs at most one character ahead of a token.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  std::size_t* taken;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    ++*taken;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) { return a.at == b.at; }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) { return a.at != b.at; }
};

class Guard {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  Guard(std::string_view json, const std::string& path, const std::string& noun, std::uint64_t base, JsonEvents& events)
      : json_(json), path_(path), noun_(noun), base_(base), events_(events) {}
  std::size_t* taken() { return &taken_; }

  bool null() { return other(JsonEvents::Kind::null); }
  bool boolean(bool) { return other(JsonEvents::Kind::boolean); }
  bool number_integer(number_integer_t) { return other(JsonEvents::Kind::negative); }  // called for a leading '-' only
  bool number_float(number_float_t, const string_t&) { return other(JsonEvents::Kind::real); }
  bool number_unsigned(number_unsigned_t v) {
    if (skipped_ == 0) events_.natural(v, scalar_byte());
    return true;
  }
  bool string(string_t& v) {
    if (skipped_ == 0) events_.text(v, base_ + open_quote());
    return true;
  }
  bool binary(binary_t&) { return true; }  // JSON text has none

  bool start_object(std::size_t) { return start(JsonEvents::Kind::object); }
  bool end_object() { return stop(); }
  bool start_array(std::size_t) { return start(JsonEvents::Kind::array); }
  bool end_array() { return stop(); }
  bool key(string_t& name) {
    const std::uint64_t byte = base_ + open_quote();
    if (!keys_.back().insert(name).second)
      throw Error(Code::input, path_ + ": key " + in_quotes(name) + " is there twice in one object at byte " + std::to_string(byte) +
                                   "; readers would differ on which one counts, have the file written anew");
    if (skipped_ == 0) events_.key(name, byte);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) {
    std::string what = e.what();
    if (const auto at = what.find("at line "); at != std::string::npos) what = what.substr(at);
    if (const auto at = what.find("; last read"); at != std::string::npos) what = what.substr(0, at);  // may be as long as the file
    if (what.size() > 200) what = what.substr(0, 200) + "...";
    for (char& c : what)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
    throw Error(Code::input, path_ + ": " + noun_ + " is not JSON at byte " + std::to_string(base_ + (position > 0 ? position - 1 : 0)) +
                                 " (" + what + "); the file is damaged, get it again");
  }

 private:
  bool start(JsonEvents::Kind kind) {
    if (keys_.size() == kDeepest)
      throw Error(Code::input, path_ + ": " + noun_ + " nests deeper than " + std::to_string(kDeepest) + " levels at byte " +
                                   std::to_string(base_ + taken_ - 1) + "; weights need 3, the file is damaged");
    keys_.emplace_back();
    if (skipped_ > 0 || !events_.begin(kind, base_ + taken_ - 1)) ++skipped_;
    return true;
  }
  bool stop() {
    keys_.pop_back();
    if (skipped_ > 0) --skipped_;
    else events_.end(base_ + taken_ - 1);
    return true;
  }
  bool other(JsonEvents::Kind kind) {
    if (skipped_ == 0) events_.other(kind, scalar_byte());
    return true;
  }
  // A string has just been taken up to its closing quote: every other quote inside has a backslash before it, so the opening one is the
  // nearest with an even number of them.
  std::size_t open_quote() const {
    for (std::size_t i = taken_ - 1; i-- > 0;) {
      if (json_[i] != '"') continue;
      std::size_t slashes = 0;
      while (slashes < i && json_[i - 1 - slashes] == '\\') ++slashes;
      if (slashes % 2 == 0) return i;
    }
    return 0;
  }
  // A number or a word has been taken, and one character more when it was a number.
  std::uint64_t scalar_byte() const {
    const auto part = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '+' || c == '-' || c == '.';
    };
    std::size_t i = taken_;
    if (i > 0 && !part(json_[i - 1])) --i;
    while (i > 0 && part(json_[i - 1])) --i;
    return base_ + i;
  }

  std::string_view json_;
  const std::string& path_;
  const std::string& noun_;
  std::uint64_t base_;
  JsonEvents& events_;
  std::size_t taken_ = 0;
  std::size_t skipped_ = 0;  // open objects and arrays that nobody wants
  std::vector<std::unordered_set<std::string>> keys_;
};

}  // namespace

std::string in_quotes(std::string_view text) {
  static const char* const kHex = "0123456789abcdef";
  constexpr std::size_t kMost = 120;
  std::string s = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == kMost) return s + "\"...";
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') s += '\\';
    if (c >= 0x20 && c < 0x7f) s += static_cast<char>(c);
    else s += std::string("\\x") + kHex[c >> 4] + kHex[c & 15];
  }
  return s + "\"";
}

std::size_t first_not_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned c = byte(i), d = byte(i + 1);
    if (c < 0x80) i += 1;
    else if (c >= 0xc2 && c <= 0xdf && tail(i + 1)) i += 2;
    else if (c >= 0xe0 && c <= 0xef && tail(i + 1) && tail(i + 2) && !(c == 0xe0 && d < 0xa0) && !(c == 0xed && d >= 0xa0)) i += 3;
    else if (c >= 0xf0 && c <= 0xf4 && tail(i + 1) && tail(i + 2) && tail(i + 3) && !(c == 0xf0 && d < 0x90) && !(c == 0xf4 && d >= 0x90))
      i += 4;
    else return i;
  }
  return std::string_view::npos;
}

void parse_json(std::string_view json, const std::string& path, const std::string& noun, std::uint64_t base, JsonEvents& events) {
  const auto fail = [&](const std::string& what, std::size_t at, const std::string& rule) {
    throw Error(Code::input, path + ": " + noun + " " + what + " at byte " + std::to_string(base + at) + "; " + rule +
                                 "the file is damaged, get it again");
  };
  if (const auto at = first_not_utf8(json); at != std::string_view::npos) fail("is not UTF-8", at, "");
  // nlohmann's lexer takes a zero byte for the end of the text and would not see what follows it.
  if (const auto at = json.find('\0'); at != std::string_view::npos) fail("holds a zero byte", at, "only spaces may fill it up; ");
  // It also skips a byte order mark, which is no part of JSON.
  const auto first = json.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) fail("is empty and not JSON", 0, "it must be an object, {...}; ");
  if (json[first] != '{') fail("is not JSON that begins with '{'", first, "it must be an object, {...}; ");
  Guard guard(json, path, noun, base, events);
  nlohmann::json::sax_parse(CountingIterator{json.data(), guard.taken()}, CountingIterator{json.data() + json.size(), guard.taken()},
                            &guard);
}

}  // namespace graft
