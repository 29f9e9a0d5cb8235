// Augmentation: shares, ranges and means of what is drawn, exactness for any order of calls, boxes and masks that stay on their shapes;
// mixed batches; drawn sets.
#include "engine/data/augment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "engine/base/context.h"
#include "engine/data/colour.h"
#include "engine/data/drawn.h"
#include "engine/data/draws.h"
#include "engine/train/augment_config.h"
#include "engine/train/config.h"
#include "tests/data/files.h"

namespace graft {
namespace {

using test::refused;
// Every pixel another value: what comes from where can be read off. Two bands: row and column, from 1 (0 is outside).
Sample coordinates(std::int64_t h, std::int64_t w) {
  Sample s{Image::make(h, w, 2, Image::Depth::u16), {}, {}};
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x) {
      s.image.data<std::uint16_t>()[(y * w + x) * 2] = static_cast<std::uint16_t>(y + 1);
      s.image.data<std::uint16_t>()[(y * w + x) * 2 + 1] = static_cast<std::uint16_t>(x + 1);
    }
  return s;
}
int row_of(const Sample& s, std::int64_t y, std::int64_t x) { return s.image.data<std::uint16_t>()[(y * s.image.width + x) * 2] - 1; }
int column_of(const Sample& s, std::int64_t y, std::int64_t x) {
  return s.image.data<std::uint16_t>()[(y * s.image.width + x) * 2 + 1] - 1;
}
// A count of n tries at probability p lies within 5 deviations but once in 1.7 million.
void expect_share(std::int64_t count, std::int64_t n, double p) {
  EXPECT_NEAR(static_cast<double>(count), static_cast<double>(n) * p, 5 * std::sqrt(static_cast<double>(n) * p * (1 - p)))
      << count << " of " << n;
}
Augment everything() {
  Augment a;
  a.shift = 3, a.rotate = 20, a.scale = 0.2, a.crop_pad = 4, a.area = {0.3, 1}, a.flip = 0.5, a.flip_vertical = 0.5;
  a.brightness = a.contrast = a.saturation = 0.4, a.hue = 0.1, a.erase = 0.5, a.policy = "randaugment";
  return a;
}

TEST(Augment, IsAFunctionOfSeedEpochAndIndex) {
  const Augment a = everything();
  std::vector<std::vector<std::byte>> forward, backward(20);
  const auto made = [&](std::uint64_t seed, std::uint64_t epoch, std::int64_t i) {
    Sample s = draw_shape_sample(i, 3, 32);
    augment(s, a, seed, epoch, i);
    return s;
  };
  for (std::int64_t i = 0; i < 20; ++i) forward.push_back(made(1, 2, i).image.bytes);
  for (std::int64_t i = 19; i >= 0; --i) backward[static_cast<std::size_t>(i)] = made(1, 2, i).image.bytes;
  EXPECT_EQ(forward, backward);
  std::vector<std::vector<std::byte>> threads(20);
  parallel_ranges(host_queue().pool(), 20, 1, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) threads[static_cast<std::size_t>(i)] = made(1, 2, i).image.bytes;
  });
  EXPECT_EQ(forward, threads);
  for (std::int64_t i = 0; i < 20; ++i) {
    EXPECT_NE(made(2, 2, i).image.bytes, forward[static_cast<std::size_t>(i)]) << i;
    EXPECT_NE(made(1, 3, i).image.bytes, forward[static_cast<std::size_t>(i)]) << i;
  }
}

TEST(Augment, OneSwitchDoesNotMoveTheOthersNumbers) {
  Augment flips;
  flips.flip = 0.5;
  Augment more = flips;
  more.erase = 1, more.brightness = 0.5, more.mixup = 1, more.crop_pad = 0;
  for (std::int64_t i = 0; i < 50; ++i) {
    Sample a{Image::make(8, 8, 1), {Box{1, 1, 3, 3, 0}}, {}}, b = a;
    augment(a, flips, 1, 1, i);
    augment(b, more, 1, 1, i);
    EXPECT_EQ(a.boxes[0].x0, b.boxes[0].x0);
  }
}

