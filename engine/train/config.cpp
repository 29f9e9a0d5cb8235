// Layers of values over the schema (schema.cpp), which is a table: names are looked up in it, what applies is ruled by it, and the resolved
// file is written by it. How a single value is read and written is the thought of config_values.cpp.
#include "engine/train/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <map>
#include <tuple>
#include <unordered_map>

#include "engine/train/config_values.h"
#include "engine/train/recipes.h"
#include "kernels/core/error.h"

namespace graft {
using values::entries_of, values::fail, values::from_text, values::in_quotes, values::list_words, values::plain_text, values::printable,
    values::toml_text, values::trim;
namespace {

constexpr std::size_t kMaxFile = 1 << 20;  // a configuration is never this long; a device or a data file given by mistake is

std::optional<std::size_t> find(std::string_view name) {
  static const std::unordered_map<std::string_view, std::size_t> index = [] {
    std::unordered_map<std::string_view, std::size_t> m;
    for (std::size_t i = 0; i < schema().size(); ++i) m.emplace(schema()[i].name, i);
    return m;
  }();
  const auto it = index.find(name);
  return it == index.end() ? std::nullopt : std::optional(it->second);
}

std::size_t known(std::string_view name) {
  const auto i = find(name);
  if (!i) throw Error(Code::bug, fmt::format("the program asks for the configuration key {}, which the schema lacks", name));
  return *i;
}

std::string_view section_of(std::string_view name) { return name.substr(0, name.find('.')); }
std::string_view leaf_of(std::string_view name) { return name.substr(name.find('.') + 1); }

// ---- unknown names ------------------------------------------------------------------------------

std::vector<std::string_view> keys_where(const auto& wanted) {
  std::vector<std::string_view> out;
  for (const Key& k : schema())
    if (wanted(k.name)) out.push_back(k.name);
  return out;
}

std::string unknown_key(std::string_view name) {
  const std::string start = fmt::format("unknown key {}; ", printable(name));
  const auto mean = [&](const auto& names) { return fmt::format("{}did you mean {}?", start, list_words(names)); };
  const bool whole = name.find('.') != std::string_view::npos;
  const std::string_view section = whole ? section_of(name) : "", leaf = leaf_of(name);
  if (!whole && std::find(sections().begin(), sections().end(), name) != sections().end()) {
    return fmt::format("{} is a section, not a key; write {}.KEY", name, name);
  }
  const std::string near_section = nearest(section, sections());
  // in the section that was named or nearly named, else the very key of another section, else anything near
  std::vector<std::string_view> leaves;
  for (const auto k : keys_where([&](auto k) { return section_of(k) == near_section; })) leaves.push_back(leaf_of(k));
  const std::string near_leaf = nearest(leaf, leaves);
  if (!near_leaf.empty()) return mean(std::vector<std::string>{near_section + "." + near_leaf});
  if (const auto same = keys_where([&](auto k) { return leaf_of(k) == leaf; }); !same.empty()) return mean(same);
  if (!whole) {
    std::vector<std::string_view> all;
    for (const Key& k : schema()) all.push_back(leaf_of(k.name));
    const std::string near = nearest(name, all);
    if (!near.empty()) return mean(keys_where([&](auto k) { return leaf_of(k) == near; }));
  }
  if (std::find(sections().begin(), sections().end(), section) == sections().end()) {
    const std::string near = nearest(name, keys_where([](auto) { return true; }));
    if (!near.empty()) return mean(std::vector<std::string>{near});
    return fmt::format("{}a key is SECTION.KEY, the sections are {}", start, list_words(sections(), " and "));
  }
  if (leaves.empty()) return fmt::format("{}section [{}] has no keys", start, section);
  return fmt::format("{}the keys of [{}] are {}", start, section, list_words(leaves, " and "));
}

std::string unknown_section(std::string_view name) {
  const std::string near = nearest(name, sections());
  return fmt::format(
      "unknown section [{}]; {}", printable(name),
      near.empty() ? fmt::format("the sections are {}", list_words(sections(), " and ")) : fmt::format("did you mean [{}]?", near));
}

bool holds(const Condition& c, const Value& v) {
  return (std::find(c.values.begin(), c.values.end(), plain_text(v)) != c.values.end()) != c.negate;
}

std::string read_file(const std::string& path) {
  std::error_code ec;
  const std::string name = printable(path, 200);
  const auto no = [&](const std::string& why) { fail(name, why + "; give the path of a TOML file"); };
  const auto status = std::filesystem::status(path, ec);
  if (!std::filesystem::exists(status)) no("no such configuration file");
  if (std::filesystem::is_directory(status)) no("is a folder, not a configuration file");
  std::ifstream in(path, std::ios::binary);
  if (!in) no("cannot open the configuration file");
  std::string text(kMaxFile + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) no("cannot read the configuration file");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxFile) no("is longer than 1 MiB, too long for a configuration file");
  return text;
}

}  // namespace

