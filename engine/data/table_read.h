// A table's text cut into rows and fields: CSV (RFC 4180), TSV (no quoting), JSON lines. What the fields mean is said by table.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace graft {

struct TableRow {
  std::int64_t line = 0;           // where it begins, from 1
  std::size_t begin = 0, end = 0;  // its bytes in the text, the end of the line among them
  std::vector<std::string> fields;
};
struct TableText {
  std::filesystem::path path;
  std::string text;
  std::size_t header = 0;  // bytes before the first row: the line of names, and what stands before it; 0 for JSON lines
  std::vector<std::string> names;
  std::vector<TableRow> rows;  // as many fields as they have: see check_fields
};
// Error(input) with file and line: no such file, zero bytes in it, no rows, a quoted field that does not end, text behind one, a column
// without a name or two of one name, a line that is no JSON object or has other keys.
TableText read_table_text(const std::filesystem::path& path);
// Error(input) naming the line of the first row that has not one field per name.
void check_fields(const TableText& table);

bool is_table(const std::filesystem::path& path);           // ends as one: .csv .tsv .jsonl
bool missing_value(std::string_view field);                 // empty, NA, N/A, null
std::optional<double> number_of(const std::string& field);  // the whole of it is a number (or nan, inf)
std::string shown_value(const std::string& field);          // in quotes, printable, at most its first 40 bytes

}  // namespace graft
