// Text from outside (names of files, messages of libraries) made fit for a message of one line.
#pragma once
#include <string>
#include <string_view>

namespace graft {

// The text with \xNN for every byte that is not UTF-8 and for every control character; the rest as it is. Names of files are bytes,
// whatever the system's language.
std::string one_line(std::string_view text);

}  // namespace graft