// ---- values -------------------------------------------------------------------------------------

Config::Config() {
  static const std::vector<Setting> defaults = [] {
    std::vector<Setting> all;
    for (const Key& k : schema()) all.push_back({from_text(k, k.standard, "default"), Origin{}});
    return all;
  }();
  settings_ = defaults;
}

Config Config::recipe(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Recipe& r : recipes()) {
    if (r.name == name) {
      Config c;
      c.merge(r.text, fmt::format("recipe {}", name), Layer::recipe);
      return c;
    }
    names.push_back(r.name);
  }
  const std::string near = nearest(name, names);
  throw Error(Code::usage, fmt::format("unknown recipe {}; {}the recipes are {}", in_quotes(name),
                                       near.empty() ? "" : fmt::format("did you mean {}? ", near), list_words(names, " and ")));
}

void Config::merge_file(const std::string& path) { merge(read_file(path), path, Layer::file); }
void Config::merge_text(std::string_view toml, const std::string& name) { merge(toml, name, Layer::file); }

void Config::merge(std::string_view toml, const std::string& name, Layer layer) {
  const std::string shown = printable(name, 200);
  Config next = *this;
  Origin origin{layer, layer == Layer::file ? ++next.files_ : 0, shown};
  for (const values::Entry& e : entries_of(toml, shown)) {
    const std::string where = fmt::format("{}:{}", shown, e.line);
    if (e.leaf.empty()) {
      const bool is_known = std::find(sections().begin(), sections().end(), e.section) != sections().end();
      if (is_known) fail(where, fmt::format("{0} is a section, got {1}; write [{0}] and its keys below it", e.section, e.shown));
      fail(where, e.table ? unknown_section(e.section) : unknown_key(e.section));
    }
    const std::string key = e.section + "." + e.leaf;
    const auto i = find(key);
    if (!i) fail(where, unknown_key(key));
    if (layer == Layer::file) origin.where = where;
    next.put(*i, e.value(schema()[*i], where), origin);
  }
  *this = std::move(next);
}

void Config::set(std::string_view assignment, const Origin& origin) {
  const std::size_t eq = assignment.find('=');
  const std::string_view name = trim(assignment.substr(0, eq));
  const auto i = find(name);
  if (eq == std::string_view::npos) {
    fail(origin.where, i ? fmt::format("{} has no value; write {}=VALUE", in_quotes(assignment), name)
                         : fmt::format("{} has no '='; write SECTION.KEY=VALUE", in_quotes(assignment)));
  }
  if (name.empty()) fail(origin.where, fmt::format("{} has no key before '='; write SECTION.KEY=VALUE", in_quotes(assignment)));
  if (!i) fail(origin.where, unknown_key(name));
  if (origin.layer == Layer::command_line && settings_[*i].origin.layer == Layer::command_line) {
    fail(origin.where, fmt::format("{} is given twice, {} and {}; keep one", name, toml_text(settings_[*i].value),
                                   printable(trim(assignment.substr(eq + 1)))));
  }
  put(*i, from_text(schema()[*i], trim(assignment.substr(eq + 1)), origin.where), origin);
}

void Config::put(std::size_t i, Value value, const Origin& origin) {
  Setting& s = settings_[i];
  if (std::tie(origin.layer, origin.order) < std::tie(s.origin.layer, s.origin.order)) return;
  s.value = std::move(value);
  s.origin = origin;
  s.origin.where = printable(origin.where, 300);  // it ends up in comments of one line
}