TEST(Augment, FlipsHaveTheirShare) {
  Augment a;
  a.flip = 0.3, a.flip_vertical = 0.7;
  std::int64_t across = 0, down = 0, both = 0;
  constexpr std::int64_t n = 4000;
  for (std::int64_t i = 0; i < n; ++i) {
    Sample s = coordinates(2, 3);
    augment(s, a, 9, 4, i);
    const bool x = column_of(s, 0, 0) == 2, y = row_of(s, 0, 0) == 1;
    across += x, down += y, both += x && y;
  }
  expect_share(across, n, 0.3);
  expect_share(down, n, 0.7);
  expect_share(both, n, 0.21);
}

TEST(Augment, ShiftsAreWholeAndReachTheirEnds) {
  Augment a;
  a.shift = 2;
  std::set<std::pair<int, int>> seen;
  for (std::int64_t i = 0; i < 600; ++i) {
    Sample s = coordinates(9, 9);
    augment(s, a, 1, 0, i);
    const int dy = 4 - row_of(s, 4, 4), dx = 4 - column_of(s, 4, 4);
    seen.insert({dy, dx});
    for (int y = 0; y < 9; ++y)
      for (int x = 0; x < 9; ++x) {
        const bool inside = y - dy >= 0 && y - dy < 9 && x - dx >= 0 && x - dx < 9;
        ASSERT_EQ(row_of(s, y, x), inside ? y - dy : -1);
        ASSERT_EQ(column_of(s, y, x), inside ? x - dx : -1);
      }
  }
  EXPECT_EQ(seen.size(), 25u);
  EXPECT_EQ(*seen.begin(), (std::pair{-2, -2}));
  EXPECT_EQ(*seen.rbegin(), (std::pair{2, 2}));
}

TEST(Augment, PaddedCropsAreEvenlySpread) {
  Augment a;
  a.crop_pad = 2;
  std::map<std::pair<int, int>, std::int64_t> seen;
  constexpr std::int64_t n = 5000;
  for (std::int64_t i = 0; i < n; ++i) {
    Sample s = coordinates(7, 8);
    augment(s, a, 1, 0, i);
    ASSERT_EQ(s.image.height, 7);
    ASSERT_EQ(s.image.width, 8);
    ++seen[{row_of(s, 3, 3) - 3, column_of(s, 3, 3) - 3}];
  }
  EXPECT_EQ(seen.size(), 25u);
  for (const auto& [at, count] : seen) expect_share(count, n, 1.0 / 25);
}

TEST(Augment, RandomPartsHaveTheAreasAndRatiosAsked) {
  Augment a;
  a.area = {0.2, 0.6}, a.ratio = {0.5, 2}, a.height = 40, a.width = 30;
  double sum = 0;
  int narrow = 0, wide = 0;
  constexpr int n = 400;
  for (int i = 0; i < n; ++i) {
    Sample s{Image::make(120, 160, 1), {Box{0, 0, 160, 120, 0}, Box{80, 60, 81, 61, 1}}, Image::make(120, 160, 1)};
    augment(s, a, 5, 1, i);
    ASSERT_EQ(s.image.height, 40);
    ASSERT_EQ(s.image.width, 30);
    ASSERT_EQ(s.mask->width, 30);
    ASSERT_GE(s.boxes.size(), 1u);
    EXPECT_EQ(s.boxes[0].x1 - s.boxes[0].x0, 30);  // the box over all of it is over all of a part
    if (s.boxes.size() < 2) continue;
    // where the middle pixel was kept, its size says what was cut: 30 / w and 40 / h
    const double w = 30 / (s.boxes[1].x1 - s.boxes[1].x0), h = 40 / (s.boxes[1].y1 - s.boxes[1].y0), area = w * h / (120 * 160),
                 ratio = w / h;
    // sides are whole pixels: half a pixel each way of at least 43
    EXPECT_GT(area, 0.2 * 0.97);
    EXPECT_LT(area, 0.6 * 1.03);
    EXPECT_GT(ratio, 0.5 * 0.97);
    EXPECT_LT(ratio, 2 * 1.03);
    sum += area;
    narrow += ratio<0.8, wide += ratio> 1.25;
  }
  EXPECT_GT(narrow, n / 20);
  EXPECT_GT(wide, n / 20);
  // No part can have the ratio: the largest allowed one in the middle, 160 x 1 rows of a picture 4 high
  a.area = {1, 1}, a.ratio = {160, 160}, a.height = a.width = 0;
  Sample s = coordinates(4, 160);
  augment(s, a, 5, 1, 0);
  for (int x = 0; x < 160; ++x) ASSERT_EQ(row_of(s, 0, x), 1);
}

