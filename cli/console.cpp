#include "cli/console.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "kernels/core/error.h"

namespace graft::cli {
namespace {
enum class When { automatic, always, never } when = When::automatic;

bool wanted(std::FILE* out) {
  if (when != When::automatic) return when == When::always;
  const char *no = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return !(no && *no) && !(term && std::string_view(term) == "dumb") && isatty(fileno(out));
}
}  // namespace

void set_color(const std::string& text) {
  if (text == "auto") when = When::automatic;
  else if (text == "always") when = When::always;
  else if (text == "never") when = When::never;
  else throw Error(Code::usage, "--color=" + text + ": there is auto, always and never");
}
std::string painted(std::FILE* out, Ink ink, const std::string& text) {
  if (!wanted(out)) return text;
  const char* number = ink == Ink::good ? "32" : ink == Ink::doubtful ? "33" : "1;31";
  return std::string("\033[") + number + "m" + text + "\033[0m";
}

}  // namespace graft::cli