Value Config::value(std::size_t i) const {
  const Setting& s = settings_[i];
  if (s.origin.layer == Layer::standard) {
    for (const SpecialDefault& d : special_defaults())
      if (d.key == schema()[i].name && plain_text(settings_[known(d.controller)].value) == d.value) {
        return from_text(schema()[i], d.standard, "default");
      }
  }
  return s.value;
}

template <class T>
T Config::get(std::string_view key) const {
  const std::size_t i = known(key);
  const Value v = value(i);
  const T* held = std::get_if<T>(&v);
  if (!held) throw Error(Code::bug, fmt::format("the program reads {} as another type; it is {}", key, type_text(schema()[i])));
  settings_[i].read = true;
  return *held;
}
template std::int64_t Config::get(std::string_view) const;
template double Config::get(std::string_view) const;
template bool Config::get(std::string_view) const;
template std::string Config::get(std::string_view) const;
template std::vector<std::int64_t> Config::get(std::string_view) const;
template std::vector<double> Config::get(std::string_view) const;
template std::vector<std::string> Config::get(std::string_view) const;

const Origin& Config::origin(std::string_view key) const { return settings_[known(key)].origin; }
std::string Config::value_text(std::string_view key) const { return toml_text(value(known(key))); }

// ---- what applies -------------------------------------------------------------------------------

std::string Config::why_unused(std::string_view key) const {
  const auto& conditions = schema()[known(key)].applies;
  if (conditions.empty()) return {};
  std::vector<std::string> wanted;
  std::vector<std::string_view> to_set;  // keys that only have to differ from their empty value
  for (const Condition& c : conditions) {
    if (holds(c, settings_[known(c.key)].value)) return {};
    if (c.negate && (c.values[0].empty() || c.values[0] == "0" || c.values[0] == "0.0")) to_set.push_back(c.key);
    else wanted.push_back(fmt::format("{}{}{}", c.key, c.negate ? " other than " : " = ", list_words(c.values)));
  }
  if (!to_set.empty()) wanted.push_back(list_words(to_set) + " set");
  const Setting& first = settings_[known(conditions[0].key)];
  const std::string shown = plain_text(first.value);
  return fmt::format("it applies only with {}, and {} is {} ({})", list_words(wanted, " or with "), conditions[0].key,
                     shown.empty() ? "empty" : shown, first.origin.where);
}

bool Config::discarded(std::size_t i) const {
  const Origin& own = settings_[i].origin;
  for (const Condition& c : schema()[i].applies) {
    const Origin& other = settings_[known(c.key)].origin;
    if (std::tie(other.layer, other.order) > std::tie(own.layer, own.order)) return true;
  }
  return false;
}