TEST(Augment, HolesHaveTheirShareAndSize) {
  Augment a;
  a.erase = 0.4;
  std::int64_t holes = 0;
  constexpr std::int64_t n = 2000;
  for (std::int64_t i = 0; i < n; ++i) {
    Sample s = coordinates(40, 30);
    augment(s, a, 2, 0, i);
    std::int64_t gone = 0;
    int x0 = 99, x1 = -1, y0 = 99, y1 = -1;
    for (int y = 0; y < 40; ++y)
      for (int x = 0; x < 30; ++x)
        if (row_of(s, y, x) < 0) ++gone, x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
    if (gone == 0) continue;
    ++holes;
    ASSERT_EQ(gone, (x1 - x0 + 1) * (y1 - y0 + 1));  // one rectangle
    // shares of 2 to 33 % with sides rounded to whole pixels: half a pixel of the shorter side, at least sqrt(24 / 3.3)
    EXPECT_GE(static_cast<double>(gone), 0.02 * 1200 * 0.75);
    EXPECT_LE(static_cast<double>(gone), 0.33 * 1200 * 1.1);
  }
  expect_share(holes, n, 0.4);
}

TEST(Augment, ColoursStayInTheirRangeAndComeInAnyOrder) {
  Augment a;
  a.brightness = 0.25;
  double low = 9, high = 0, sum = 0;
  constexpr int n = 2000;
  for (int i = 0; i < n; ++i) {
    Sample s{Image::make(1, 1, 1, Image::Depth::f32), {}, {}};
    s.image.data<float>()[0] = 0.5f;
    augment(s, a, 1, 0, i);
    const double factor = static_cast<double>(s.image.data<float>()[0]) / 0.5;
    low = std::min(low, factor), high = std::max(high, factor), sum += factor;
  }
  EXPECT_GE(low, 0.75 - 1e-6);
  EXPECT_LE(high, 1.25 + 1e-6);
  EXPECT_LT(low, 0.76);
  EXPECT_GT(high, 1.24);
  EXPECT_NEAR(sum / n, 1, 5 * 0.5 / std::sqrt(12.0 * n));
  Sample grey{Image::make(2, 2, 1), {}, {}};
  a.saturation = 0.5;
  refused([&] { augment(grey, a, 1, 0, 0); }, {"saturation", "1 band"});
}

TEST(Augment, BoxesAndMasksStayOnTheirShapes) {
  const Augment a = everything();
  int seen = 0;
  for (std::int64_t i = 0; i < 150; ++i) {
    Sample s = draw_shape_sample(i, 8, 64);
    augment(s, a, 1, 0, i);
    ASSERT_EQ(s.mask->height, s.image.height);
    ASSERT_EQ(s.mask->width, s.image.width);
    for (std::int64_t y = 0; y < s.image.height; ++y)
      for (std::int64_t x = 0; x < s.image.width; ++x) {
        const int label = s.mask->data<std::uint8_t>()[y * s.image.width + x];
        if (label == 0) continue;
        ++seen;
        bool covered = false;  // by a box of its class; the mask is where the middle of its nearest pixel was: within a pixel or two of a
                               // shape that was made larger
        for (const Box& b : s.boxes) {
          const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5, slack = 2.5;
          covered |= b.label == label - 1 && px > b.x0 - slack && px < b.x1 + slack && py > b.y0 - slack && py < b.y1 + slack;
        }
        if (!covered)
          ADD_FAILURE() << "picture " << i << ": class " << label - 1 << " at " << y << ", " << x << " lies in no box of its class";
        if (!covered) return;
      }
  }
  EXPECT_GT(seen, 10000);
}

