// Names of pictures sorted into classes: what a folder and an archive have in common.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft {

// Bytewise; at a slash a folder's name ends, so that all of cat/ stands before cat-wild/.
bool path_before(std::string_view a, std::string_view b);
// All of them are called train, test, val or so: the user meant one of them, not classes.
bool are_splits(const std::vector<std::string>& folders);
// "cat, dog, and 3 more", printable.
std::string some_names(const std::vector<std::string>& names);
// One line for `notes`: "3 files do not end as a picture's do (...) and were left out, such as cat/readme.txt".
std::string left_out(std::int64_t count, const std::string& first);
inline constexpr const char* kPictureEnds = ".png .jpg .jpeg .tif .tiff";

}  // namespace graft
