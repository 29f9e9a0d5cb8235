// What every JSON header of a weight file passes through before and while it is parsed: text checks with byte positions, a limit on
// nesting, and refusal of repeated keys, which JSON parsers otherwise drop without a word.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace graft {

// What a parser is told, in document order. Every call has the byte at which the key or value was written.
// Values nested in a value that begin() declined are not reported.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  enum class Kind { null, boolean, negative, real, text, object, array };
  virtual void key(const std::string& name, std::uint64_t byte) = 0;
  virtual bool begin(Kind object_or_array, std::uint64_t byte) = 0;  // false: skip all that is in it
  virtual void end(std::uint64_t byte) = 0;                          // of an object or array that begin() took
  virtual void natural(std::uint64_t value, std::uint64_t byte) = 0;
  virtual void text(const std::string& value, std::uint64_t byte) = 0;
  virtual void other(Kind kind, std::uint64_t byte) = 0;  // null, boolean, negative whole number, anything with . or e
};

// Parses `json`, which lies at byte `base` of file `path` and is called `noun` in messages ("the header"). Leading whitespace is
// skipped. Throws Error(input): not UTF-8, a zero byte, a first character that is not '{', not JSON (with line and column), a key twice
// in one object, nesting deeper than 32.
void parse_json(std::string_view json, const std::string& path, const std::string& noun, std::uint64_t base, JsonEvents& events);

// `text` for a message: in quotes, control characters and all beyond ASCII escaped, cut when it is long.
std::string in_quotes(std::string_view text);

// Position of the first byte that is not UTF-8 (shortest forms only, no surrogates), or npos.
std::size_t first_not_utf8(std::string_view text);

}  // namespace graft
