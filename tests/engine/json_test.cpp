// JSON as files bring it: order, what is no JSON, and files that want to be slow or deep.
#include "engine/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

namespace graft {
namespace {

std::string object_of(int keys) {
  std::string s = "{";
  for (int i = 0; i < keys; ++i) s += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  return s + "}";
}

TEST(Json, KeysKeepTheirOrderWhereItIsAskedFor) {
  const std::string text = R"({"b":1,"a":[true,null,{"z":"x","c":2.5}]})";
  EXPECT_EQ(json_text(read_json_in_order(text), -1), text);
  EXPECT_EQ(read_json(text).dump(), R"({"a":[true,null,{"c":2.5,"z":"x"}],"b":1})");
}

TEST(Json, WhatIsNoJsonIsDiscarded) {
  for (const char* text : {"", "{", "{\"a\":1,}", "[1 2]", "nan", "{'a':1}", "1 1"}) {
    EXPECT_TRUE(read_json(text).is_discarded()) << text;
    EXPECT_TRUE(read_json_in_order(text).is_discarded()) << text;
  }
}

TEST(Json, AnObjectOfTooManyKeysIsDiscardedWhereTheyAreLookedForOneByOne) {
  EXPECT_EQ(read_json_in_order(object_of(50'000)).size(), 50'000u);
  EXPECT_TRUE(read_json_in_order(object_of(50'001)).is_discarded());
  EXPECT_TRUE(read_json_in_order("{\"a\":[" + object_of(50'001) + "],\"b\":1}").is_discarded());
  EXPECT_EQ(read_json(object_of(300'000)).size(), 300'000u);  // sorted: any number
}

TEST(Json, WhatNestsTooDeepIsDiscardedWhereItIsWrittenAgain) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(json_text(read_json_in_order(nested(100)), -1), nested(100));
  EXPECT_TRUE(read_json_in_order(nested(101)).is_discarded());
  EXPECT_TRUE(read_json_in_order(nested(1'000'000)).is_discarded());
}

TEST(Json, BytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(json_string("a\"\xff\n"), "\"a\\\"\xef\xbf\xbd\\n\"");
  EXPECT_EQ(json_ascii("\xc3\xa9", -1), "\"\\u00e9\"");
}

TEST(Json, NumbersComeBackAsTheyWere) {
  for (const double v : {0.1, -0.0, 1.0, 1e300, 5e-324, 1.0 / 3, std::numeric_limits<double>::max()}) {
    const double again = std::strtod(json_number(v).c_str(), nullptr);
    EXPECT_EQ(again, v);
    EXPECT_EQ(std::signbit(again), std::signbit(v));
  }
}

}  // namespace
}  // namespace graft
