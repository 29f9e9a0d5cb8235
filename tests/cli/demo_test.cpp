// The demo as a user sees it: it says what it did, with intervals, and leaves one page that needs no network.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "process.h"

namespace graft::test {
namespace {
using Json = nlohmann::json;

TEST(Demo, AnInterruptEndsItInALine) {
  TempFolder t;
  const Outcome o = interrupted(t.path, "TERM", "demo -q -o d");
  EXPECT_EQ(o.code, 143) << o.err;
  EXPECT_TRUE(std::regex_match(
      o.err,
      std::regex(
          "graft: stopped within a training of (the digits' network on 8000|[a-z]+ on 260) images; nothing is kept: run it again\n")))
      << o.err;
  EXPECT_FALSE(std::filesystem::exists(t.path / "d"));
}

TEST(Demo, EndsWithOnePage) {
  TempFolder t;
  const Outcome o = run(t.path, "demo --json -q -o d");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out);
  EXPECT_GT(j["digits"]["accuracy"], 0.85);
  ASSERT_EQ(j["letters"].size(), 3u);
  for (const Json& arm : j["letters"]) {
    EXPECT_EQ(arm["images"], 260);
    if (arm["arm"] == "scratch") continue;
    EXPECT_LT(arm["gain"]["low"], arm["gain"]["high"]);
    if (arm["arm"] == "full") { EXPECT_EQ(arm["gain"]["verdict"], "better") << arm; }
  }
  EXPECT_GT(j["kernels"]["rows"].size(), 5u);
  const std::string page = read_file(t.path / "d/report.html");
  for (const char* wanted : {"<svg", "data:image/png;base64,", "matmul/", "better"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  for (const char* unwanted : {"http", "<script", "@import"}) EXPECT_EQ(page.find(unwanted), std::string::npos) << unwanted;
}

}  // namespace
}  // namespace graft::test
