#include "engine/data/audit_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "engine/base/text.h"
#include "engine/data/image_hash.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

constexpr std::size_t kMostLevels = 64;

struct Column {
  std::string name;
  bool numbers = false, mixed = false, target = false;  // mixed: numbers, but for a few words
};
struct Cleared {  // a row that can be compared
  AuditPlace place;
  Digest features;
  std::int64_t label = 0;
};
struct Cases {
  std::vector<AuditCase> part, columns, fields, missing, strange, words, text, constant, label, across, within, conflict;
};

std::string canonical(const std::string& field, bool number) {
  const auto v = number ? number_of(field) : std::nullopt;
  if (!v) return field;
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", *v + 0.0);  // -0 is 0
  return text;
}

// What the first part says of each column: numbers, or words.
std::vector<Column> columns_of(const TableText& t, const std::string& target, Cases& cases) {
  std::vector<Column> columns;
  for (std::size_t c = 0; c < t.names.size(); ++c) {
    std::int64_t numbers = 0, values = 0;
    std::set<std::string> words;
    for (const TableRow& r : t.rows) {
      if (r.fields.size() != t.names.size() || missing_value(r.fields[c])) continue;
      ++values;
      if (number_of(r.fields[c])) ++numbers;
      else if (words.size() <= kMostLevels) words.insert(r.fields[c]);
    }
    Column column{t.names[c], numbers == values, false, t.names[c] == target};
    column.mixed = !column.target && !column.numbers && numbers * 10 >= values * 9;
    column.numbers = column.numbers || column.mixed;
    if (!column.target && !column.numbers && words.size() > kMostLevels)
      cases.text.push_back({shown_value(column.name) + ": more than " + std::to_string(kMostLevels) + " different words", {}});
    columns.push_back(column);
  }
  return columns;
}

// Columns that say nothing, and those that say the label.
void find_telling(const TableText& t, const std::vector<Column>& columns, std::size_t target, Cases& cases) {
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (c == target) continue;
    std::map<std::string, std::string> label_of;  // of each value
    std::string first;
    std::int64_t rows = 0;
    bool tells = true;
    for (const TableRow& r : t.rows) {
      if (r.fields.size() != columns.size() || missing_value(r.fields[c])) continue;
      if (rows++ == 0) first = r.fields[c];
      const auto [it, fresh] = label_of.emplace(canonical(r.fields[c], columns[c].numbers), r.fields[target]);
      tells = tells && it->second == r.fields[target];
    }
    if (rows > 1 && label_of.size() == 1)
      cases.constant.push_back({shown_value(columns[c].name) + " is " + shown_value(first) + " in each row", {}});
    std::set<std::string> labels;
    for (const auto& [value, label] : label_of) labels.insert(label);
    if (tells && label_of.size() > 1 && labels.size() == label_of.size() && rows > static_cast<std::int64_t>(labels.size()))
      cases.label.push_back({shown_value(columns[c].name) + " has a value for each value of " + shown_value(columns[target].name), {}});
  }
}

// Looks at each value of a row; true where it can be compared with others.
bool clear(const TableRow& r, const std::vector<Column>& columns, const std::vector<std::size_t>& at, AuditPlace place, Cases& cases) {
  bool whole = true;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::string& s = r.fields[at[c]];
    const std::string name = shown_value(columns[c].name);
    if (missing_value(s)) {
      cases.missing.push_back({"no " + name, {place}});
      whole = whole && !columns[c].target;
    } else if (columns[c].numbers && !columns[c].target) {
      const auto v = number_of(s);
      if (!v) cases.words.push_back({name + " is " + shown_value(s), {place}});
      else if (!std::isfinite(*v) || std::abs(*v) > 3e38) cases.strange.push_back({name + " is " + shown_value(s), {place}});
    }
  }
  return whole;
}

void find_doubles(std::vector<Cleared> rows, const std::vector<std::string>& classes, Cases& cases) {
  std::sort(rows.begin(), rows.end(),
            [](const Cleared& a, const Cleared& b) { return std::pair(a.features, a.place) < std::pair(b.features, b.place); });
  for (std::size_t i = 0; i < rows.size();) {
    AuditCase c;
    std::set<std::int64_t> labels;
    const std::size_t first = i;
    for (; i < rows.size() && rows[i].features == rows[first].features; ++i)
      c.places.push_back(rows[i].place), labels.insert(rows[i].label);
    if (c.places.size() < 2) continue;
    c.text = std::to_string(c.places.size()) + " rows";
    (c.places.front().part != c.places.back().part ? cases.across : cases.within).push_back(c);
    if (labels.size() < 2) continue;
    c.text.clear();
    for (const std::int64_t l : labels) c.text += (c.text.empty() ? "" : ", ") + one_line(classes[static_cast<std::size_t>(l)]);
    cases.conflict.push_back(std::move(c));
  }
  for (auto* list : {&cases.across, &cases.within, &cases.conflict})
    std::sort(list->begin(), list->end(), [](const AuditCase& a, const AuditCase& b) { return a.places < b.places; });
}

}  // namespace

std::vector<std::int64_t> duplicate_groups(const TableText& t, const std::string& target) {
  std::map<Digest, std::int64_t> first;
  std::vector<std::int64_t> group;
  for (const TableRow& r : t.rows) {
    std::string features;
    for (std::size_t c = 0; c < r.fields.size(); ++c)
      if (c >= t.names.size() || t.names[c] != target) {
        const std::string value = canonical(r.fields[c], true);
        features += std::to_string(value.size()) + ":" + value;
      }
    group.push_back(first.emplace(digest_of(std::as_bytes(std::span(features))), static_cast<std::int64_t>(group.size())).first->second);
  }
  return group;
}

