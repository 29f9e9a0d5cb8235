// Values by the type of their key, from TOML nodes or from plain text, checked against the key's rules. The only file that sees toml++.
#include "engine/train/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <tuple>
#include <type_traits>

#include "kernels/core/error.h"

// toml++ 3.3 asserts what its own parser does not always keep: "[[[" aborts the program, and under NDEBUG it is taken to be impossible.
// Here a broken assertion is thrown and answered like any other input that is not TOML.
namespace graft {
namespace {
struct TomlAssertion {};
[[noreturn]] void toml_assertion_failed() { throw TomlAssertion(); }
}  // namespace
}  // namespace graft
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::graft::toml_assertion_failed())
#include <toml++/toml.h>

namespace graft::values {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

bool control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool utf8(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(k < s.size() ? s[k] : 0); };
    const unsigned b = byte(i);
    const int more = b < 0x80 ? 0 : b >= 0xc2 && b < 0xe0 ? 1 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xf0 && b < 0xf5 ? 3 : -1;
    if (more < 0) return false;
    for (int k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    const unsigned second = byte(i + 1);  // overlong forms, surrogates, beyond U+10FFFF
    if ((b == 0xe0 && second < 0xa0) || (b == 0xed && second > 0x9f) || (b == 0xf0 && second < 0x90) || (b == 0xf4 && second > 0x8f))
      return false;
    i += more + 1;
  }
  return true;
}

std::string number_text(double v) {
  std::string s = fmt::format("{}", v);
  if (std::isfinite(v) && s.find_first_of(".e") == std::string::npos) s += ".0";
  return s;
}
std::string element_text(std::int64_t v) { return fmt::format("{}", v); }
std::string element_text(double v) { return number_text(v); }
std::string element_text(bool v) { return v ? "true" : "false"; }
std::string element_text(const std::string& v) {
  std::string out = "\"";
  for (const char c : v) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}
template <class T>
std::string element_text(const std::vector<T>& v) {
  std::string out = "[";
  for (std::size_t i = 0; i < v.size(); ++i) out += (i ? ", " : "") + element_text(v[i]);
  return out + "]";
}

std::string_view unit_word(std::string_view unit) { return unit == "ep" ? "epochs" : "steps"; }

std::string element_type_text(const Key& key) {
  switch (key.type) {
    case Type::integer:
    case Type::integers: return "a whole number";
    case Type::count: return fmt::format("a whole number of {0}, such as 5 or 5{1}", unit_word(key.unit), key.unit);
    case Type::real:
    case Type::reals: return "a finite number";
    case Type::boolean: return "true or false";
    case Type::text:
    case Type::texts: return "a string";
  }
  return {};
}

std::string range_text(const Range& r) {
  std::string out;
  if (r.lo > -kInf) out = fmt::format("{} {}", r.lo_open ? ">" : ">=", static_cast<double>(r.lo));
  if (r.hi < kInf) out += fmt::format("{}{} {}", out.empty() ? "" : " and ", r.hi_open ? "<" : "<=", static_cast<double>(r.hi));
  return out;
}

}  // namespace

// ---- text ---------------------------------------------------------------------------------------

std::string printable(std::string_view s, std::size_t limit) {
  if (!utf8(s)) {
    std::string ascii(s);
    for (char& c : ascii)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    return printable(ascii, limit);
  }
  std::string out;
  for (const char c : s) {
    if (out.size() >= limit && (static_cast<unsigned char>(c) & 0xc0) != 0x80) return out + "...";
    out += control(c) ? '?' : c;
  }
  return out;
}
std::string in_quotes(std::string_view s) { return '"' + printable(s) + '"'; }

void fail(std::string_view where, const std::string& what) { throw Error(Code::usage, fmt::format("{}: {}", printable(where, 300), what)); }

