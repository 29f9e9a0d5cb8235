// TensorBoard's event files: checksums of the standard, records read back by hand.
#include "engine/train/events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <sstream>

#include "tests/engine/event_file.h"
#include "tests/temp_folder.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

using test::read_file;
using test::TempFolder;

TEST(Events, Crc32cOfRfc3720) {
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i), down += static_cast<char>(31 - i);
  // the iSCSI read command of B.4, its last vector
  const unsigned char command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0x14, 0, 0, 0,   0,
                                     0,    0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0,    0, 0, 0x02};
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(up), 0x46dd794eu);
  EXPECT_EQ(crc32c(down), 0x113fdb5cu);
  EXPECT_EQ(crc32c({reinterpret_cast<const char*>(command), 48}), 0xd9963a56u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(masked(0), 0xa282ead8u);
}

TEST(Events, AreReadBack) {
  const TempFolder t;
  EventWriter w(t.path, 0);
  EXPECT_EQ(w.path().filename().string().rfind("events.out.tfevents.", 0), 0u);
  EXPECT_NE(w.path().filename().string().find("." + std::to_string(getpid()) + ".0"), std::string::npos);
  w.scalars(1, {{"train/loss", 2.5}, {"train/lr", 1e-3}});
  w.scalars((std::int64_t{1} << 40) + 3, {{"test/accuracy", 0.75}, {"train/loss", std::numeric_limits<double>::quiet_NaN()}});
  w.flush();
  const std::string file = read_file(w.path());
  const std::vector<test::Event> all = test::read_events(file);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].version, "brain.Event:2");
  EXPECT_NEAR(all[0].wall_time, static_cast<double>(std::time(nullptr)), 60);
  EXPECT_TRUE(all[1].starts);
  EXPECT_EQ(all[1].step, 1);
  EXPECT_EQ(all[2].step, 1);
  EXPECT_EQ(all[2].scalars, (std::map<std::string, float>{{"train/loss", 2.5f}, {"train/lr", 1e-3f}}));
  EXPECT_EQ(all[3].step, (std::int64_t{1} << 40) + 3);
  EXPECT_EQ(all[3].scalars.at("test/accuracy"), 0.75f);
  EXPECT_TRUE(std::isnan(all[3].scalars.at("train/loss")));
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{9}, std::size_t{20}, file.size() - 1}) {  // a bit in a length, its checksum, a record, its checksum
    std::string broken = file;
    broken[at] = static_cast<char>(broken[at] ^ 1);
    EXPECT_THROW(test::read_events(broken), std::runtime_error) << at;
  }
}

// What goes on within the same second still comes behind, by name.
TEST(Events, ALaterFileSortsBehind) {
  const TempFolder t;
  std::string last;
  for (int i = 0; i < 4; ++i) {
    EventWriter w(t.path, i * 10);
    w.flush();
    EXPECT_GT(w.path().filename().string(), last);
    last = w.path().filename().string();
    EXPECT_EQ(test::read_events(read_file(w.path())).at(1).step, i * 10 + 1);
  }
}

}  // namespace
}  // namespace graft
