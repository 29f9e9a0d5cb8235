// The values of a configuration and their text: what stands on the right of key=value or in a TOML file becomes a Value by the type of its
// key, or an error of one line that says what the key wants. Only Config (config.cpp) needs this.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train/config.h"

namespace graft::values {

std::string printable(std::string_view s, std::size_t limit = 60);  // input as it may stand in a message of one line
std::string in_quotes(std::string_view s);
[[noreturn]] void fail(std::string_view where, const std::string& what);  // Error(usage): "WHERE: WHAT"
std::string_view trim(std::string_view s);
// "a, b or c"
template <class Strings>
std::string list_words(const Strings& words, std::string_view last = " or ") {
  std::string out;
  std::size_t i = 0;
  for (const auto& w : words) {
    out += i == 0 ? "" : i + 1 == words.size() ? last : ", ";
    out += w;
    ++i;
  }
  return out;
}

std::string toml_text(const Value& v);
std::string plain_text(const Value& v);  // as conditions are written: strings without quotes

Value from_text(const Key& key, std::string_view text, const std::string& where);

// What a TOML text sets, in the order of its lines.
struct Entry {
  std::size_t line = 0;
  std::string section, leaf;  // leaf empty: no such section, or it is no section in the text
  bool table = false;         // it has keys below it
  std::string shown;          // "the string "x"", "a list"
  std::function<Value(const Key& key, const std::string& where)> value;
};
std::vector<Entry> entries_of(std::string_view toml, const std::string& name);  // `name`: of the file, for errors

}  // namespace graft::values
