// Strings as pickles write them, brought to UTF-8 or bytes.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace graft {

std::string utf8_of_latin1(std::string_view bytes);
// nothing when a character is above 255
std::optional<std::string> latin1_of_utf8(std::string_view text);
// STRING's operand, a quoted Python 2 literal. false when it is none.
bool unescape_string(std::string_view literal, std::string& bytes);
// UNICODE's operand: Latin-1 with \uXXXX and \UXXXXXXXX. false for escapes that are none.
bool unescape_unicode(std::string_view raw, std::string& utf8);

}  // namespace graft
