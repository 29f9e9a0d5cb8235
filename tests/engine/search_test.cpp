// Searching configurations: points inside their space, the same for the same question, better than chance where there is something to
// learn; promotions that can be worked out by hand; and a learning-rate finder whose suggestion trains.
#include "engine/train/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "engine/train/asha.h"
#include "engine/train/lr_finder.h"
#include "kernels/core/error.h"
#include "models/zoo.h"

namespace graft {
namespace {

constexpr double kFailed = -std::numeric_limits<double>::infinity();
const double kNoSay = std::nan("");

Space space() {
  return {{"optim.lr", Dimension::Kind::real, 1e-5, 1, true},
          {"model.dropout", Dimension::Kind::real, 0, 0.9},
          {"optim.name", Dimension::Kind::choice, 0, 0, false, 3},
          {"model.hidden", Dimension::Kind::whole, 8, 512, true},
          {"augment.shift", Dimension::Kind::whole, 0, 4}};
}
// What a validation accuracy looks like over it: one good rate, one better optimiser, the rest matters little. At most 0.
double score(const Point& p) {
  const double lr = std::log10(p[0]) + 2.5, dropout = p[1] - 0.2, hidden = std::log2(p[3]) - 7;
  return -lr * lr - 4 * dropout * dropout - 0.1 * hidden * hidden - (p[2] == 1 ? 0 : 0.5);
}
std::vector<Observation> tpe_run(std::uint64_t seed, int trials) {
  std::vector<Observation> h;
  for (int i = 0; i < trials; ++i) {
    Point p = tpe_point(space(), h, seed, static_cast<std::uint64_t>(i));
    h.push_back({p, score(p)});
  }
  return h;
}
double best(const std::vector<Observation>& h) {
  double b = kFailed;
  for (const Observation& o : h) b = std::max(b, o.score);
  return b;
}
void expect_inside(const Point& p) {
  const Space s = space();
  ASSERT_EQ(p.size(), s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool choice = s[i].kind == Dimension::Kind::choice;
    EXPECT_GE(p[i], s[i].lo) << s[i].name;
    EXPECT_LE(p[i], choice ? static_cast<double>(s[i].choices - 1) : s[i].hi) << s[i].name;
    if (s[i].kind != Dimension::Kind::real) { EXPECT_EQ(p[i], std::floor(p[i])) << s[i].name; }
  }
}

TEST(Search, PointsLieInTheirSpaceAndReachItsEnds) {
  std::set<double> shifts, optimizers;
  int low = 0, high = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const Point p = random_point(space(), 7, i);
    expect_inside(p);
    shifts.insert(p[4]), optimizers.insert(p[2]);
    low += p[0]<1e-4, high += p[0]> 0.1;
  }
  EXPECT_EQ(shifts.size(), 5u);
  EXPECT_EQ(optimizers.size(), 3u);
  // a decade of five holds a fifth of 400: 80 with a deviation of 8
  EXPECT_NEAR(low, 80, 32);
  EXPECT_NEAR(high, 80, 32);
  for (const Observation& o : tpe_run(3, 80)) expect_inside(o.at);
}

TEST(Search, IsAFunctionOfSeedNumberAndHistory) {
  const auto a = tpe_run(5, 40), b = tpe_run(5, 40), other = tpe_run(6, 40);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].at, b[i].at) << i;
  EXPECT_NE(a[0].at, other[0].at);
  EXPECT_NE(random_point(space(), 5, 0), random_point(space(), 5, 1));
  EXPECT_EQ(a[3].at, random_point(space(), 5, 3)) << "the first ones are random";
  EXPECT_NE(a[30].at, random_point(space(), 5, 30));
}

// Measured: after 60 trials random search is 0.28 below the best there is, TPE 0.13, a difference of 0.15 with a standard error of 0.05
// over the 30 seeds. Half of it is asked for.
TEST(Search, TpeIsBetterThanChance) {
  double gain = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    double chance = kFailed;
    for (std::uint64_t i = 0; i < 60; ++i) chance = std::max(chance, score(random_point(space(), seed + 1000, i)));
    gain += (best(tpe_run(seed, 60)) - chance) / 30;
  }
  EXPECT_GT(gain, 0.075);
}