TEST(Augment, OptionsThatCannotBeAreRefused) {
  const auto with = [](const std::function<void(Augment&)>& f, const char* words) {
    Augment a;
    f(a);
    refused([&] { a.check(); }, {"augment.", words});
  };
  with([](Augment& a) { a.area = {0.5}; }, "area");
  with([](Augment& a) { a.area = {0.8, 0.2}; }, "area");
  with([](Augment& a) { a.ratio = {}; }, "ratio");
  with([](Augment& a) { a.flip = 1.5; }, "flip");
  with([](Augment& a) { a.hue = 0.6; }, "hue");
  with([](Augment& a) { a.policy = "auto"; }, "randaugment");
  with([](Augment& a) { a.policy_magnitude = 31; }, "0 to 30");
  with([](Augment& a) { a.mixup = std::nan(""); }, "mixup");
  everything().check();
  EXPECT_TRUE(everything().any());
  EXPECT_FALSE(Augment{}.any());
}

TEST(Augment, ComesFromTheConfiguration) {
  Config c;
  EXPECT_FALSE(augment_of(c).any());
  for (const char* line :
       {"augment.shift=4", "augment.rotate=10", "augment.scale=0.1", "augment.crop_pad=3", "augment.area=[0.5, 1]",
        "augment.ratio=[0.9, 1.1]", "augment.flip=0.5", "augment.flip_vertical=0.25", "augment.brightness=0.1", "augment.contrast=0.2",
        "augment.saturation=0.3", "augment.hue=0.05", "augment.erase=0.6", "augment.policy=randaugment", "augment.policy_ops=3",
        "augment.policy_magnitude=12", "augment.mixup=0.2", "augment.cutmix=1"})
    c.set(line);
  c.check();
  const Augment a = augment_of(c);
  EXPECT_EQ(a.shift, 4);
  EXPECT_EQ(a.rotate, 10);
  EXPECT_EQ(a.scale, 0.1);
  EXPECT_EQ(a.crop_pad, 3);
  EXPECT_EQ(a.area, (std::vector<double>{0.5, 1}));
  EXPECT_EQ(a.ratio, (std::vector<double>{0.9, 1.1}));
  EXPECT_EQ(a.flip, 0.5);
  EXPECT_EQ(a.flip_vertical, 0.25);
  EXPECT_EQ(a.brightness, 0.1);
  EXPECT_EQ(a.contrast, 0.2);
  EXPECT_EQ(a.saturation, 0.3);
  EXPECT_EQ(a.hue, 0.05);
  EXPECT_EQ(a.erase, 0.6);
  EXPECT_EQ(a.policy, "randaugment");
  EXPECT_EQ(a.policy_ops, 3);
  EXPECT_EQ(a.policy_magnitude, 12);
  EXPECT_EQ(a.mixup, 0.2);
  EXPECT_EQ(a.cutmix, 1);
  EXPECT_TRUE(c.unread().empty());
  for (const char* line : {"augment.area=[0.5]", "augment.area=[0.9, 0.5]", "augment.area=[0, 1]", "augment.ratio=[]",
                           "augment.ratio=[2, 1]", "augment.hue=0.6", "augment.policy=auto"})
    refused([&] { Config().set(line); }, {std::string(line).substr(0, std::string(line).find('='))});
  Config unused;
  unused.set("augment.policy_ops=3");
  refused([&] { unused.check(); }, {"augment.policy_ops", "augment.policy"});
}

// ---- mixed batches ----

TEST(Beta, HasItsMoments) {
  for (const double a : {0.05, 0.2, 0.5, 1.0, 1.5, 4.0, 50.0}) {
    constexpr int n = 40000;
    double sum = 0, squares = 0, fourth = 0;
    Draws r{3, 17, 0};
    for (int i = 0; i < n; ++i) {
      const double x = draw_beta(a, r);
      ASSERT_TRUE(x >= 0 && x <= 1) << a << " " << x;
      sum += x, squares += (x - 0.5) * (x - 0.5), fourth += std::pow(x - 0.5, 4);
    }
    const double variance = 1 / (4 * (2 * a + 1)), kurtosis = 3 * (2 * a + 1) / (2 * a + 3);  // of Beta(a, a)
    EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(variance / n)) << a;
    EXPECT_NEAR(squares / n, variance, 5 * variance * std::sqrt((kurtosis - 1) / n)) << a;
    // the variance of a fourth power is at most the eighth moment, and that at most the fourth / 16, for |x - 1/2| <= 1/2
    EXPECT_NEAR(fourth / n, kurtosis * variance * variance, 5 * std::sqrt(kurtosis * variance * variance / 16 / n)) << a;
  }
}

