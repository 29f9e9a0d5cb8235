#include "engine/data/table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "engine/data/table_read.h"
#include "kernels/core/error.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostLevels = 64, kMostClasses = 10000;

[[noreturn]] void fail(const fs::path& path, std::int64_t line, const std::string& what) {
  throw Error(Code::input, path.string() + ":" + std::to_string(line) + ": " + what);
}
TableText read(const fs::path& path) {
  TableText t = read_table_text(path);
  check_fields(t);
  return t;
}
const std::string& field(const fs::path& path, const TableRow& r, std::size_t column, const std::string& name) {
  const std::string& s = r.fields[column];
  if (missing_value(s)) fail(path, r.line, "column " + shown_value(name) + " is missing a value; fill it in or remove the row");
  return s;
}
std::size_t column_of(const fs::path& path, const TableText& t, const std::string& name) {
  const auto it = std::find(t.names.begin(), t.names.end(), name);
  if (it == t.names.end())
    throw Error(Code::input, path.string() + ": has no column " + shown_value(name) + ", which the training table has");
  return static_cast<std::size_t>(it - t.names.begin());
}

}  // namespace

std::int64_t TableFormat::bands() const {
  std::int64_t n = 0;
  for (const TableColumn& c : columns) n += c.levels.empty() ? 1 : static_cast<std::int64_t>(c.levels.size());
  return n;
}

TableFormat table_format(const fs::path& path, const std::string& target) {
  const TableText t = read(path);
  TableFormat f;
  f.target = target;
  bool found = false;
  for (std::size_t c = 0; c < t.names.size(); ++c) {
    const bool is_target = t.names[c] == target;
    found = found || is_target;
    std::set<std::string> words;
    bool numbers = true;
    for (const TableRow& r : t.rows) {
      const std::string& s = field(path, r, c, t.names[c]);
      numbers = numbers && number_of(s).has_value();
      if (words.size() <= kMostClasses) words.insert(s);
    }
    if (!is_target) {
      if (!numbers && words.size() > kMostLevels)
        throw Error(Code::input, path.string() + ": column " + shown_value(t.names[c]) + " holds text of more than " +
                                     std::to_string(kMostLevels) + " kinds; numbers and categories are read, so leave it out");
      f.columns.push_back({t.names[c], numbers ? std::vector<std::string>{} : std::vector<std::string>(words.begin(), words.end())});
      continue;
    }
    if (words.size() > kMostClasses)
      throw Error(Code::input, path.string() + ": column " + shown_value(target) + " holds more than " + std::to_string(kMostClasses) +
                                   " different values; a class is wanted in it");
    f.classes.assign(words.begin(), words.end());
    if (numbers)
      std::stable_sort(f.classes.begin(), f.classes.end(),
                       [](const std::string& a, const std::string& b) { return *number_of(a) < *number_of(b); });
  }
  if (!found) {
    std::string names;
    for (const std::string& n : t.names) names += (names.empty() ? "" : ", ") + n;
    throw Error(Code::usage,
                "data.target = " + shown_value(target) + " is not a column of " + path.string() + "; there are " + names.substr(0, 300));
  }
  if (f.columns.empty()) throw Error(Code::input, path.string() + ": has no column beside " + shown_value(target) + " to predict it from");
  return f;
}

LabelledImages read_table(const fs::path& path, const TableFormat& f) {
  const TableText t = read(path);
  std::map<std::string, std::int64_t> class_of;
  for (std::size_t k = 0; k < f.classes.size(); ++k) class_of.emplace(f.classes[k], static_cast<std::int64_t>(k));
  std::vector<std::size_t> at;
  for (const TableColumn& c : f.columns) at.push_back(column_of(path, t, c.name));
  const std::size_t target = column_of(path, t, f.target);
  if (t.names.size() != f.columns.size() + 1)
    throw Error(Code::input, path.string() + ": has " + std::to_string(t.names.size()) + " columns, the training table has " +
                                 std::to_string(f.columns.size() + 1));
  const auto n = static_cast<std::int64_t>(t.rows.size()), bands = f.bands();
  const Tensor block = Tensor::empty({n, bands, 1, 1}, DType::f32, Device{});
  float* out = block.data<float>();
  LabelledImages all;
  all.class_names = f.classes;
  for (const TableRow& r : t.rows) {
    for (std::size_t k = 0; k < f.columns.size(); ++k) {
      const TableColumn& c = f.columns[k];
      const std::string& s = field(path, r, at[k], c.name);
      if (!c.levels.empty()) {
        for (const std::string& level : c.levels) *out++ = level == s ? 1.0f : 0.0f;
        continue;
      }
      const std::optional<double> v = number_of(s);
      if (!v || !std::isfinite(*v) || std::abs(*v) > 3e38)
        fail(path, r.line, "column " + shown_value(c.name) + " holds " + shown_value(s) + "; a finite number is wanted");
      *out++ = static_cast<float>(*v);
    }
    const auto label = class_of.find(field(path, r, target, f.target));
    if (label == class_of.end()) fail(path, r.line, "class " + shown_value(r.fields[target]) + " does not occur in the training table");
    all.labels.push_back(label->second);
  }
  all.source = images_in_memory(path.string(), block);
  return all;
}

}  // namespace graft
