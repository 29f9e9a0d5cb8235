// The verdict of a comparison: intervals cover what they say they cover, on data whose answer is known.
#include "engine/train/bootstrap.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/core/error.h"

namespace graft {
namespace {

std::vector<std::vector<std::int8_t>> drawn(std::mt19937& random, std::size_t seeds, std::size_t n, double gains, double losses,
                                            double seed_spread = 0) {
  std::vector<std::vector<std::int8_t>> all(seeds);
  for (auto& row : all) {
    const double shift = seed_spread * std::normal_distribution<>()(random);
    for (std::size_t i = 0; i < n; ++i) {
      const double u = std::uniform_real_distribution<>()(random);
      row.push_back(static_cast<std::int8_t>(u < gains + shift ? 1 : u > 1 - losses ? -1 : 0));
    }
  }
  return all;
}

TEST(Bootstrap, NothingThatDiffersIsNoEvidence) {
  const Interval i = paired_bootstrap({std::vector<std::int8_t>(200, 0), std::vector<std::int8_t>(200, 0)});
  EXPECT_EQ(i.mean, 0);
  EXPECT_EQ(i.low, 0);
  EXPECT_EQ(i.high, 0);
  EXPECT_EQ(i.verdict(), "no evidence");
}

TEST(Bootstrap, IsAFunctionOfItsArguments) {
  std::mt19937 random(3);
  const auto d = drawn(random, 3, 500, 0.1, 0.05);
  const Interval a = paired_bootstrap(d), b = paired_bootstrap(d), other = paired_bootstrap(d, 0.95, 2000, 2);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(a.low, other.low);
  EXPECT_LT(a.low, a.mean);
  EXPECT_GT(a.high, a.mean);
  auto mirrored = d;
  for (auto& row : mirrored)
    for (auto& v : row) v = static_cast<std::int8_t>(-v);
  EXPECT_EQ(paired_bootstrap(mirrored).mean, -a.mean);
}

TEST(Bootstrap, SaysBetterAndWorseWhereItIsSo) {
  std::mt19937 random(4);
  EXPECT_EQ(paired_bootstrap(drawn(random, 3, 1000, 0.2, 0.05)).verdict(), "better");
  EXPECT_EQ(paired_bootstrap(drawn(random, 3, 1000, 0.05, 0.2)).verdict(), "worse");
  EXPECT_EQ(paired_bootstrap(drawn(random, 3, 1000, 0.1, 0.1, 0.2)).verdict(), "no evidence") << "the seeds differ more than the arms";
}

// Of 300 experiments without a difference some 5 in 100 may seem to show one. Two seeds and few samples, as people have them.
TEST(Bootstrap, CoversTheTruth) {
  std::mt19937 random(5);
  int covered = 0;
  const int experiments = 300;
  for (int e = 0; e < experiments; ++e) {
    const Interval i = paired_bootstrap(drawn(random, 2, 300, 0.15, 0.1), 0.95, 500, static_cast<std::uint64_t>(e));
    covered += i.low <= 0.05 && 0.05 <= i.high;
  }
  EXPECT_GE(covered, experiments * 92 / 100);
}

TEST(Bootstrap, RefusesWhatIsNotPaired) {
  EXPECT_THROW(paired_bootstrap({}), Error);
  EXPECT_THROW(paired_bootstrap({{1, 0}, {1}}), Error);
}

}  // namespace
}  // namespace graft