std::string_view trim(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

std::string toml_text(const Value& v) {
  return std::visit([](const auto& x) { return element_text(x); }, v);
}
std::string plain_text(const Value& v) {
  const auto* s = std::get_if<std::string>(&v);
  return s ? *s : toml_text(v);
}

// ---- parsing by type ----------------------------------------------------------------------------

namespace {

struct Place {
  const Key& key;
  std::string where;
  std::string name;  // the key, with the index for an element of a list
};

[[noreturn]] void wrong_type(const Place& at, const std::string& wanted, const std::string& got) {
  fail(at.where, fmt::format("{} must be {}, got {}", at.name, wanted, got));
}

std::string without_underscores(std::string_view s) {  // 1_000, as TOML has it: only between digits
  std::string out;
  const auto digit = [&](std::size_t i) { return i < s.size() && s[i] >= '0' && s[i] <= '9'; };
  for (std::size_t i = 0; i < s.size(); ++i)
    if (s[i] != '_' || i == 0 || !digit(i - 1) || !digit(i + 1)) out += s[i];
  return out;
}

template <class T>
T parse_number(std::string_view digits, std::string_view text, const Place& at) {  // `text`: as written, with its unit
  std::string s = without_underscores(digits);
  if (s.size() > 1 && s[0] == '+' && s[1] != '-') s.erase(0, 1);
  T v{};
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (end != s.data() + s.size() || ec == std::errc::invalid_argument) wrong_type(at, element_type_text(at.key), in_quotes(text));
  if (ec != std::errc{}) {
    fail(at.where,
         fmt::format("{} = {} does not fit in a 64-bit {}", at.name, printable(text), std::is_integral_v<T> ? "integer" : "float"));
  }
  return v;
}

std::int64_t parse_count(std::string_view text, const Place& at) {
  std::string_view digits = text;
  if (digits.ends_with(at.key.unit)) digits.remove_suffix(at.key.unit.size());
  if (digits.empty() || digits.back() < '0' || digits.back() > '9') wrong_type(at, element_type_text(at.key), in_quotes(text));
  return parse_number<std::int64_t>(digits, text, at);
}

void check_number(double v, const std::string& shown, const Place& at) {
  const Range& r = at.key.range;
  if (!std::isfinite(v)) wrong_type(at, element_type_text(at.key), shown);
  if (!(r.lo_open ? v > r.lo : v >= r.lo) || !(r.hi_open ? v < r.hi : v <= r.hi)) {
    fail(at.where, fmt::format("{} = {} is out of range: it must be {} ({})", at.name, shown, range_text(r), at.key.doc));
  }
}

void check_string(const std::string& v, const Place& at) {
  if (!utf8(v)) fail(at.where, fmt::format("{} = {} is not UTF-8; rename the file or give another string", at.name, in_quotes(v)));
  if (std::any_of(v.begin(), v.end(), control)) {
    fail(at.where, fmt::format("{} = {} holds a control character; remove it", at.name, in_quotes(v)));
  }
  const auto& allowed = at.key.allowed;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), v) == allowed.end()) {
    const std::string near = nearest(v, allowed);
    fail(at.where, fmt::format("{} = {} is not known: it must be one of {}{}", at.name, in_quotes(v), list_words(allowed),
                               near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  }
  if (at.key.type == Type::texts && v.empty()) fail(at.where, fmt::format("{} is an empty string; remove it", at.name));
}

void check_element(std::int64_t v, const Place& at) { check_number(static_cast<double>(v), element_text(v), at); }
void check_element(double v, const Place& at) { check_number(v, number_text(v), at); }
void check_element(bool, const Place&) {}
void check_element(const std::string& v, const Place& at) { check_string(v, at); }

// Rules on a list as a whole.
template <class T>
void check_list(const std::vector<T>& v, const Place& at) {
  if constexpr (std::is_same_v<T, double>) {
    if (at.key.name != "data.normalize") {  // a range
      if (v.empty() && at.key.standard == "[]") return;
      if (v.size() != 2) fail(at.where, fmt::format("{} must be [smallest, largest], got {} numbers", at.name, v.size()));
      if (!(v[0] <= v[1]))
        fail(at.where, fmt::format("{} = [{}, {}] is the wrong way round: it must be [smallest, largest]", at.name, number_text(v[0]),
                                   number_text(v[1])));
      return;
    }
    if (v.size() % 2 != 0) fail(at.where, fmt::format("{} must be means, then as many deviations, got {} numbers", at.name, v.size()));
    for (std::size_t i = v.size() / 2; i < v.size(); ++i)
      if (!(v[i] > 0)) fail(at.where, fmt::format("{}[{}] = {} is out of range: a deviation must be > 0", at.name, i, number_text(v[i])));
  } else {
    for (std::size_t i = 0; i < v.size(); ++i)
      if (std::find(v.begin(), v.begin() + i, v[i]) != v.begin() + i) {
        fail(at.where, fmt::format("{} names {} twice; remove one", at.name, element_text(v[i])));
      }
  }
}

// A string in quotes follows TOML's rules, so toml++ reads it.
std::string unquote(std::string_view text, const Place& at) {
  if (text.empty() || (text.front() != '"' && text.front() != '\'')) return std::string(text);
  try {
    const toml::table t = toml::parse(fmt::format("v = {}", text));
    if (const auto* s = t["v"].as_string(); s && t.size() == 1) return s->get();
  } catch (const toml::parse_error&) {
  } catch (const TomlAssertion&) {}
  fail(at.where, fmt::format("{} = {} is not a quoted string; close the quotes or leave them out", at.name, printable(text)));
}

template <class T>
T element_from_text(std::string_view text, const Place& at) {
  T v{};
  if constexpr (std::is_same_v<T, bool>) {
    if (text != "true" && text != "false") wrong_type(at, element_type_text(at.key), in_quotes(text));
    v = text == "true";
  } else if constexpr (std::is_same_v<T, std::string>) {
    v = unquote(text, at);
  } else if (at.key.type == Type::count) {
    v = static_cast<T>(parse_count(text, at));
  } else {
    v = parse_number<T>(text, text, at);
  }
  check_element(v, at);
  return v;
}

// The elements of "[a, b]", cut at commas outside quotes.
std::vector<std::string_view> list_items(std::string_view text, const Place& at) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') {
    fail(at.where,
         fmt::format("{} must be {}, got {}; write the list in brackets: {}=[{}]", at.name, type_text(at.key), in_quotes(text), at.name,
                     at.key.type == Type::texts   ? "a,b"
                     : at.key.type == Type::reals ? "0.5,0.25"
                                                  : "0,1"));
  }
  text = trim(text.substr(1, text.size() - 2));
  std::vector<std::string_view> items;
  if (text.empty()) return items;
  char quote = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && quote) {
      if (quote == '"' && text[i] == '\\') ++i;
      else if (text[i] == quote) quote = 0;
    } else if (i < text.size() && (text[i] == '"' || text[i] == '\'') && trim(text.substr(begin, i - begin)).empty()) {
      quote = text[i];
    } else if (i == text.size() || text[i] == ',') {
      items.push_back(trim(text.substr(begin, i - begin)));
      if (items.back().empty()) {
        fail(at.where, fmt::format("{} has an empty element at position {}; write {}=[a,b] without a comma at the end", at.name,
                                   items.size() - 1, at.name));
      }
      begin = i + 1;
    }
  }
  if (quote) fail(at.where, fmt::format("{} = {} has a quote that is not closed", at.name, printable(text)));
  return items;
}

