// What --search says: a key of the configuration and a range that its schema allows.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/tune.h"

namespace graft::cli {
namespace {

constexpr const char* kForms = "write KEY=uniform(LO,HI), log(LO,HI), int(LO,HI), logint(LO,HI) or choice(A,B,...)";

Error wrong(const std::string& text, const std::string& what) { return Error(Code::usage, "--search " + text + ": " + what); }

std::string trimmed(const std::string& s) {
  const auto from = s.find_first_not_of(' '), to = s.find_last_not_of(' ');
  return from == std::string::npos ? "" : s.substr(from, to - from + 1);
}
// At commas that stand in no list and in no string.
std::vector<std::string> split(const std::string& s) {
  std::vector<std::string> parts(1);
  int depth = 0;
  char quote = 0;
  for (const char c : s) {
    if (quote) quote = c == quote ? 0 : quote;
    else if (c == '"' || c == '\'') quote = c;
    else if (c == '[') ++depth;
    else if (c == ']') --depth;
    else if (c == ',' && depth == 0) {
      parts.emplace_back();
      continue;
    }
    parts.back() += c;
  }
  for (std::string& p : parts) p = trimmed(p);
  return parts;
}
double number_in(const std::string& text, const std::string& part) {
  double v = 0;
  const auto r = std::from_chars(part.data(), part.data() + part.size(), v);
  if (part.empty() || r.ec != std::errc{} || r.ptr != part.data() + part.size() || !std::isfinite(v))
    throw wrong(text, "'" + part + "' is no number; " + kForms);
  return v;
}
std::string exact(double v) {
  char t[32];
  return {t, std::to_chars(t, t + sizeof t, v).ptr};
}

// Keys whose search would not compare like with like.
std::string why_not(const std::string& key) {
  if (key.starts_with("data.") || key.starts_with("eval."))
    return "every trial must learn from the same images and be judged by the same ones";
  if (key == "train.seed") return "the seed is the noise that a gain must exceed; see --seeds-noise";
  if (key == "train.steps" || key == "train.epochs") return "--budget says how long a trial is";
  if (key == "train.keep" || key == "train.checkpoint_every" || key == "train.log_every" || key == "train.eval_batch" ||
      key == "train.graph" || key == "train.on_nan" || key.starts_with("log."))
    return "it changes nothing of what is learnt";
  return {};
}

SearchKey parse(const std::string& text, const Config& base) {
  const auto eq = text.find('='), open = text.find('(');
  if (eq == std::string::npos || open == std::string::npos || open < eq || text.back() != ')')
    throw wrong(text, std::string("a range is missing; ") + kForms);
  SearchKey k;
  k.key = trimmed(text.substr(0, eq));
  const auto known = std::find_if(schema().begin(), schema().end(), [&](const Key& s) { return s.name == k.key; });
  Config tried = base;
  if (known == schema().end()) tried.set(k.key + "=0", Origin::flag("--search"));  // throws, with the nearest name
  if (const std::string why = why_not(k.key); !why.empty()) throw wrong(text, why);
  const std::string form = trimmed(text.substr(eq + 1, open - eq - 1));
  const std::vector<std::string> parts = split(text.substr(open + 1, text.size() - open - 2));
  static const std::vector<std::string_view> forms = {"uniform", "log", "int", "logint", "choice"};
  if (std::find(forms.begin(), forms.end(), form) == forms.end()) {
    const std::string near = nearest(form, forms);
    throw wrong(text, "'" + form + "' is no range; " + (near.empty() ? kForms : "did you mean " + near + "?"));
  }
  k.dimension.name = k.key;
  const auto allowed = [&](const std::string& value) { tried.set(k.key + "=" + value, Origin::flag("--search " + k.key)); };
  if (form == "choice") {
    for (const std::string& p : parts) {
      allowed(p);
      if (std::find(k.choices.begin(), k.choices.end(), p) != k.choices.end()) throw wrong(text, "names " + p + " twice; remove one");
      k.choices.push_back(p);
    }
    k.dimension.kind = Dimension::Kind::choice;
    k.dimension.choices = static_cast<std::int64_t>(k.choices.size());
  } else {
    const bool whole = form == "int" || form == "logint", is_whole = known->type == Type::integer || known->type == Type::count;
    if (!is_whole && known->type != Type::real)
      throw wrong(text, k.key + " is " + type_text(*known) + "; give its values as choice(A,B,...)");
    if (whole != is_whole)
      throw wrong(text, k.key + " is " + type_text(*known) + "; use " + (is_whole ? "int or logint" : "uniform or log"));
    if (parts.size() != 2) throw wrong(text, std::string("a range has two ends; ") + kForms);
    k.dimension.kind = whole ? Dimension::Kind::whole : Dimension::Kind::real;
    k.dimension.log = form == "log" || form == "logint";
    k.dimension.lo = number_in(text, parts[0]), k.dimension.hi = number_in(text, parts[1]);
    for (const double end : {k.dimension.lo, k.dimension.hi}) allowed(k.text(end));
  }
  try {
    check(Space{k.dimension});
  } catch (const Error& e) { throw wrong(text, std::string(e.what()).substr(k.key.size() + 2)); }
  return k;
}

}  // namespace

std::string SearchKey::text(double value) const {
  if (std::isnan(value)) return {};
  if (dimension.kind == Dimension::Kind::choice) return choices.at(static_cast<std::size_t>(value));
  if (dimension.kind == Dimension::Kind::whole && value == std::floor(value)) return std::to_string(static_cast<std::int64_t>(value));
  return exact(value);
}
double SearchKey::rounded(double value) const {
  if (dimension.kind != Dimension::Kind::real || std::isnan(value)) return value;
  char t[32];
  std::snprintf(t, sizeof t, "%.4g", value);
  return std::clamp(std::strtod(t, nullptr), dimension.lo, dimension.hi);
}

std::vector<SearchKey> parse_search(const std::vector<std::string>& texts, const Config& base) {
  std::vector<SearchKey> keys;
  for (const std::string& t : texts) {
    keys.push_back(parse(t, base));
    for (std::size_t i = 0; i + 1 < keys.size(); ++i)
      if (keys[i].key == keys.back().key) throw wrong(t, keys[i].key + " is searched twice; remove one");
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {  // a key that can never have a say
    const Key& known = *std::find_if(schema().begin(), schema().end(), [&](const Key& s) { return s.name == keys[i].key; });
    const bool may = std::any_of(known.applies.begin(), known.applies.end(), [&](const Condition& c) {
      return std::any_of(keys.begin(), keys.end(), [&](const SearchKey& other) { return other.key == c.key; });
    });
    if (const std::string why = base.why_unused(keys[i].key); !may && !why.empty()) throw wrong(texts[i], "it is not used: " + why);
  }
  return keys;
}

Space space_of(const std::vector<SearchKey>& keys) {
  Space s;
  for (const SearchKey& k : keys) s.push_back(k.dimension);
  return s;
}

Config with_values(const Config& base, const std::vector<SearchKey>& keys, Point& values) {
  Config all = base, used = base;
  const auto set = [&](Config& c, std::size_t i) { c.set(keys[i].key + "=" + keys[i].text(values[i]), Origin::flag("--search")); };
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (!std::isnan(values[i])) set(all, i);
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (std::isnan(values[i]) || !all.why_unused(keys[i].key).empty()) values[i] = std::nan("");
    else set(used, i);
  return used;
}

std::string assignments(const std::vector<SearchKey>& keys, const Point& values) {
  std::string s;
  for (std::size_t i = 0; i < keys.size() && i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const std::string value = keys[i].text(values[i]);
    const bool plain = value.find_first_of(" []\"'$*\\;&|<>()") == std::string::npos;
    s += (s.empty() ? "" : " ") + (plain ? keys[i].key + "=" + value : "'" + keys[i].key + "=" + value + "'");
  }
  return s;
}

}  // namespace graft::cli
