#include "weights/maps/rules.h"

#include <algorithm>
#include <charconv>

#include "kernels/core/error.h"

namespace graft {
namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t' || s.front() == '\r')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

std::vector<std::string> parts_of(std::string_view s, char separator) {
  std::vector<std::string> out;
  while (true) {
    const auto at = s.find(separator);
    const auto part = trimmed(s.substr(0, at));
    if (!part.empty()) out.emplace_back(part);
    if (at == std::string_view::npos) return out;
    s.remove_prefix(at + 1);
  }
}

std::optional<std::int64_t> whole(std::string_view s) {
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc{} || end != s.data() + s.size()) return {};
  return v;
}

std::size_t stars(std::string_view pattern) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i)
    if (pattern[i] == '*') ++n, i += i + 1 < pattern.size() && pattern[i + 1] == '*';
  return n;
}

// `out` has a part for each star so far, so that its size is the number of the next one. `dead[star][what is left of the name]`: tried
// before, in vain; without it, several stars and a long name would be tried in every combination.
bool fits_from(std::string_view pattern, std::string_view name, std::vector<std::string_view>& out, std::vector<std::vector<bool>>& dead) {
  while (!pattern.empty() && pattern.front() != '*') {
    if (name.empty() || name.front() != pattern.front()) return false;
    pattern.remove_prefix(1);
    name.remove_prefix(1);
  }
  if (pattern.empty()) return name.empty();
  const std::size_t star = out.size();
  if (dead.size() <= star) dead.emplace_back();
  if (dead[star].size() <= name.size()) dead[star].resize(name.size() + 1);
  if (dead[star][name.size()]) return false;
  const bool any = pattern.starts_with("**");
  pattern.remove_prefix(any ? 2 : 1);
  for (std::size_t n = 0;; ++n) {
    out.push_back(name.substr(0, n));
    if (fits_from(pattern, name.substr(n), out, dead)) return true;
    out.pop_back();
    if (n == name.size() || (!any && name[n] == '.')) break;
  }
  dead[star][name.size()] = true;
  return false;
}

class Parser {
 public:
  explicit Parser(const std::string& path) : path_(path) {}