// Two fifths of the range fail (rates above 0.01; the best one is 0.003): TPE must go there less than chance does, and must live with a
// history in which nothing worked or a key never applied.
TEST(Search, TpeAvoidsWhatFails) {
  int failed_late = 0;
  std::vector<Observation> h;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    h.clear();
    for (std::uint64_t i = 0; i < 60; ++i) {
      Point p = tpe_point(space(), h, seed, i);
      const bool fails = p[0] > 1e-2;
      failed_late += fails && i >= 30;
      h.push_back({p, fails ? kFailed : score(p)});
    }
  }
  EXPECT_LT(failed_late, 80) << "of 300; chance gives 120 with a deviation of 8.5";
  for (Observation& o : h) o.score = kFailed, o.at[1] = kNoSay;
  expect_inside(tpe_point(space(), h, 11, 60));
}

TEST(Search, RefusesASpaceThatIsNone) {
  const auto refused = [](Space s) {
    try {
      check(s);
    } catch (const Error& e) { return e.code() == Code::usage; }
    return false;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({{"a", Dimension::Kind::real, 1, 1}}));
  EXPECT_TRUE(refused({{"a", Dimension::Kind::real, 0, std::nan("")}}));
  EXPECT_TRUE(refused({{"a", Dimension::Kind::real, 0, 1, true}}));
  EXPECT_TRUE(refused({{"a", Dimension::Kind::whole, 0.5, 3}}));
  EXPECT_TRUE(refused({{"a", Dimension::Kind::choice, 0, 0, false, 1}}));
  EXPECT_FALSE(refused(space()));
}

// Nine configurations, eta 3.
TEST(Asha, PromotesAsWorkedOutByHand) {
  EXPECT_EQ(asha_rungs(1, 9, 3), (std::vector<std::int64_t>{1, 3, 9}));
  EXPECT_EQ(asha_rungs(30, 300, 3), (std::vector<std::int64_t>{33, 100, 300}));
  EXPECT_EQ(asha_rungs(300, 300, 4), (std::vector<std::int64_t>{300}));
  EXPECT_THROW(asha_rungs(10, 9, 3), Error);
  EXPECT_THROW(asha_rungs(1, 9, 1), Error);

  const std::vector<double> first = {0.5, 0.7, 0.6, 0.8, 0.1, 0.2, 0.9, 0.3, 0.4};  // on rung 0
  const std::vector<double> second = {0, 0.75, 0, 0.72, 0, 0, 0.95, 0, 0};          // on rung 1
  std::vector<RungScore> done;
  std::vector<std::vector<std::int64_t>> begun(3);
  std::vector<std::pair<std::int64_t, std::int64_t>> order;
  std::int64_t next = 0;
  for (;;) {
    const auto p = asha_promotion(done, begun, 3);
    if (!p && next == 9) break;
    const std::int64_t who = p ? p->configuration : next++, rung = p ? p->rung : 0;
    begun[static_cast<std::size_t>(rung)].push_back(who);
    order.emplace_back(who, rung);
    const auto i = static_cast<std::size_t>(who);
    done.push_back({who, rung, rung == 0 ? first[i] : rung == 1 ? second[i] : 1.0});
  }
  // 0 1 2: the best third of three is 1. With 3 the best of four is 3. With 4 and 5 the best two of six are 3 and 1, both up. With 6 the
  // best two of seven are 6 and 3, so 6 goes up; then rung 1 holds 1, 3 and 6, the best of which is 6. With 7 and 8 the best three of nine
  // are 6, 3 and 1, all up.
  const std::vector<std::pair<std::int64_t, std::int64_t>> wanted = {{0, 0}, {1, 0}, {2, 0}, {1, 1}, {3, 0}, {3, 1}, {4, 0},
                                                                     {5, 0}, {6, 0}, {6, 1}, {6, 2}, {7, 0}, {8, 0}};
  EXPECT_EQ(order, wanted);
}