void Config::check() const {
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const Setting& s = settings_[i];
    const std::string_view name = schema()[i].name;
    if (s.origin.layer < Layer::file || discarded(i)) continue;
    if (const std::string why = why_unused(name); !why.empty()) {
      fail(s.origin.where, fmt::format("{} = {} is not used: {}; remove it", name, printable(toml_text(s.value)), why));
    }
  }

  // Rules between keys. They read without marking: a check is not a use.
  const auto integer = [&](std::string_view key) { return std::get<std::int64_t>(settings_[known(key)].value); };
  const auto blame = [&](std::initializer_list<std::string_view> keys) {  // of keys that disagree, the one set last
    const Origin* last = &origin(*keys.begin());
    for (const std::string_view key : keys) {
      const Origin& o = origin(key);
      if (std::tie(o.layer, o.order) > std::tie(last->layer, last->order)) last = &o;
    }
    return last->where;
  };
  const auto real = [&](std::string_view key) { return std::get<double>(settings_[known(key)].value); };
  const auto word = [&](std::string_view key) { return std::get<std::string>(settings_[known(key)].value); };
  const std::string kind = word("data.kind");
  const std::map<std::string, std::int64_t> of_kind = {{"mnist", 10}, {"digits", 10}, {"letters", 26}, {"shapes", 8}, {"spirals", 3}};
  const auto classes = std::get<std::vector<std::int64_t>>(settings_[known("data.classes")].value);
  const std::int64_t in_data = of_kind.count(kind) ? of_kind.at(kind) : 0;  // 0: the files say
  const std::int64_t used = classes.empty() ? in_data : static_cast<std::int64_t>(classes.size());
  for (const std::int64_t c : classes)
    if (in_data > 0 && c >= in_data) {
      fail(blame({"data.classes", "data.kind"}),
           fmt::format("data.classes names {}, and data.kind = {} has the classes 0 to {}; remove it", c, kind, in_data - 1));
    }
  if (const std::int64_t outputs = integer("model.classes"); outputs > 0 && outputs < used) {
    fail(blame({"model.classes", "data.classes", "data.kind"}),
         fmt::format("model.classes = {} is too few: the data has {} classes; set model.classes={} or choose among them by data.classes",
                     outputs, used, used));
  }
  if (kind == "digits" || kind == "letters" || kind == "shapes" || kind == "spirals") {
    for (const std::string_view key : {"data.train_count", "data.test_count"})
      if (integer(key) == 0) {
        fail(blame({key, "data.kind"}), fmt::format("{0} = 0 says `all`, and data.kind = {1} is drawn without end; set {0}=N", key, kind));
      }
  }
  const std::int64_t drawn = integer("data.train_count");
  const double held_out = real("data.validation");
  if (drawn > 0 && held_out >= static_cast<double>(drawn)) {
    fail(blame({"data.validation", "data.train_count"}),
         fmt::format("data.validation = {} leaves nothing to train on: there are {} training images (data.train_count = {}); choose fewer",
                     held_out, drawn, drawn));
  }
  if (held_out == 0) {
    if (integer("train.patience") > 0) {
      fail(blame({"train.patience", "data.validation"}),
           "train.patience ends training by held-out images, and data.validation = 0 holds out none; set data.validation=0.1");
    }
  }
  const std::string optimizer = std::get<std::string>(settings_[known("optim.name")].value);
  if (optimizer == "sgd" && std::get<bool>(settings_[known("optim.nesterov")].value) &&
      !(std::get<double>(settings_[known("optim.momentum")].value) > 0)) {
    fail(blame({"optim.nesterov", "optim.momentum"}), "optim.nesterov = true needs a momentum; set optim.momentum=0.9");
  }
  const std::int64_t steps = integer("train.steps"), warmup = integer("schedule.warmup");
  // A recipe's warm-up yields to a shorter run that the user asks for (the command line shortens it); two values of the user's own must
  // agree.
  if (steps > 0 && warmup >= steps && why_unused("schedule.warmup").empty() &&
      origin("schedule.warmup").layer >= origin("train.steps").layer) {
    fail(blame({"schedule.warmup", "train.steps"}),
         fmt::format("schedule.warmup = {} does not end within train.steps = {}; choose fewer", warmup, steps));
  }
}

std::vector<std::string> Config::unread() const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const Setting& s = settings_[i];
    if (s.origin.layer >= Layer::file && !s.read && why_unused(schema()[i].name).empty()) out.emplace_back(schema()[i].name);
  }
  return out;
}

void Config::check_read(std::string_view verb) const {
  for (const std::string& key : unread()) {
    fail(origin(key).where, fmt::format("{} = {} is not used: {} has no use for it; remove it", key, printable(value_text(key)), verb));
  }
}

// ---- writing ------------------------------------------------------------------------------------

std::string Config::text() const {
  std::string out = "# graft configuration, resolved: each value and where it came from\n";
  for (const std::string_view section : sections()) {
    bool first = true;
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const std::string_view name = schema()[i].name;
      if (section_of(name) != section) continue;
      if (first) out += fmt::format("\n[{}]\n", section);
      first = false;
      const std::string why = why_unused(name);
      if (why.empty()) {
        out += fmt::format("{:<32}  # {}\n", fmt::format("{} = {}", leaf_of(name), toml_text(value(i))), settings_[i].origin.where);
      } else {
        out += fmt::format("# {} does not apply: {}\n", leaf_of(name), why);
      }
    }
  }
  return out;
}

std::string Config::explain() const {
  std::string out;
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const std::string_view name = schema()[i].name;
    const bool used = why_unused(name).empty();
    out += fmt::format("{:<24} {:<20} {:<24} {}\n", name, used ? toml_text(value(i)) : "-",
                       used ? settings_[i].origin.where : "does not apply", schema()[i].doc);
  }
  return out;
}

