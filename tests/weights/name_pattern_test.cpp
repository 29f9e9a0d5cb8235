// Expressions of others' configurations: the same answers as Python's re and PEFT give (tests/golden/peft/make.py), no others, and none
// that takes long.
#include "weights/name_pattern.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/temp_folder.h"

namespace graft {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t kMuch = 1'000'000'000;

TEST(NamePattern, AnswersAsPythonDoes) {
  const Json golden = Json::parse(test::read_file(std::filesystem::path(GRAFT_SOURCE_DIR) / "tests/golden/peft/patterns.json"));
  const auto names = golden["names"].get<std::vector<std::string>>();
  int asked = 0, matched = 0, unclear = 0, refused = 0;
  for (const Json& c : golden["cases"]) {
    const std::string e = c[0];
    const auto tail = NamePattern::parse("(.*\\.)?(" + e + ")$"), whole = NamePattern::parse(e);
    // Python refuses it; or it is not in the subset: counts, a class that begins with its bracket, possessive signs.
    const bool possessive = e.find("*+") != std::string::npos || e.find("++") != std::string::npos || e.find("?+") != std::string::npos;
    if (c[1].is_null() || e == "x{1,2}" || e == "[]a]" || possessive) {
      EXPECT_FALSE(tail && whole) << e;
      ++refused;
      continue;
    }
    EXPECT_TRUE(tail && whole) << e;
    if (!tail || !whole) continue;
    for (std::size_t i = 0; i < names.size(); ++i)
      for (const auto& [pattern, is_whole, want] :
           {std::tuple{&*tail, false, c[1].get<std::string>()[i]}, {&*whole, true, c[2].get<std::string>()[i]}}) {
        std::uint64_t work = kMuch;
        const auto got = pattern->matches(names[i], is_whole, work);
        if (!got) {  // whether a letter beyond ASCII is one of \w is not known here, and said
          EXPECT_NE(names[i].find("\xc3"), std::string::npos) << e << " " << names[i];
          EXPECT_NE(e.find('\\'), std::string::npos) << e;
          ++unclear;
          continue;
        }
        EXPECT_EQ(*got, want == '1') << e << " on " << names[i] << (is_whole ? " (whole)" : "");
        ++asked, matched += *got;
      }
  }
  std::printf("%d answers, %d of them matches; %d unclear, %d expressions refused\n", asked, matched, unclear, refused);
  EXPECT_GT(asked, 5000);
  EXPECT_GT(matched, 500);
  EXPECT_LT(unclear, 300);
}

TEST(NamePattern, RefusesWhatItDoesNotFollow) {
  for (const std::string e : {"a{2}", "a{",  "}",  "(?=a)", "(?!a)b",      "(?P<x>a)",   "(?i)a", "(a)\\1", "\\bq", "\\s", "a*+", "a++",
                              "a?+",  "a**", "^*", "$+",    "[[:alpha:]]", "[\xc3\xb6]", "[\\s]", "\\",     "(",    ")",   "[a",  "(a"})
    EXPECT_FALSE(NamePattern::parse(e)) << e;
  EXPECT_FALSE(NamePattern::parse(std::string(5000, 'a')));
  EXPECT_FALSE(NamePattern::parse(std::string(100, '(') + "a" + std::string(100, ')')));
  EXPECT_TRUE(NamePattern::parse(std::string(20, '(') + "a" + std::string(20, ')')));
}

// What keeps a program that goes back and forth busy for longer than anybody waits: the steps are at most the product of both lengths.
TEST(NamePattern, TakesNoLongerThanBothLengthsTogether) {
  const std::string name(2000, 'a');
  for (const std::string e : {"(a*)*b", "(a|a)*b", "(a+)+$b", "(.*)*(.*)*(.*)*b", "((a?)*)*b", "(a*a*a*a*)*b"}) {
    const auto p = NamePattern::parse(e);
    ASSERT_TRUE(p) << e;
    std::uint64_t work = kMuch;
    EXPECT_EQ(p->matches(name, true, work), false) << e;
    EXPECT_LE(kMuch - work, (name.size() + 1) * 3 * e.size()) << e;
    work = 100;
    EXPECT_EQ(p->matches(name, true, work), std::nullopt) << "what is used up is no answer";
    EXPECT_EQ(work, 0u);
  }
}

}  // namespace
}  // namespace graft
