// Configuration: one declared schema (schema()), values from layers, and for every value where it came from.
//
//   default < recipe < file(s), later over earlier < key=value < flag          the layer decides, not the order of the calls
//
// Every wrong input is an Error(Code::usage) of one line: `WHERE: what is wrong; the rule or the nearest name`, WHERE being FILE:LINE,
// "command line" or "flag --NAME". A call that throws leaves the Config as it was.
//
// A value that does not apply (schedule.power when schedule.name is cosine) is an error in check() when the user set it, unless the key
// that rules it out comes from a higher layer: `--config sgd.toml optim.name=adamw` drops the file's momentum, as the command line asks.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace graft {

enum class Type {
  integer,
  count,  // a whole number that may carry its unit: 5 or "5ep" (epochs), 500 or "500st" (steps)
  real,   // finite
  boolean,
  text,
  integers,
  reals,
  texts,
};
using Value =
    std::variant<std::int64_t, double, bool, std::string, std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>>;

// A number must lie between lo and hi; in a list every element must.
struct Range {
  double lo = -std::numeric_limits<double>::infinity(), hi = std::numeric_limits<double>::infinity();
  bool lo_open = false, hi_open = false;  // the bound itself is excluded
};

// Holds when the value of `key` is one of `values` (written as in TOML, strings without quotes), or, with `negate`, none of them.
struct Condition {
  std::string_view key;
  std::vector<std::string_view> values;
  bool negate = false;
};

struct Key {
  std::string_view name;  // "section.key"
  Type type;
  std::string_view standard;                   // the default, as on the right of key=value
  std::string_view doc;                        // one line
  Range range = {};                            // numbers
  std::vector<std::string_view> allowed = {};  // strings; empty: any
  std::string_view unit = {};                  // Type::count: "ep" or "st"
  std::vector<Condition> applies = {};         // the key applies when any of these holds; empty: always
};
const std::vector<Key>& schema();  // engine/train/schema.cpp
const std::vector<std::string_view>& sections();
// A default that differs by another key's value, as PyTorch's do.
struct SpecialDefault {
  std::string_view key, controller, value, standard;
};
const std::vector<SpecialDefault>& special_defaults();
std::string type_text(const Key& key);  // "a whole number of epochs, such as 5 or 5ep"
std::string rule_text(const Key& key);  // "> 0 and <= 1", "one of a, b or c"; empty where anything goes

enum class Layer { standard, recipe, file, command_line, flag };
struct Origin {
  Layer layer = Layer::standard;
  int order = 0;                  // of files: later ones win
  std::string where = "default";  // "recipe NAME", "FILE:LINE", "command line", "flag --NAME"
  static Origin command_line() { return {Layer::command_line, 0, "command line"}; }
  static Origin flag(std::string_view name) { return {Layer::flag, 0, "flag " + std::string(name)}; }  // name with its dashes
};

class Config {
 public:
  Config();                                     // the defaults
  static Config recipe(std::string_view name);  // over the defaults; unknown name: usage

  void merge_file(const std::string& path);
  void merge_text(std::string_view toml, const std::string& name);  // as a file called `name`
  // "key=value". Strings need no quotes; lists are [a,b]; a key may come once on the command line, a later flag replaces an earlier one.
  void set(std::string_view assignment, const Origin& origin = Origin::command_line());

  // T: std::int64_t, double, bool, std::string, or std::vector of the first, second and fourth. Marks the key as read. An unknown key or
  // another type is Code::bug. Values whose key does not apply are still there to read.
  template <class T>
  T get(std::string_view key) const;

  const Origin& origin(std::string_view key) const;
  std::string value_text(std::string_view key) const;  // as in TOML
  // Why the key does not apply; empty where it does.
  std::string why_unused(std::string_view key) const;

  void check() const;                            // rules between keys, and values the user set that do not apply
  std::vector<std::string> unread() const;       // keys the user set that apply and that no get() asked for
  void check_read(std::string_view verb) const;  // throws on the first of unread(): `verb` has no use for it
  // check_read() relies on marks that get() leaves; like any write they want one thread at a time.

  std::string text() const;                         // the resolved TOML, origins as comments; read again it is equal
  std::string explain() const;                      // every key: value, origin, meaning
  std::string explain(std::string_view key) const;  // one key in full; unknown key: usage

  // The same keys apply, with the same values; origins do not count.
  bool operator==(const Config& other) const;

 private:
  struct Setting {
    Value value;
    Origin origin;
    mutable bool read = false;
  };
  Value value(std::size_t i) const;
  void put(std::size_t i, Value value, const Origin& origin);
  void merge(std::string_view toml, const std::string& name, Layer layer);
  bool discarded(std::size_t i) const;  // a higher layer ruled the key out

  std::vector<Setting> settings_;  // by index in schema()
  int files_ = 0;
};

// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case and - _ count as equal) from `name`, or empty when
// none is near: more than a third of the letters, at least one, would change. Of equals the first.
std::string nearest(std::string_view name, const std::vector<std::string_view>& candidates);

// "30m", "1h30m", "1.5h", "90s", "500ms", "2d" -> seconds. `what` names the argument in the error (usage).
double parse_duration(std::string_view text, std::string_view what = "duration");
// "6GiB", "512MiB", "1.5GB", "4096B" -> bytes (kB, MB, GB, TB are powers of 1000). Errors as above.
std::int64_t parse_bytes(std::string_view text, std::string_view what = "size");

}  // namespace graft