std::string Config::explain(std::string_view key) const {
  const auto i = find(key);
  if (!i) throw Error(Code::usage, unknown_key(key));
  const Key& k = schema()[*i];
  std::string out = fmt::format("{} = {}\n  from     {}\n  meaning  {}\n  type     {}\n", key, toml_text(value(*i)),
                                settings_[*i].origin.where, k.doc, type_text(k));
  if (const std::string rule = rule_text(k); !rule.empty()) out += fmt::format("  rule     {}\n", rule);
  out += fmt::format("  default  {}\n", toml_text(from_text(k, k.standard, "default")));
  if (const std::string why = why_unused(key); !why.empty()) out += fmt::format("  unused   {}\n", why);
  return out;
}

bool Config::operator==(const Config& other) const {
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const bool applies = why_unused(schema()[i].name).empty();
    if (applies != other.why_unused(schema()[i].name).empty() || (applies && value(i) != other.value(i))) return false;
  }
  return true;
}

// ---- helpers for everybody ----------------------------------------------------------------------

std::string nearest(std::string_view name, const std::vector<std::string_view>& candidates) {
  const auto plain = [](std::string_view s) {
    std::string out(s);
    for (char& c : out) c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
  };
  const std::string a = plain(name);
  if (a.empty() || a.size() > 100) return {};
  std::size_t best = std::max<std::size_t>(1, a.size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate : candidates) {
    const std::string b = plain(candidate);
    std::vector<std::size_t> before, last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      row[0] = i;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
      }
      before = last;
      std::swap(last, row);
    }
    if (last[b.size()] < best) best = last[b.size()], found = candidate;
  }
  return std::string(found);
}

namespace {

// Splits the leading number (digits, at most one point) off `text`.
std::optional<double> take_number(std::string_view& text) {
  double v = 0;
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;  // no sign, no "inf"
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v, std::chars_format::fixed);
  if (ec != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return v;
}

}  // namespace

double parse_duration(std::string_view text, std::string_view what) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}};
  const auto no = [&](std::string_view why) {
    throw Error(Code::usage, fmt::format("{} {} {}; write a time such as 30m, 1h30m or 90s (d, h, m, s, ms)", what, in_quotes(text), why));
  };
  double seconds = 0;
  std::size_t next = 0;  // units fall: 1h30m, not 30m1h or 5m5m
  std::string_view rest = text;
  if (rest.empty()) no("is empty");
  while (!rest.empty()) {
    const auto v = take_number(rest);
    if (!v) no("is not a time");
    std::size_t letters = 0;
    while (letters < rest.size() && rest[letters] >= 'a' && rest[letters] <= 'z') ++letters;
    if (rest.empty()) no("has no unit");
    const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return u.first == rest.substr(0, letters); });
    if (unit == std::end(kUnits)) no("has an unknown unit");
    const auto rank = static_cast<std::size_t>(unit - std::begin(kUnits));
    if (rank < next) no("has units that do not fall");
    next = rank + 1;
    seconds += *v * unit->second;
    rest.remove_prefix(letters);
  }
  if (!std::isfinite(seconds)) no("is too long");
  return seconds;
}

std::int64_t parse_bytes(std::string_view text, std::string_view what) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"b", 1}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"kib", 0x1p10}, {"mib", 0x1p20}, {"gib", 0x1p30}, {"tib", 0x1p40},
  };
  const auto no = [&](std::string_view why) {
    throw Error(Code::usage, fmt::format("{} {} {}; write a size such as 6GiB, 512MiB or 4096B (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)",
                                         what, in_quotes(text), why));
  };
  std::string_view rest = text;
  if (rest.empty()) no("is empty");
  const auto v = take_number(rest);
  if (!v) no("is not a size");
  if (rest.empty()) no("has no unit");
  std::string unit(rest);
  for (char& c : unit) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto found = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return u.first == unit; });
  if (found == std::end(kUnits)) no("has an unknown unit");
  const double bytes = std::floor(*v * found->second);
  if (!(bytes < 0x1p63)) no("is too large");
  return static_cast<std::int64_t>(bytes);
}

}  // namespace graft