  std::vector<WeightMap> parse(std::string_view text) {
    while (!text.empty()) {
      const auto end = text.find('\n');
      ++line_;
      auto line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (const auto hash = line.find('#'); hash != std::string_view::npos) line = line.substr(0, hash);
      if (line = trimmed(line); !line.empty()) take(line);
    }
    return std::move(maps_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(Code::usage, path_ + ":" + std::to_string(line_) + ": " + what + "; weights/maps/rules.h says what a map may say");
  }

  void take(std::string_view line) {
    const auto space = line.find_first_of(" \t");
    const auto word = line.substr(0, space);
    const auto rest = space == std::string_view::npos ? std::string_view{} : trimmed(line.substr(space));
    if (word == "name" && !rest.empty()) {
      maps_.emplace_back();
      map().name = rest;
      map().path = path_;
      return;
    }
    if (maps_.empty()) refuse("a map begins with its name: name NAME");
    if (line.find("->") != std::string_view::npos) return rule(line);
    if (rest.empty()) refuse("'" + std::string(line) + "' is no rule");
    if (word == "what") map().what = rest;
    else if (word == "type") map().types.emplace_back(rest);
    else if (word == "has") map().has.push_back(shape_pattern(rest));
    else if (word == "lacks") map().lacks.emplace_back(rest);
    else if (word == "set") map().settings.emplace_back(rest);
    else if (word == "fact") fact(rest);
    else if (word == "recipe") recipe(rest);
    else if (word == "tie") tie(rest);
    else if (word == "drop") drop(rest);
    else refuse("'" + std::string(word) + "' is no word of a map");
  }

  ShapePattern shape_pattern(std::string_view s) const {
    const auto open = s.find(" [");
    if (open == std::string_view::npos) return {std::string(s), {}};
    ShapePattern p{std::string(trimmed(s.substr(0, open))), std::vector<std::int64_t>{}};
    if (s.back() != ']') refuse("the shape has no ']'");
    for (const auto& size : parts_of(s.substr(open + 2, s.size() - open - 3), ',')) {
      const auto n = size == "*" ? std::optional<std::int64_t>(-1) : whole(size);
      if (!n) refuse("'" + size + "' is no size");
      p.shape->push_back(*n);
    }
    return p;
  }

  void fact(std::string_view s) {
    const auto equals = s.find('=');
    const auto words = equals == std::string_view::npos ? std::vector<std::string>{} : parts_of(s.substr(equals + 1), ' ');
    MapFact f{std::string(trimmed(s.substr(0, equals))), words.size() > 1 ? words[1] : std::string(), -1};
    if (words.size() == 3 && words[0] == "size" && whole(words[2])) f.axis = static_cast<int>(*whole(words[2]));
    else if (words.size() != 2 || words[0] != "count") refuse("a fact is NAME = count PATTERN or NAME = size PATTERN AXIS");
    map().facts.push_back(std::move(f));
  }

  void recipe(std::string_view s) {
    const auto words = parts_of(s, ' ');
    MapRecipe r{words[0], {}};
    for (std::size_t i = 1; i < words.size(); ++i) {
      const auto equals = words[i].find('=');
      const auto value = equals == std::string::npos ? std::nullopt : whole(std::string_view(words[i]).substr(equals + 1));
      if (!value) refuse("'" + words[i] + "' is not FACT=NUMBER");
      r.facts[words[i].substr(0, equals)] = *value;
    }
    map().recipes.push_back(std::move(r));
  }

  void tie(std::string_view s) {
    const auto sides = parts_of(s, '=');
    if (sides.size() != 2 || stars(sides[0]) > stars(sides[1])) refuse("a tie is: tie NEW = NAME");
    map().rules.push_back({MapRule::Kind::tie, {sides[1]}, {sides[0]}, {}, 0, {}, line_});
  }

  void drop(std::string_view s) {
    const auto colon = s.find(" : ");
    if (colon == std::string_view::npos) refuse("a drop says why: drop PATTERN : reason");
    map().rules.push_back(
        {MapRule::Kind::drop, {std::string(trimmed(s.substr(0, colon)))}, {}, {}, 0, std::string(trimmed(s.substr(colon + 3))), line_});
  }

  void rule(std::string_view s) {
    using Kind = MapRule::Kind;
    const auto arrow = s.find("->"), colon = s.find(" : ", arrow);
    MapRule r;
    r.line = line_;
    r.from = parts_of(s.substr(0, arrow), ',');
    r.to = parts_of(s.substr(arrow + 2, colon == std::string_view::npos ? colon : colon - arrow - 2), ',');
    if (r.from.empty() || r.to.empty()) refuse("a rule names tensors on both sides of ->");
    if (colon != std::string_view::npos) {
      const auto words = parts_of(s.substr(colon + 3), ' ');
      if (words.empty()) refuse("nothing stands after the colon");
      const auto& op = words[0];
      for (std::size_t i = 1; i < words.size(); ++i) {
        const auto n = whole(words[i]);
        if (!n && op != "add") refuse("'" + words[i] + "' is no whole number");
        r.numbers.push_back(n.value_or(0));
      }
      if (op == "transpose") r.kind = Kind::permute, r.numbers = {1, 0};
      else if (op == "permute") r.kind = Kind::permute;
      else if (op == "split") r.kind = Kind::split;
      else if (op == "cat") r.kind = Kind::cat;
      else if (op == "blocks") r.kind = Kind::blocks;
      else if (op == "reshape") r.kind = Kind::reshape;
      else if (op == "add") r.kind = Kind::add;
      else refuse("'" + op + "' is nothing that a rule does");
      if (r.kind == Kind::add) {
        char* end = nullptr;
        if (words.size() != 2 || (r.value = std::strtod(words[1].c_str(), &end), *end != 0)) refuse("add takes one number");
        r.numbers.clear();
      }
      if ((r.kind == Kind::split || r.kind == Kind::cat) && (r.numbers.size() != 1 || r.numbers[0] < 0)) refuse(op + " takes one axis");
      std::vector<std::int64_t> order(r.numbers);
      if (r.kind == Kind::blocks && !order.empty()) order.erase(order.begin());
      if (r.kind == Kind::blocks || r.kind == Kind::permute) {
        std::sort(order.begin(), order.end());
        for (std::size_t i = 0; i < order.size(); ++i)
          if (order[i] != static_cast<std::int64_t>(i)) refuse(op + ": an order names each of 0, 1, ... once");
        if (order.empty() || (r.kind == Kind::blocks && r.numbers[0] < 0)) refuse(op + ": names no order");
      }
      if (r.kind == Kind::reshape && (r.numbers.empty() || std::count(r.numbers.begin(), r.numbers.end(), -1) > 1))
        refuse("reshape takes sizes, one of which may be -1");
    }
    if ((r.kind == Kind::split) != (r.to.size() > 1)) refuse("a split, and nothing else, has several names on the right");
    if ((r.kind == Kind::cat) != (r.from.size() > 1)) refuse("a cat, and nothing else, has several names on the left");
    for (const auto& f : r.from)
      if (stars(f) != stars(r.from[0])) refuse("the names on the left have different numbers of stars");
    for (const auto& t : r.to)
      if (stars(t) != stars(r.from[0])) refuse("'" + t + "' has other stars than the left side");
    map().rules.push_back(std::move(r));
  }

  WeightMap& map() { return maps_.back(); }
  const std::string& path_;
  std::vector<WeightMap> maps_;
  int line_ = 0;
};

}  // namespace

std::vector<WeightMap> parse_maps(std::string_view text, const std::string& path) { return Parser(path).parse(text); }

std::optional<std::vector<std::string>> fits(std::string_view pattern, std::string_view name) {
  // Nearly all names that do not fit are told by their end, and a checkpoint has thousands of names for each of some hundred patterns.
  const auto last = pattern.rfind('*');
  if (last == std::string_view::npos) return pattern == name ? std::optional(std::vector<std::string>{}) : std::nullopt;
  if (!name.ends_with(pattern.substr(last + 1))) return {};
  std::vector<std::string_view> parts;
  std::vector<std::vector<bool>> dead;
  if (!fits_from(pattern, name, parts, dead)) return {};
  return std::vector<std::string>(parts.begin(), parts.end());
}

std::string filled(std::string_view pattern, const std::vector<std::string>& parts) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '*') {
      out += pattern[i];
      continue;
    }
    i += i + 1 < pattern.size() && pattern[i + 1] == '*';
    if (next < parts.size()) out += parts[next];
    ++next;
  }
  return out;
}

}  // namespace graft