TEST(Asha, WhatFailedNeverGoesOnAndTheSmallerNumberWinsATie) {
  const std::vector<RungScore> failed = {{0, 0, kFailed}, {1, 0, kFailed}, {2, 0, kFailed}};
  EXPECT_FALSE(asha_promotion(failed, {{0, 1, 2}, {}}, 3));
  const std::vector<RungScore> tied = {{2, 0, 0.5}, {0, 0, 0.5}, {1, 0, 0.5}};
  ASSERT_TRUE(asha_promotion(tied, {{0, 1, 2}, {}}, 3));
  EXPECT_EQ(asha_promotion(tied, {{0, 1, 2}, {}}, 3)->configuration, 0);
  EXPECT_FALSE(asha_promotion(tied, {{0, 1, 2}, {0}}, 3)) << "it is up there already";
}

// A valley whose shape is known: flat, a straight fall over two decades from 1e-4, then up.
TEST(LrFinder, ReadsACurve) {
  std::vector<double> lr, loss;
  for (int i = 0; i < 121; ++i) {
    const double x = -6 + 6.0 * i / 120;  // log10 of the rate
    lr.push_back(std::pow(10, x));
    loss.push_back(x < -4 ? 2.3 : x < -2 ? 2.3 - (x + 4) : 0.3 + 4 * (x + 2));
  }
  const LrCurve c = lr_curve(lr, loss);
  ASSERT_TRUE(c.suggestion);
  EXPECT_GT(c.suggestion->lr, 1e-4);
  EXPECT_LT(c.suggestion->lr, 1e-2);
  EXPECT_GT(c.suggestion->low, 1e-4);
  EXPECT_LT(c.suggestion->low, 2.5e-4) << "a tenth of the fall is a fifth of a decade";
  EXPECT_NEAR(std::log10(c.suggestion->high), -2, 0.25);
  for (int i = 0; i < 121; ++i) loss[static_cast<std::size_t>(i)] = 2.3 + 0.05 * std::sin(12.9898 * i * i);
  EXPECT_FALSE(lr_curve(lr, loss).suggestion) << "a loss that goes nowhere suggests nothing";
  EXPECT_THROW(lr_curve({1, 2}, {1, 2}), Error);
}

TEST(LrFinder, ItsSuggestionTrainsAndThirtyTimesItDoesNot) {
  Config c = Config::recipe("digits-cnn");
  for (const char* s :
       {"data.train_count=1200", "data.test_count=300", "model.name=mlp", "model.hidden=48", "train.steps=120", "train.batch=32",
        "schedule.warmup=0", "schedule.name=constant", "optim.name=sgd", "optim.momentum=0.9", "eval.every=1000"})
    c.set(s);
  const Dataset train_set = draw_glyphs("digits", 1200, 2), test_set = draw_glyphs("digits", 300, 3);
  const auto built = [&](auto&& use) {
    Params params = Params::init(1);
    const Model model = make_model(c, params);
    return use(*model.module, params);
  };
  LrFinderOptions wide;
  wide.high = 1000;
  const LrCurve curve = built([&](const Module& m, Params& p) { return find_lr(m, p, c, train_set, wide); });
  ASSERT_TRUE(curve.suggestion);
  EXPECT_TRUE(curve.exploded);
  EXPECT_LT(curve.lr.back(), 1000) << "it does not go on after the explosion";
  EXPECT_LT(curve.suggestion->low, curve.suggestion->high);
  const auto accuracy = [&](double lr) {
    Config at = c;
    at.set("optim.lr=" + std::to_string(lr), Origin::flag("--lr"));
    try {
      return built([&](const Module& m, Params& p) { return train(m, p, at, train_set, test_set, {}).accuracy; });
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::diverged) << e.what();
      return 0.0;
    }
  };
  const double good = accuracy(curve.suggestion->lr), much = accuracy(30 * curve.suggestion->lr);
  RecordProperty("suggestion", std::to_string(curve.suggestion->lr));
  EXPECT_GT(good, 0.5) << "at " << curve.suggestion->lr;  // ten classes: chance is 0.1
  EXPECT_LT(much, good - 0.1) << "at 30 times " << curve.suggestion->lr;
  const LrCurve again = built([&](const Module& m, Params& p) { return find_lr(m, p, c, train_set, wide); });
  EXPECT_EQ(again.loss, curve.loss);
}

}  // namespace
}  // namespace graft
