// JSON read and written. The library's parser and printer are compiled here once: they cost two to three seconds in every file that calls
// them by itself.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace graft {

using Json = nlohmann::ordered_json;  // what is written: keys stay as they were put

// The value that `text` holds, or one that is_discarded() where it is no JSON. Keys are sorted, whatever their number.
nlohmann::json read_json(const std::string& text);
// The same with the keys as they stand, for what is shown or written again. A key is looked for among all of its object, so an object of
// more than 50,000 (a file that wants to be slow) is discarded, and what nests deeper than 100, because it is printed by recursion.
Json read_json_in_order(const std::string& text);

// Bytes that are no UTF-8 become replacement characters. indent -1: one line.
std::string json_text(const Json& j, int indent = 2);
std::string json_ascii(const Json& j, int indent = 2);  // what is beyond ASCII as \u escapes
std::string json_string(const std::string& text);       // with its quotes
std::string json_number(double value);                  // finite; with the fewest digits that give it back

}  // namespace graft
