#include "engine/data/table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/base/file.h"
#include "kernels/core/error.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{8} << 30;
constexpr std::size_t kMostLevels = 64, kMostClasses = 10000;

struct Row {
  std::int64_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
};
struct Table {
  std::vector<std::string> names;
  std::vector<Row> rows;
};

[[noreturn]] void fail(const fs::path& path, std::int64_t line, const std::string& what) { throw Error(Code::input, path.string() + ":" + std::to_string(line) + ": " + what); }
std::string shown(const std::string& s) {
  std::string out = "'";
  for (const char c : s.substr(0, 40)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (s.size() > 40 ? "...'" : "'");
}

// Records of separated values. `quotes`: RFC 4180's.
std::vector<Row> separated(const fs::path& path, const std::string& text, char separator, bool quotes) {
  std::vector<Row> rows;
  std::int64_t line = 1;
  for (std::size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size();) {
    Row row{line, {}};
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
        if (i < text.size() && text[i] != separator && text[i] != '\n' && text[i] != '\r') fail(path, line, "text follows a quoted field; separate fields, and double quotes within one");
      } else {
        while (i < text.size() && text[i] != separator && text[i] != '\n') field += text[i++];
        if (!field.empty() && field.back() == '\r' && (i >= text.size() || text[i] == '\n')) field.pop_back();
      }
      if (i < text.size() && text[i] == '\r') ++i;
      row.fields.push_back(std::move(field));
      ends = i >= text.size() || text[i] == '\n';
      ++i;
    }
    ++line;
    if (row.fields.size() > 1 || !row.fields[0].empty()) rows.push_back(std::move(row));  // empty lines are nothing
  }
  return rows;
}

Table json_lines(const fs::path& path, const std::string& text) {
  Table t;
  std::int64_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string one = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (one.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto j = nlohmann::ordered_json::parse(one, nullptr, false);
    if (!j.is_object()) fail(path, line, "is not a JSON object");
    if (t.rows.empty())
      for (const auto& [key, value] : j.items()) t.names.push_back(key);
    Row row{line, {}};
    for (const std::string& name : t.names) {
      if (!j.contains(name)) fail(path, line, "has no " + shown(name) + ", which the first line has");
      const auto& v = j[name];
      if (v.is_object() || v.is_array()) fail(path, line, shown(name) + " is not a number or a word; tables have one value per column");
      row.fields.push_back(v.is_null() ? std::string() : v.is_string() ? v.get<std::string>() : v.dump());
    }
    if (j.size() != t.names.size()) fail(path, line, "has " + std::to_string(j.size()) + " keys, the first line has " + std::to_string(t.names.size()));
    t.rows.push_back(std::move(row));
  }
  return t;
}

Table read(const fs::path& path) {
  const std::string text = read_text(path, kMostBytes);
  if (text.find('\0') != std::string::npos) throw Error(Code::input, path.string() + ": holds zero bytes and is no text");
  Table t;
  if (path.extension() == ".jsonl") {
    t = json_lines(path, text);
  } else {
    const bool tabs = path.extension() == ".tsv";
    t.rows = separated(path, text, tabs ? '\t' : ',', !tabs);
    if (!t.rows.empty()) {
      t.names = std::move(t.rows.front().fields);
      t.rows.erase(t.rows.begin());
    }
  }
  if (t.rows.empty()) throw Error(Code::input, path.string() + ": has no rows; the first line names the columns, the others are the data");
  std::set<std::string> seen;
  for (const std::string& n : t.names)
    if (n.empty() || !seen.insert(n).second) throw Error(Code::input, path.string() + ": " + (n.empty() ? "a column has no name" : "two columns are called " + shown(n)) + "; the first line names the columns");
  for (const Row& r : t.rows)
    if (r.fields.size() != t.names.size()) fail(path, r.line, "has " + std::to_string(r.fields.size()) + " fields, the first line names " + std::to_string(t.names.size()));
  return t;
}

bool missing(const std::string& s) { return s.empty() || s == "NA" || s == "N/A" || s == "null"; }
std::optional<double> number_of(const std::string& s) {
  double v = 0;
  const char* begin = s.data() + (s.starts_with('+') ? 1 : 0);
  const auto [end, ec] = std::from_chars(begin, s.data() + s.size(), v);
  if (s.empty() || end != s.data() + s.size() || ec != std::errc{}) return std::nullopt;
  return v;
}
const std::string& field(const fs::path& path, const Row& r, std::size_t column, const std::string& name) {
  const std::string& s = r.fields[column];
  if (missing(s)) fail(path, r.line, "column " + shown(name) + " is missing a value; fill it in or remove the row");
  return s;
}
std::size_t column_of(const fs::path& path, const Table& t, const std::string& name) {
  const auto it = std::find(t.names.begin(), t.names.end(), name);
  if (it == t.names.end()) throw Error(Code::input, path.string() + ": has no column " + shown(name) + ", which the training table has");
  return static_cast<std::size_t>(it - t.names.begin());
}

}  // namespace