AuditReport audit_tables(const std::vector<TablePart>& parts, const std::string& target, const AuditOptions& options) {
  AuditReport r;
  Cases cases;
  std::vector<Column> columns;
  std::map<std::string, std::int64_t> class_of;
  std::vector<Cleared> rows;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::string& name = parts[p].name;
    AuditReport::Part& part = r.parts.emplace_back(AuditReport::Part{name, 0, 0, {}});
    if (!parts[p].table) {
      cases.part.push_back({name + ": " + one_line(parts[p].problem), {}});
      continue;
    }
    const TableText& t = *parts[p].table;
    part.items = static_cast<std::int64_t>(t.rows.size());
    if (columns.empty()) {
      const auto it = std::find(t.names.begin(), t.names.end(), target);
      if (it == t.names.end()) {
        std::string names;
        for (const std::string& n : t.names) names += (names.empty() ? "" : ", ") + one_line(n);
        throw Error(Code::usage, "data.target = " + shown_value(target) + " is not a column of " + one_line(t.path.native()) +
                                     "; there are " + names.substr(0, 300));
      }
      columns = columns_of(t, target, cases);
      find_telling(t, columns, static_cast<std::size_t>(it - t.names.begin()), cases);
    }
    std::vector<std::size_t> at;
    std::string lacks;
    for (const Column& c : columns) {
      const auto it = std::find(t.names.begin(), t.names.end(), c.name);
      if (it == t.names.end()) lacks += (lacks.empty() ? " lacks " : ", ") + shown_value(c.name);
      at.push_back(static_cast<std::size_t>(it - t.names.begin()));
    }
    if (!lacks.empty() || t.names.size() != columns.size()) {
      cases.columns.push_back({name + (lacks.empty() ? " has " + std::to_string(t.names.size()) + " columns, " + parts[0].name + " has " +
                                                           std::to_string(columns.size())
                                                     : lacks),
                               {}});
      continue;
    }
    for (std::size_t k = 0; k < t.rows.size(); ++k) {
      const TableRow& row = t.rows[k];
      const AuditPlace place{static_cast<std::int64_t>(p), static_cast<std::int64_t>(k)};
      if (row.fields.size() != t.names.size()) {
        cases.fields.push_back(
            {std::to_string(row.fields.size()) + " fields, the first line names " + std::to_string(t.names.size()), {place}});
        continue;
      }
      ++part.readable;
      if (!clear(row, columns, at, place, cases)) continue;
      std::string features;
      std::int64_t label = 0;
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const std::string& field = row.fields[at[c]];
        const std::string value = canonical(field, columns[c].numbers);
        if (columns[c].target) label = class_of.emplace(field, static_cast<std::int64_t>(class_of.size())).first->second;
        else features += std::to_string(value.size()) + ":" + value;
      }
      rows.push_back({place, digest_of(std::as_bytes(std::span(features))), label});
    }
  }
  // Classes in the order of their names, numbers by value: as table_format() has them.
  std::vector<std::pair<std::string, std::int64_t>> names(class_of.begin(), class_of.end());
  if (std::all_of(names.begin(), names.end(), [](const auto& n) { return number_of(n.first).has_value(); }))
    std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return *number_of(a.first) < *number_of(b.first); });
  std::vector<std::int64_t> place_of(names.size());
  for (std::size_t k = 0; k < names.size(); ++k)
    r.classes.push_back(names[k].first), place_of[static_cast<std::size_t>(names[k].second)] = static_cast<std::int64_t>(k);
  for (auto& part : r.parts) part.per_class.resize(names.size());
  for (Cleared& row : rows) {
    row.label = place_of[static_cast<std::size_t>(row.label)];
    ++r.parts[static_cast<std::size_t>(row.place.part)].per_class[static_cast<std::size_t>(row.label)];
  }
  find_doubles(std::move(rows), r.classes, cases);

  const auto add = [&](const char* kind, const char* title, const char* advice, std::vector<AuditCase>& list) {
    if (!list.empty()) r.findings.push_back({kind, title, advice, std::move(list)});
  };
  add("part", "parts that cannot be opened", "the others were looked at", cases.part);
  add("columns", "parts with other columns", "the same columns are wanted in each part", cases.columns);
  add("fields", "rows with too many or too few fields", "training refuses the table: correct or remove them", cases.fields);
  add("missing", "missing values", "training refuses the table: fill them in or remove the rows", cases.missing);
  add("not_finite", "NaN or infinity", "training refuses the table: fill them in or remove the rows", cases.strange);
  add("not_number", "words among numbers", "one word makes the whole column categories: correct or remove it", cases.words);
  add("free_text", "columns of free text", "numbers and categories are read: leave them out", cases.text);
  add("duplicate_across", "the same row in two parts",
      "what is judged on was learnt: remove it from one of them, or split anew with graft data split --group-duplicates", cases.across);
  add("duplicate_within", "the same row more than once in a part", "it counts as often as it is there; keep one", cases.within);
  add("conflict", "the same values with different targets",
      "no model can learn both: correct or remove them, or add the column that tells them apart", cases.conflict);
  add("constant_column", "columns with one value", "nothing can be learnt of them: leave them out", cases.constant);
  add("label_column", "columns that give the target away", "they will not be known where the model is used: leave them out", cases.label);
  audit_classes(r, options, "row");
  return r;
}

}  // namespace graft