template <class T>
Value list_from_text(std::string_view text, const Place& at) {
  std::vector<T> v;
  for (const std::string_view item : list_items(text, at)) {
    v.push_back(element_from_text<T>(item, {at.key, at.where, fmt::format("{}[{}]", at.name, v.size())}));
  }
  check_list(v, at);
  return v;
}

}  // namespace

Value from_text(const Key& key, std::string_view text, const std::string& where) {
  const Place at = {key, where, std::string(key.name)};
  if (text.empty() && key.type != Type::text)
    fail(where, fmt::format("{} has no value; write {}=VALUE, {}", key.name, key.name, type_text(key)));
  switch (key.type) {
    case Type::integer:
    case Type::count: return element_from_text<std::int64_t>(text, at);
    case Type::real: return element_from_text<double>(text, at);
    case Type::boolean: return element_from_text<bool>(text, at);
    case Type::text: return element_from_text<std::string>(text, at);
    case Type::integers: return list_from_text<std::int64_t>(text, at);
    case Type::reals: return list_from_text<double>(text, at);
    case Type::texts: return list_from_text<std::string>(text, at);
  }
  return {};
}

namespace {

std::string node_text(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "the string " + in_quotes(node.as_string()->get());
    case toml::node_type::integer: return fmt::format("{}", node.as_integer()->get());
    case toml::node_type::floating_point: return number_text(node.as_floating_point()->get());
    case toml::node_type::boolean: return element_text(node.as_boolean()->get());
    case toml::node_type::array: return "a list";
    case toml::node_type::table: return "a section";
    default: return "a date or time";
  }
}