TEST(Mix, SharesPartnersAndBoxes) {
  Augment a;
  EXPECT_FALSE(draw_mix(a, 1, 0, 0, 8, 4, 4).has_value());
  a.mixup = 0.4, a.cutmix = 1;
  std::int64_t cut = 0;
  double cut_share = 0;
  constexpr std::int64_t n = 3000;
  for (std::int64_t b = 0; b < n; ++b) {
    const Mix m = *draw_mix(a, 1, 2, b, 7, 24, 32), again = *draw_mix(a, 1, 2, b, 7, 24, 32);
    EXPECT_EQ(m.share, again.share);
    EXPECT_EQ(m.partner, again.partner);
    ASSERT_EQ(m.partner.size(), 7u);
    std::set<std::int64_t> all(m.partner.begin(), m.partner.end());
    EXPECT_EQ(all.size(), 7u);
    for (std::int64_t k = 0; k < 7; ++k) EXPECT_NE(m.partner[static_cast<std::size_t>(k)], k);
    ASSERT_TRUE(m.share >= 0 && m.share <= 1);
    if (!m.cutmix) continue;
    ++cut, cut_share += m.share;
    ASSERT_TRUE(m.x0 >= 0 && m.x0 <= m.x1 && m.x1 <= 32 && m.y0 >= 0 && m.y0 <= m.y1 && m.y1 <= 24);
    EXPECT_EQ(m.share, 1 - static_cast<double>((m.x1 - m.x0) * (m.y1 - m.y0)) / (24 * 32));
  }
  expect_share(cut, n, 0.5);
  // Boxes are cut at the edge and so smaller than drawn: their mean share is above the half that Beta(1, 1) has, by what an even middle
  // loses.
  EXPECT_GT(cut_share / static_cast<double>(cut), 0.6);
  EXPECT_LT(cut_share / static_cast<double>(cut), 0.8);
  a.cutmix = 0;
  for (std::int64_t b = 0; b < 50; ++b) EXPECT_FALSE(draw_mix(a, 1, 0, b, 2, 4, 4)->cutmix);
  EXPECT_EQ(draw_mix(a, 1, 0, 0, 1, 4, 4)->partner, (std::vector<std::int64_t>{0}));
  refused([&] { draw_mix(a, 1, 0, 0, 0, 4, 4); }, {"mix"});
}

TEST(Mix, DoesWhatItSays) {
  std::vector<float> images(3 * 2 * 4 * 5);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i);
  const auto before = images;
  const auto at = [](int k, int c, int y, int x) { return static_cast<std::size_t>(((k * 2 + c) * 4 + y) * 5 + x); };
  Mix m{true, 0.7, 1, 0, 3, 4, {2, 0, 1}};
  apply_mix(images.data(), 2, 4, 5, m);
  for (int k = 0; k < 3; ++k)
    for (int c = 0; c < 2; ++c)
      for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 5; ++x)
          EXPECT_EQ(images[at(k, c, y, x)],
                    before[at(x >= 1 && x < 3 ? static_cast<int>(m.partner[static_cast<std::size_t>(k)]) : k, c, y, x)]);
  images = before;
  m = {false, 0.75, 0, 0, 0, 0, {1, 2, 0}};
  apply_mix(images.data(), 2, 4, 5, m);
  for (int k = 0; k < 3; ++k) EXPECT_EQ(images[at(k, 1, 2, 3)], 0.75f * before[at(k, 1, 2, 3)] + 0.25f * before[at((k + 1) % 3, 1, 2, 3)]);
  m.partner = {0, 3, 1};
  refused([&] { apply_mix(images.data(), 2, 4, 5, m); }, {"other pictures"});
  m = {true, 0.5, 0, 0, 6, 4, {1, 2, 0}};
  refused([&] { apply_mix(images.data(), 2, 4, 5, m); }, {"other pictures"});
}

// ---- drawn sets ----

