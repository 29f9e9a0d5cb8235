#include "engine/data/table_read.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/text.h"
#include "kernels/core/error.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{8} << 30;

[[noreturn]] void fail(const fs::path& path, std::int64_t line, const std::string& what) {
  throw Error(Code::input, path.string() + ":" + std::to_string(line) + ": " + what);
}

// Records of separated values. `quotes`: RFC 4180's.
std::vector<TableRow> separated(const fs::path& path, const std::string& text, char separator, bool quotes) {
  std::vector<TableRow> rows;
  std::int64_t line = 1;
  for (std::size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size();) {
    TableRow row{line, i, 0, {}};
    for (bool ends = false; !ends;) {
      std::string field;
      if (quotes && i < text.size() && text[i] == '"') {
        const std::int64_t opened = line;
        for (++i;; ++i) {
          if (i >= text.size()) fail(path, opened, "a quoted field does not end");
          if (text[i] == '"' && (i + 1 >= text.size() || text[i + 1] != '"')) break;
          if (text[i] == '"') ++i;
          line += text[i] == '\n';
          field += text[i];
        }
        ++i;
        if (i < text.size() && text[i] != separator && text[i] != '\n' && (text[i] != '\r' || (i + 1 < text.size() && text[i + 1] != '\n')))
          fail(path, line, "text follows a quoted field; separate fields, and double quotes within one");
      } else {
        while (i < text.size() && text[i] != separator && text[i] != '\n') field += text[i++];
        if (!field.empty() && field.back() == '\r' && (i >= text.size() || text[i] == '\n')) field.pop_back();
      }
      if (i < text.size() && text[i] == '\r' && (i + 1 == text.size() || text[i + 1] == '\n')) ++i;
      row.fields.push_back(std::move(field));
      ends = i >= text.size() || text[i] == '\n';
      ++i;
    }
    ++line;
    row.end = std::min(i, text.size());
    if (row.fields.size() > 1 || !row.fields[0].empty()) rows.push_back(std::move(row));  // empty lines are nothing
  }
  return rows;
}

void json_lines(TableText& t) {
  const fs::path& path = t.path;
  const std::string& text = t.text;
  std::int64_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at, end = std::min(text.find('\n', at), text.size());
    const std::string one = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (one.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto j = read_json_in_order(one);
    if (!j.is_object()) fail(path, line, "is not a JSON object");
    if (t.rows.empty())
      for (const auto& [key, value] : j.items()) t.names.push_back(key);
    TableRow row{line, begin, std::min(at, text.size()), {}};
    for (const std::string& name : t.names) {
      if (!j.contains(name)) fail(path, line, "has no " + shown_value(name) + ", which the first line has");
      const auto& v = j[name];
      if (v.is_object() || v.is_array())
        fail(path, line, shown_value(name) + " is not a number or a word; tables have one value per column");
      row.fields.push_back(v.is_null() ? std::string() : v.is_string() ? v.get<std::string>() : json_text(v, -1));
    }
    if (j.size() != t.names.size())
      fail(path, line, "has " + std::to_string(j.size()) + " keys, the first line has " + std::to_string(t.names.size()));
    t.rows.push_back(std::move(row));
  }
}

}  // namespace

TableText read_table_text(const fs::path& path) {
  TableText t;
  t.path = path;
  t.text = read_text(path, kMostBytes);
  if (t.text.find('\0') != std::string::npos) throw Error(Code::input, path.string() + ": holds zero bytes and is no text");
  if (path.extension() == ".jsonl") {
    json_lines(t);
  } else {
    const bool tabs = path.extension() == ".tsv";
    t.rows = separated(path, t.text, tabs ? '\t' : ',', !tabs);
    if (!t.rows.empty()) {
      t.names = std::move(t.rows.front().fields);
      t.header = t.rows.front().end;
      t.rows.erase(t.rows.begin());
    }
  }
  if (t.rows.empty()) throw Error(Code::input, path.string() + ": has no rows; the first line names the columns, the others are the data");
  std::set<std::string> seen;
  for (const std::string& n : t.names)
    if (n.empty() || !seen.insert(n).second)
      throw Error(Code::input, path.string() + ": " + (n.empty() ? "a column has no name" : "two columns are called " + shown_value(n)) +
                                   "; the first line names the columns");
  return t;
}
void check_fields(const TableText& t) {
  for (const TableRow& r : t.rows)
    if (r.fields.size() != t.names.size())
      fail(t.path, r.line, "has " + std::to_string(r.fields.size()) + " fields, the first line names " + std::to_string(t.names.size()));
}

bool is_table(const fs::path& path) {
  const auto end = path.extension();
  return end == ".csv" || end == ".tsv" || end == ".jsonl";
}
bool missing_value(std::string_view s) { return s.empty() || s == "NA" || s == "N/A" || s == "null"; }
std::optional<double> number_of(const std::string& s) {
  double v = 0;
  const char* begin = s.data() + (s.starts_with('+') ? 1 : 0);
  const auto [end, ec] = std::from_chars(begin, s.data() + s.size(), v);
  if (s.empty() || end != s.data() + s.size() || ec != std::errc{}) return std::nullopt;
  return v;
}
std::string shown_value(const std::string& s) { return "'" + one_line(s.substr(0, 40)) + (s.size() > 40 ? "...'" : "'"); }

}  // namespace graft