template <class T>
T element_from_node(const toml::node& node, const Place& at) {
  T v{};
  if constexpr (std::is_same_v<T, bool>) {
    if (!node.is_boolean()) wrong_type(at, element_type_text(at.key), node_text(node));
    v = node.as_boolean()->get();
  } else if constexpr (std::is_same_v<T, std::string>) {
    const auto& words = at.key.allowed;  // a key with a word more than true and false is written without quotes all the same
    if (node.is_boolean() && std::find(words.begin(), words.end(), "true") != words.end())
      return node.as_boolean()->get() ? "true" : "false";
    if (!node.is_string()) wrong_type(at, element_type_text(at.key), node_text(node));
    v = node.as_string()->get();
  } else {
    if (node.is_integer()) v = static_cast<T>(node.as_integer()->get());
    else if (std::is_same_v<T, double> && node.is_floating_point()) v = static_cast<T>(node.as_floating_point()->get());
    else if (at.key.type == Type::count && node.is_string()) v = static_cast<T>(parse_count(node.as_string()->get(), at));
    else wrong_type(at, element_type_text(at.key), node_text(node));
  }
  check_element(v, at);
  return v;
}

template <class T>
Value list_from_node(const toml::node& node, const Place& at) {
  if (!node.is_array()) wrong_type(at, type_text(at.key), node_text(node));
  std::vector<T> v;
  for (const toml::node& item : *node.as_array()) {
    v.push_back(element_from_node<T>(item, {at.key, at.where, fmt::format("{}[{}]", at.name, v.size())}));
  }
  check_list(v, at);
  return v;
}

Value from_node(const Key& key, const toml::node& node, const std::string& where) {
  const Place at = {key, where, std::string(key.name)};
  switch (key.type) {
    case Type::integer:
    case Type::count: return element_from_node<std::int64_t>(node, at);
    case Type::real: return element_from_node<double>(node, at);
    case Type::boolean: return element_from_node<bool>(node, at);
    case Type::text: return element_from_node<std::string>(node, at);
    case Type::integers: return list_from_node<std::int64_t>(node, at);
    case Type::reals: return list_from_node<double>(node, at);
    case Type::texts: return list_from_node<std::string>(node, at);
  }
  return {};
}

toml::table parse_toml(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    const auto at = e.source().begin;
    fail(fmt::format("{}:{}:{}", name, at.line, at.column), fmt::format("not TOML: {}", printable(e.description(), 300)));
  } catch (const TomlAssertion&) {}
  // An assertion knows no line. The parser goes from front to back, so the line is the last of the shortest beginning that breaks it too.
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n' || i + 1 == text.size()) ends.push_back(i + 1);
  const auto last = std::partition_point(ends.begin(), ends.end(), [&](std::size_t end) {
    try {
      static_cast<void>(toml::parse(text.substr(0, end)));
    } catch (const toml::parse_error&) {
    } catch (const TomlAssertion&) { return false; }
    return true;
  });
  fail(fmt::format("{}:{}", name, last - ends.begin() + 1), "not TOML: this line cannot be read");
}

}  // namespace

// toml++ sorts by name; messages and duplicates should follow the file.
std::vector<Entry> entries_of(std::string_view text, const std::string& name) {
  const auto root = std::make_shared<const toml::table>(parse_toml(text, name));
  std::vector<std::pair<std::size_t, Entry>> found;  // with the column
  const auto add = [&](const toml::key& at, std::string section, std::string leaf, const toml::node& node) {
    found.push_back({at.source().begin.column,
                     {at.source().begin.line, std::move(section), std::move(leaf), node.is_table(), node_text(node),
                      [root, &node](const Key& key, const std::string& where) { return from_node(key, node, where); }}});
  };
  for (const auto& [section, node] : *root) {
    const bool is_known = std::find(sections().begin(), sections().end(), section.str()) != sections().end();
    if (!is_known || !node.is_table()) {
      add(section, std::string(section.str()), "", node);
      continue;
    }
    for (const auto& [leaf, value] : *node.as_table()) add(leaf, std::string(section.str()), std::string(leaf.str()), value);
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return std::tie(a.second.line, a.first) < std::tie(b.second.line, b.first); });
  std::vector<Entry> entries;
  for (auto& [column, e] : found) entries.push_back(std::move(e));
  return entries;
}

}  // namespace graft::values

namespace graft {

std::string type_text(const Key& key) {
  switch (key.type) {
    case Type::integers: return "a list of whole numbers";
    case Type::reals: return "a list of numbers";
    case Type::texts: return "a list of strings";
    default: return values::element_type_text(key);
  }
}

std::string rule_text(const Key& key) {
  if (!key.allowed.empty()) return "one of " + values::list_words(key.allowed);
  return values::range_text(key.range);
}

}  // namespace graft