TEST(Shapes, AreAFunctionOfSeedAndIndex) {
  const Drawn all = draw_shapes(24, 5), few = draw_shapes(9, 5), other = draw_shapes(9, 6);
  EXPECT_EQ(all.block.shape(), (Shape{24, 3, 32, 32}));
  EXPECT_EQ(all.class_names.size(), 8u);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(all.labels[i], static_cast<std::int64_t>(i % 8));
  const auto* a = all.block.data<std::uint8_t>();
  const auto* f = few.block.data<std::uint8_t>();
  EXPECT_TRUE(std::equal(f, f + few.block.numel(), a));
  EXPECT_FALSE(std::equal(f, f + few.block.numel(), other.block.data<std::uint8_t>()));
  for (const std::int64_t size : {16, 31, 100}) EXPECT_EQ(draw_shapes(2, 1, size).block.size(3), size);
  refused([] { draw_shapes(1, 1, 15); }, {"16 to 4096"});
  refused([] { draw_shapes(0, 1); }, {"at least 1"});
  refused([] { draw_shape_sample(-1, 1); }, {"0 or more"});
}

TEST(Shapes, BoxesHugTheMask) {
  int alone = 0;
  std::set<std::int64_t> classes;
  for (std::int64_t i = 0; i < 200; ++i) {
    const Sample s = draw_shape_sample(i, 4, 96);
    ASSERT_TRUE(s.boxes.size() >= 1 && s.boxes.size() <= 4);
    for (const Box& b : s.boxes) EXPECT_TRUE(b.x0 >= 0 && b.y0 >= 0 && b.x1 <= 96 && b.y1 <= 96 && b.x0 < b.x1 && b.y0 < b.y1);
    if (s.boxes.size() > 1) continue;
    ++alone;
    const Box& b = s.boxes[0];
    classes.insert(b.label);
    double x0 = 99, y0 = 99, x1 = 0, y1 = 0;
    for (int y = 0; y < 96; ++y)
      for (int x = 0; x < 96; ++x) {
        const int label = s.mask->data<std::uint8_t>()[y * 96 + x];
        if (label == 0) continue;
        ASSERT_EQ(label, b.label + 1);
        x0 = std::min(x0, x + 0.0), x1 = std::max(x1, x + 1.0), y0 = std::min(y0, y + 0.0), y1 = std::max(y1, y + 1.0);
      }
    // A thin tip (of a star, a moon) may have no pixel's middle in it for some pixels.
    for (const double d : {x0 - b.x0, b.x1 - x1, y0 - b.y0, b.y1 - y1}) {
      EXPECT_GT(d, -1) << shape_names()[static_cast<std::size_t>(b.label)] << " " << i;
      EXPECT_LT(d, 3.5) << shape_names()[static_cast<std::size_t>(b.label)] << " " << i;
    }
  }
  EXPECT_GT(alone, 20);
  EXPECT_EQ(classes.size(), 8u);
}

TEST(Spirals, LieOnTheirArms) {
  const Drawn d = draw_spirals(300, 2, 3, 0), n = draw_spirals(300, 2, 3, 0.02);
  EXPECT_EQ(d.block.shape(), (Shape{300, 2, 1, 1}));
  EXPECT_EQ(d.class_names.size(), 3u);
  double moved = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    const double x = static_cast<double>(d.block.data<float>()[2 * i]), y = static_cast<double>(d.block.data<float>()[2 * i + 1]),
                 r = std::hypot(x, y);
    EXPECT_TRUE(r >= 0.05 - 1e-6 && r <= 1 + 1e-6);
    const double pi = 3.14159265358979,
                 angle = 3 * pi * (r - 0.05) / 0.95 + 2 * pi * static_cast<double>(d.labels[static_cast<std::size_t>(i)]) / 3;
    EXPECT_NEAR(std::remainder(std::atan2(y, x) - angle, 2 * pi), 0, 1e-4);
    moved += std::pow(x - static_cast<double>(n.block.data<float>()[2 * i]), 2) +
             std::pow(y - static_cast<double>(n.block.data<float>()[2 * i + 1]), 2);
  }
  EXPECT_NEAR(std::sqrt(moved / 600), 0.02, 5 * 0.02 / std::sqrt(2 * 600.0));
  refused([] { draw_spirals(10, 1, 1); }, {"2 to 100"});
  refused([] { draw_spirals(10, 1, 3, -1); }, {"0 or more"});
}

}  // namespace
}  // namespace graft