std::int64_t TableFormat::bands() const {
  std::int64_t n = 0;
  for (const TableColumn& c : columns) n += c.levels.empty() ? 1 : static_cast<std::int64_t>(c.levels.size());
  return n;
}

TableFormat table_format(const fs::path& path, const std::string& target) {
  const Table t = read(path);
  TableFormat f;
  f.target = target;
  bool found = false;
  for (std::size_t c = 0; c < t.names.size(); ++c) {
    const bool is_target = t.names[c] == target;
    found = found || is_target;
    std::set<std::string> words;
    bool numbers = true;
    for (const Row& r : t.rows) {
      const std::string& s = field(path, r, c, t.names[c]);
      numbers = numbers && number_of(s).has_value();
      if (words.size() <= kMostClasses) words.insert(s);
    }
    if (!is_target) {
      if (!numbers && words.size() > kMostLevels)
        throw Error(Code::input, path.string() + ": column " + shown(t.names[c]) + " holds text of more than " + std::to_string(kMostLevels) +
                                     " kinds; numbers and categories are read, so leave it out");
      f.columns.push_back({t.names[c], numbers ? std::vector<std::string>{} : std::vector<std::string>(words.begin(), words.end())});
      continue;
    }
    if (words.size() > kMostClasses)
      throw Error(Code::input, path.string() + ": column " + shown(target) + " holds more than " + std::to_string(kMostClasses) + " different values; a class is wanted in it");
    f.classes.assign(words.begin(), words.end());
    if (numbers) std::stable_sort(f.classes.begin(), f.classes.end(), [](const std::string& a, const std::string& b) { return *number_of(a) < *number_of(b); });
  }
  if (!found) {
    std::string names;
    for (const std::string& n : t.names) names += (names.empty() ? "" : ", ") + n;
    throw Error(Code::usage, "data.target = " + shown(target) + " is not a column of " + path.string() + "; there are " + names.substr(0, 300));
  }
  if (f.columns.empty()) throw Error(Code::input, path.string() + ": has no column beside " + shown(target) + " to predict it from");
  return f;
}

LabelledImages read_table(const fs::path& path, const TableFormat& f) {
  const Table t = read(path);
  std::map<std::string, std::int64_t> class_of;
  for (std::size_t k = 0; k < f.classes.size(); ++k) class_of.emplace(f.classes[k], static_cast<std::int64_t>(k));
  std::vector<std::size_t> at;
  for (const TableColumn& c : f.columns) at.push_back(column_of(path, t, c.name));
  const std::size_t target = column_of(path, t, f.target);
  if (t.names.size() != f.columns.size() + 1) throw Error(Code::input, path.string() + ": has " + std::to_string(t.names.size()) + " columns, the training table has " + std::to_string(f.columns.size() + 1));
  const auto n = static_cast<std::int64_t>(t.rows.size()), bands = f.bands();
  const Tensor block = Tensor::empty({n, bands, 1, 1}, DType::f32, Device{});
  float* out = block.data<float>();
  LabelledImages all;
  all.class_names = f.classes;
  for (const Row& r : t.rows) {
    for (std::size_t k = 0; k < f.columns.size(); ++k) {
      const TableColumn& c = f.columns[k];
      const std::string& s = field(path, r, at[k], c.name);
      if (!c.levels.empty()) {
        for (const std::string& level : c.levels) *out++ = level == s ? 1.0f : 0.0f;
        continue;
      }
      const std::optional<double> v = number_of(s);
      if (!v || !std::isfinite(*v) || std::abs(*v) > 3e38) fail(path, r.line, "column " + shown(c.name) + " holds " + shown(s) + "; a finite number is wanted");
      *out++ = static_cast<float>(*v);
    }
    const auto label = class_of.find(field(path, r, target, f.target));
    if (label == class_of.end()) fail(path, r.line, "class " + shown(r.fields[target]) + " does not occur in the training table");
    all.labels.push_back(label->second);
  }
  all.source = images_in_memory(path.string(), block);
  return all;
}

}  // namespace graft
