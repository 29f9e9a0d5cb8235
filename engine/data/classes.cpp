#include "engine/data/classes.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"

namespace graft {

bool path_before(std::string_view a, std::string_view b) {
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; };
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return rank(x) < rank(y); });
}

bool are_splits(const std::vector<std::string>& folders) {
  constexpr auto kSplits = std::to_array<std::string_view>({"train", "training", "test", "testing", "val", "valid", "validation", "dev"});
  const auto is_split = [&](std::string_view name) { return std::find(kSplits.begin(), kSplits.end(), name) != kSplits.end(); };
  return !folders.empty() && std::all_of(folders.begin(), folders.end(), is_split);
}

std::string some_names(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + one_line(names[i]);
  if (names.size() > kShown) text += ", and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

std::string left_out(std::int64_t count, const std::string& first) {
  return std::to_string(count) + (count == 1 ? " file does" : " files do") + " not end as a picture's does (" + kPictureEnds + ") and " +
         (count == 1 ? "was" : "were") + " left out: " + (count == 1 ? "" : "the first is ") + one_line(first);
}

}  // namespace graft
