#include "weights/name_pattern.h"

#include <string>
#include <utility>

namespace graft {
namespace {

constexpr std::size_t kLongest = 4096;
constexpr int kDeepest = 32;

// Code points; a byte that is no UTF-8 stands for itself, above all of them.
std::u32string code_points(std::string_view s) {
  std::u32string out;
  for (std::size_t i = 0; i < s.size();) {
    const auto at = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
    const unsigned char c = at(i);
    const std::size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    bool good = c < 0x80 || (c >= 0xc2 && c <= 0xf4 && i + n <= s.size());
    char32_t v = n == 1 ? c : c & (0x7fu >> n);
    for (std::size_t k = 1; good && k < n; ++k) {
      good = (at(i + k) & 0xc0) == 0x80;
      v = v << 6 | (at(i + k) & 0x3f);
    }
    out += good ? v : 0x110000u + c;
    i += good ? n : 1;
  }
  return out;
}

}  // namespace

// Recursive descent; a part is its steps, with jumps counted from themselves, so that parts can be put one after another.
class PatternReader {
 public:
  using Step = NamePattern::Step;
  using Steps = std::vector<Step>;
  using Kind = Step::Kind;
  explicit PatternReader(std::u32string text) : text_(std::move(text)) {}

  std::optional<Steps> read() {
    auto steps = choice(0);
    if (!steps || at_ != text_.size()) return {};
    return steps;
  }

 private:
  bool more() const { return at_ < text_.size(); }
  char32_t peek() const { return more() ? text_[at_] : 0; }
  bool take(char32_t c) { return more() && text_[at_] == c && (++at_, true); }
  static std::int32_t length(const Steps& s) { return static_cast<std::int32_t>(s.size()); }
  static Step way(Kind kind, std::int32_t to) {
    Step s{kind};
    s.to = to;
    return s;
  }
  static bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  std::optional<Steps> choice(int depth) {
    if (depth > kDeepest) return {};
    std::vector<Steps> ways;
    do {
      auto one = sequence(depth);
      if (!one) return {};
      ways.push_back(std::move(*one));
    } while (take('|'));
    Steps out;
    std::vector<std::size_t> to_end;  // the jumps behind each way but the last
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const bool last = i + 1 == ways.size();
      if (!last) out.push_back(way(Kind::either, length(ways[i]) + 2));
      out.insert(out.end(), ways[i].begin(), ways[i].end());
      if (!last) to_end.push_back(out.size()), out.push_back(way(Kind::jump, 0));
    }
    for (const std::size_t at : to_end) out[at].to = length(out) - static_cast<std::int32_t>(at);
    return out;
  }

  std::optional<Steps> sequence(int depth) {
    Steps out;
    while (more() && peek() != '|' && peek() != ')') {
      const bool anchor = peek() == '^' || peek() == '$';
      auto one = atom(depth);
      if (!one || !repeat(*one, anchor)) return {};
      out.insert(out.end(), one->begin(), one->end());
    }
    return out;
  }

