// Regular expressions as they stand in the configurations of others (PEFT's alpha_pattern, rank_pattern, target_modules), read as data: a
// subset of Python's `re` that a set of states can follow, so that no pattern of a file makes a reader go back and forth. In it are
// literals, `.`, classes such as [0-9], \d, \w, escaped punctuation, groups, `|`, `*`, `+`, `?`, their lazy forms, `^` and
// `$`. Whether such an expression matches at all is the same question with and without backtracking.
#pragma once
#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace graft {

class NamePattern {
 public:
  // Nothing for what is outside the subset: counts {m,n}, look-around, references, flags, \b and the like, too long or too deep ones, and
  // what Python refuses.
  static std::optional<NamePattern> parse(std::string_view text);

  // Python's re.fullmatch (`whole`) or re.match with the expression: a match from the first character, to the last or to any. `work` is
  // what may still be spent, in steps; each call takes its own off, at most the name's length times the pattern's. Nothing where work is
  // used up, or where it depends on which characters beyond ASCII are digits or letters.
  std::optional<bool> matches(std::string_view name, bool whole, std::uint64_t& work) const;

 private:
  friend class PatternReader;
  struct Step {
    enum class Kind : std::uint8_t { character, any, set, either, jump, first, last } kind;
    char32_t character = 0;     // of `character`
    std::int32_t to = 0;        // of `jump`, and the second way of `either`, from this step
    std::bitset<128> set = {};  // of `set`: ASCII; others are in where `others` is
    bool others = false;
    bool unclear = false;  // of `set`: \d or \w, which have members beyond ASCII
  };
  std::vector<Step> steps_;
};

}  // namespace graft
