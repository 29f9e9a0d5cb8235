// Colour on the console, where it helps to find what went wrong: the program's name before an error, and verdicts.
#pragma once
#include <cstdio>
#include <string>

namespace graft::cli {

enum class Ink { good, doubtful, bad };  // green, yellow, red

// As --color says, for all that is printed from now on: auto, always or never. Error(usage) otherwise.
void set_color(const std::string& when);
// `text` for `out`, in colour. By itself (auto) where a terminal reads it, unless NO_COLOR is set and not empty (no-color.org) or TERM is
// dumb; --color is nearer to the user than the environment and wins.
std::string painted(std::FILE* out, Ink ink, const std::string& text);

}  // namespace graft::cli