  bool repeat(Steps& one, bool anchor) {
    const char32_t sign = peek();
    if (sign == '{') return false;
    if (sign != '*' && sign != '+' && sign != '?') return true;
    if (anchor) return false;
    ++at_;
    take('?');                                                                                       // the lazy form matches the same names
    if (more() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{')) return false;  // a second sign, or a possessive one
    const std::int32_t n = length(one);
    if (sign == '+') {
      one.push_back(way(Kind::either, -n));
      return true;
    }
    one.insert(one.begin(), way(Kind::either, n + (sign == '*' ? 2 : 1)));
    if (sign == '*') one.push_back(way(Kind::jump, -n - 1));
    return true;
  }

  std::optional<Steps> atom(int depth) {
    const char32_t c = text_[at_++];
    if (c == '(') {
      if (take('?') && !take(':')) return {};
      auto inner = choice(depth + 1);
      if (!inner || !take(')')) return {};
      return inner;
    }
    if (c == '*' || c == '+' || c == '?' || c == '{' || c == '}' || c == ']') return {};
    if (c == '.') return Steps{Step{Kind::any}};
    if (c == '^') return Steps{Step{Kind::first}};
    if (c == '$') return Steps{Step{Kind::last}};
    if (c == '[') return bracket();
    Step s{Kind::character};
    s.character = c;
    if (c == '\\' && !escaped(s)) return {};
    return Steps{s};
  }

  // What follows a backslash: a class or one character of ASCII's punctuation.
  bool escaped(Step& s) {
    if (!more()) return false;
    const char32_t c = text_[at_++];
    if (c == 'd' || c == 'w') {
      s.kind = Kind::set;
      s.unclear = true;
      for (char32_t k = 0; k < 128; ++k)
        if (is_digit(k) || (c == 'w' && (is_letter(k) || k == '_'))) s.set.set(k);
      return true;
    }
    s.character = c;
    return c > ' ' && c < 127 && !is_digit(c) && !is_letter(c);
  }

  std::optional<Steps> bracket() {
    Step out{Kind::set};
    const bool negated = take('^');
    bool any = false;
    while (more() && peek() != ']') {
      Step low{Kind::character};
      if (!member(low)) return {};
      any = true;
      if (low.kind == Kind::set) {
        if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') return {};
        out.set |= low.set;
        out.unclear = true;
        continue;
      }
      Step high = low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        if (!member(high) || high.kind == Kind::set || high.character < low.character) return {};
      }
      for (char32_t k = low.character; k <= high.character; ++k) out.set.set(k);
    }
    if (!any || !take(']')) return {};
    if (negated) out.set.flip(), out.others = true;
    return Steps{out};
  }
  bool member(Step& s) {
    if (!more()) return false;
    s.character = text_[at_++];
    if (s.character == '\\') return escaped(s);
    return s.character < 128 && s.character != '[' && s.character != ']';
  }

  std::u32string text_;
  std::size_t at_ = 0;
};

std::optional<NamePattern> NamePattern::parse(std::string_view text) {
  if (text.size() > kLongest) return {};
  auto steps = PatternReader(code_points(text)).read();
  if (!steps) return {};
  NamePattern p;
  p.steps_ = std::move(*steps);
  return p;
}

std::optional<bool> NamePattern::matches(std::string_view name, bool whole, std::uint64_t& work) const {
  const std::u32string text = code_points(name);
  const std::size_t end = steps_.size();
  std::vector<std::size_t> now, next, open;   // states before this character and before the next; states whose ways on are to be followed
  std::vector<std::size_t> seen(end + 1, 0);  // the last character, from 1, before which a state was reached
  const auto spend = [&](std::size_t n) { return n <= work ? (work -= n, true) : (work = 0, false); };
  next.push_back(0);
  for (std::size_t at = 0; at <= text.size(); ++at) {
    now.clear();
    open.swap(next);
    next.clear();
    while (!open.empty()) {  // all that is reached without a character
      const std::size_t s = open.back();
      open.pop_back();
      if (seen[s] == at + 1) continue;
      seen[s] = at + 1;
      if (!spend(1)) return {};
      if (s == end) {
        if (!whole || at == text.size()) return true;
        continue;
      }
      const Step& step = steps_[s];
      const auto there = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(s) + step.to);
      switch (step.kind) {
        case Step::Kind::jump: open.push_back(there); break;
        case Step::Kind::either: open.push_back(s + 1), open.push_back(there); break;
        case Step::Kind::first:
          if (at == 0) open.push_back(s + 1);
          break;
        case Step::Kind::last:  // Python's: also before a line feed that ends the text
          if (at == text.size() || (at + 1 == text.size() && text[at] == '\n')) open.push_back(s + 1);
          break;
        default: now.push_back(s);
      }
    }
    if (at == text.size() || now.empty()) break;
    const char32_t c = text[at];
    for (const std::size_t s : now) {
      const Step& step = steps_[s];
      bool fits = false;
      switch (step.kind) {
        case Step::Kind::character: fits = c == step.character; break;
        case Step::Kind::any: fits = c != '\n'; break;
        default:
          if (c >= 128 && step.unclear) return {};
          fits = c < 128 ? step.set.test(c) : step.others;
      }
      if (fits) next.push_back(s + 1);
    }
  }
  return false;
}

}  // namespace graft
