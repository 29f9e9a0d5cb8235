// Built-in recipes: whole configurations as TOML text, the lowest layer under the files and the command line (engine/train/config.h).
#pragma once
#include <string_view>
#include <vector>

namespace graft {

struct Recipe {
  std::string_view name;  // as `graft train NAME`
  std::string_view doc;   // one line
  std::string_view text;  // TOML, the keys of the schema
};
const std::vector<Recipe>& recipes();

}  // namespace graft
