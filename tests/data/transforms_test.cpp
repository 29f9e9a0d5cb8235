// Transforms: colours and RandAugment's operations against torchvision's answers (tests/golden/colour, made by make.py there with 0.29),
// and boxes and masks that must stay on what they mark through every geometric change.
#include "engine/data/transforms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>

#include "engine/data/colour.h"
#include "engine/data/policy.h"
#include "kernels/core/error.h"
#include "kernels/core/philox.h"
#include "tests/data/files.h"

namespace graft {
namespace {

using test::refused;
Image noise(std::int64_t h, std::int64_t w, std::int64_t bands, Image::Depth depth, std::uint64_t seed = 1) {
  Image image = Image::make(h, w, bands, depth);
  with_depth(depth, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t i = 0; i < image.numel(); ++i) {
      const auto v = philox(seed, 5, static_cast<std::uint64_t>(i))[0];
      image.data<T>()[i] = std::is_same_v<T, float> ? static_cast<T>(unit_float(v)) : static_cast<T>(v);
    }
  });
  return image;
}
constexpr Image::Depth kDepths[] = {Image::Depth::u8, Image::Depth::u16, Image::Depth::f32};

// ---- colours ----

void colour(Image& image, int op, double p) {
  switch (op) {
    case 0: return brightness(image, p);
    case 1: return contrast(image, p);
    case 2: return saturation(image, p);
    case 3: return hue(image, p);
    case 4: return grayscale(image);
    case 5: return invert(image);
    case 6: return posterize(image, static_cast<int>(p));
    case 7: return solarize(image, p);
    case 8: return equalize(image);
    case 9: return autocontrast(image);
    default: return sharpness(image, p);
  }
}

TEST(Colour, HasTorchvisionsBits) {
  std::ifstream f(GRAFT_SOURCE_DIR "/tests/golden/colour/colour.bin", std::ios::binary);
  ASSERT_TRUE(f);
  std::int32_t head[5];
  double p = 0;
  std::vector<int> ran(11, 0);
  Image picture;
  while (f.read(reinterpret_cast<char*>(head), sizeof head) && f.read(reinterpret_cast<char*>(&p), sizeof p)) {
    Image want = Image::make(head[3], head[4], head[2], static_cast<Image::Depth>(head[1]));
    ASSERT_TRUE(f.read(reinterpret_cast<char*>(want.bytes.data()), static_cast<std::streamsize>(want.bytes.size())));
    if (head[0] < 0) {
      picture = want;
      continue;
    }
    Image image = picture;
    colour(image, head[0], p);
    ++ran[static_cast<std::size_t>(head[0])];
    if (head[1] == 0) {
      std::int64_t differ = 0;
      for (std::size_t i = 0; i < want.bytes.size(); ++i) differ += want.bytes[i] != image.bytes[i];
      EXPECT_EQ(differ, 0) << "operation " << head[0] << " with " << p << " on " << head[3] << " x " << head[4] << " x " << head[2];
    } else {
      // Values in [0, 1], each a chain of fewer than 16 roundings in float in both; sums of the mean and of 3 x 3 are made in another order
      // there.
      for (std::int64_t i = 0; i < want.numel(); ++i)
        ASSERT_NEAR(image.data<float>()[i], want.data<float>()[i], 16 * 0x1p-24) << "operation " << head[0] << " with " << p << " at " << i;
    }
  }
  for (std::size_t i = 0; i < ran.size(); ++i) EXPECT_GE(ran[i], 3) << i;
}

TEST(Colour, SixteenBitsAreEightWithMoreSteps) {
  // A picture of 8 bits spread over 16 (257 v) has the same answer, up to what cutting the fraction off at 8 bits took away: one step of 8
  // bits for each cut.
  for (int op = 0; op < 11; ++op) {
    if (op == 8) continue;  // equalize counts levels: another table, see below
    const double p = op == 3 ? 0.2 : op == 6 ? 3 : op == 7 ? 128 : 1.4;
    Image small = noise(12, 9, 3, Image::Depth::u8), large = Image::make(12, 9, 3, Image::Depth::u16);
    for (std::int64_t i = 0; i < small.numel(); ++i)
      large.data<std::uint16_t>()[i] = static_cast<std::uint16_t>(257 * small.data<std::uint8_t>()[i]);
    colour(small, op, p);
    colour(large, op, op == 7 ? p * 257 : p);
    for (std::int64_t i = 0; i < small.numel(); ++i)
      ASSERT_NEAR(static_cast<double>(large.data<std::uint16_t>()[i]) / 257, static_cast<double>(small.data<std::uint8_t>()[i]), 2.01)
          << op << " at " << i;
  }
}

TEST(Colour, EqualizeSpreadsLevelsOfAnyDepth) {
  for (const auto depth : {Image::Depth::u16, Image::Depth::f32})
    with_depth(depth, [&](auto zero) {
      using T = decltype(zero);
      Image image = Image::make(1, 5, 1, depth);
      const T values[5] = {static_cast<T>(1), static_cast<T>(0), static_cast<T>(1), static_cast<T>(0), static_cast<T>(1)};
      std::copy(values, values + 5, image.data<T>());
      equalize(image);  // two of two values lie below the highest: white; none below the lowest: black
      for (int i = 0; i < 5; ++i) EXPECT_EQ(static_cast<double>(image.data<T>()[i]), values[i] == 0 ? 0 : image.white());
      Image flat = Image::make(3, 3, 2, depth), before = flat;
      equalize(flat);
      EXPECT_EQ(flat.bytes, before.bytes);
    });
  Image holed = noise(4, 4, 1, Image::Depth::f32);
  holed.data<float>()[5] = std::nanf("");
  equalize(holed);
  EXPECT_TRUE(std::isnan(holed.data<float>()[5]));
  std::set<float> levels(holed.data<float>(), holed.data<float>() + 5);
  levels.insert(holed.data<float>() + 6, holed.data<float>() + 16);
  EXPECT_EQ(levels.size(), 15u);  // fifteen values, all different: fifteen levels from 0 to 1
  EXPECT_EQ(*levels.begin(), 0);
  EXPECT_EQ(*levels.rbegin(), 1);
}

TEST(Colour, WhatNeedsThreeBandsSaysSo) {
  for (const std::int64_t bands : {1, 2, 4}) {
    Image image = noise(3, 3, bands, Image::Depth::u8);
    const std::string found = std::to_string(bands) + (bands == 1 ? " band;" : " bands;");
    refused([&] { saturation(image, 0.5); }, {"saturation", found, "red, green and blue"});
    refused([&] { hue(image, 0.1); }, {"hue", found});
    refused([&] { grayscale(image); }, {"grayscale", found});
    brightness(image, 0.5), contrast(image, 2), invert(image), posterize(image, 2), solarize(image, 9), equalize(image),
        autocontrast(image), sharpness(image, 2);
  }
  Image image = noise(3, 3, 3, Image::Depth::u8);
  refused([&] { brightness(image, -0.1); }, {"brightness", "0 or more"});
  refused([&] { sharpness(image, std::nan("")); }, {"sharpness"});
  refused([&] { hue(image, 0.51); }, {"between -0.5 and 0.5"});
  refused([&] { posterize(image, 0); }, {"1 to 8"});
  refused([&] { posterize(image, 9); }, {"1 to 8"});
}

TEST(Policy, OperationsAreTorchvisions) {
  std::ifstream f(GRAFT_SOURCE_DIR "/tests/golden/colour/policy.bin", std::ios::binary);
  ASSERT_TRUE(f);
  std::int32_t sides[2], head[3];
  ASSERT_TRUE(f.read(reinterpret_cast<char*>(sides), sizeof sides));
  Image picture = Image::make(sides[0], sides[1], 3), want = picture;
  ASSERT_TRUE(f.read(reinterpret_cast<char*>(picture.bytes.data()), static_cast<std::streamsize>(picture.bytes.size())));
  int ran = 0;
  while (f.read(reinterpret_cast<char*>(head), sizeof head)) {
    ASSERT_TRUE(f.read(reinterpret_cast<char*>(want.bytes.data()), static_cast<std::streamsize>(want.bytes.size())));
    Sample s{picture, {}, {}};
    apply_policy_op(s, static_cast<PolicyOp>(head[0]), head[1], head[2] != 0);
    std::int64_t differ = 0;
    for (std::size_t i = 0; i < want.bytes.size(); i += 3) differ += std::memcmp(want.bytes.data() + i, s.image.bytes.data() + i, 3) != 0;
    EXPECT_EQ(differ, 0) << name_of(static_cast<PolicyOp>(head[0])) << " " << head[1] << (head[2] ? " negative" : "");
    ++ran;
  }
  EXPECT_EQ(ran, 3 * (14 + 9));
}

// ---- geometry ----

// A bright rectangle on black, in the picture, the mask (class 7) and a box; the picture is large, so that a change may lose some of it.
Sample marked(std::int64_t h, std::int64_t w, std::int64_t y0, std::int64_t x0, std::int64_t y1, std::int64_t x1, Image::Depth depth,
              std::int64_t bands) {
  Sample s{Image::make(h, w, bands, depth),
           {Box{static_cast<double>(x0), static_cast<double>(y0), static_cast<double>(x1), static_cast<double>(y1), 3}},
           Image::make(h, w, 1)};
  const double white = s.image.white();
  erase(s.image, y0, x0, y1 - y0, x1 - x0, white);
  erase(*s.mask, y0, x0, y1 - y0, x1 - x0, 7);
  return s;
}
double value(const Image& i, std::int64_t y, std::int64_t x, std::int64_t b = 0) {
  return with_depth(i.depth, [&](auto zero) { return static_cast<double>(i.data<decltype(zero)>()[(y * i.width + x) * i.bands + b]); });
}
// The box must hug the mask: no marked pixel lies outside it, and each of its sides has a marked pixel within `slack` pixels. The picture
// is white where the mask is (away from soft edges) and black where it is not.
void expect_aligned(const Sample& s, double slack, const std::string& what) {
  ASSERT_TRUE(s.mask.has_value());
  ASSERT_EQ(s.mask->height, s.image.height) << what;
  ASSERT_EQ(s.mask->width, s.image.width) << what;
  double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
  std::int64_t agree = 0, edge = 0;
  for (std::int64_t y = 0; y < s.image.height; ++y)
    for (std::int64_t x = 0; x < s.image.width; ++x) {
      const bool in = value(*s.mask, y, x) == 7;
      ASSERT_TRUE(in || value(*s.mask, y, x) == 0) << what << ": a class that was never there";
      for (std::int64_t b = 0; b < s.image.bands; ++b) {
        const bool bright = value(s.image, y, x, b) > s.image.white() / 2;
        bright == in ? ++agree : ++edge;
      }
      if (!in) continue;
      x0 = std::min(x0, static_cast<double>(x)), x1 = std::max(x1, static_cast<double>(x + 1));
      y0 = std::min(y0, static_cast<double>(y)), y1 = std::max(y1, static_cast<double>(y + 1));
    }
  if (s.boxes.empty()) {
    EXPECT_LT(x1 - x0, slack + 1) << what << ": the box is gone but the mask is not";
    return;
  }
  ASSERT_EQ(s.boxes.size(), 1u);
  const Box& b = s.boxes[0];
  EXPECT_EQ(b.label, 3);
  EXPECT_TRUE(b.x0 >= 0 && b.y0 >= 0 && b.x1 <= static_cast<double>(s.image.width) && b.y1 <= static_cast<double>(s.image.height)) << what;
  EXPECT_NEAR(b.x0, x0, slack) << what;
  EXPECT_NEAR(b.y0, y0, slack) << what;
  EXPECT_NEAR(b.x1, x1, slack) << what;
  EXPECT_NEAR(b.y1, y1, slack) << what;
  // Bilinear and nearest part only where the map puts the half of a pixel: at the outline.
  EXPECT_LE(edge, slack == 0 ? 0 : (agree + edge) / 50) << what;
}

TEST(Geometry, WholePixelMovesKeepEverythingInStep) {
  for (const auto depth : kDepths)
    for (const std::int64_t bands : {1, 3, 5}) {
      const auto with = [&](const std::string& name, const std::function<void(Sample&)>& f, bool gone = false) {
        Sample s = marked(31, 40, 6, 9, 17, 30, depth, bands);
        f(s);
        expect_aligned(s, 0, name);
        EXPECT_EQ(s.boxes.empty(), gone) << name;
      };
      with("crop", [](Sample& s) { crop(s, 4, 12, 20, 25); });
      with(
          "crop away", [](Sample& s) { crop(s, 17, 0, 14, 40); }, true);
      with("pad", [](Sample& s) { pad(s, 3, 1, 0, 7); });
      with("center_crop", [](Sample& s) { center_crop(s, 21, 12); });
      with("center_crop outwards", [](Sample& s) { center_crop(s, 50, 13); });
      with("flip_horizontal", flip_horizontal);
      with("flip_vertical", flip_vertical);
      for (const int q : {-3, -1, 0, 1, 2, 3, 4, 5}) with("rotate90 " + std::to_string(q), [q](Sample& s) { rotate90(s, q); });
      with("shift", [](Sample& s) { affine(s, {.shift_x = -13, .shift_y = 5}); });
      with("nothing", [](Sample& s) { affine(s, {}); });
    }
}

TEST(Geometry, AnyMapKeepsEverythingInStep) {
  for (std::uint64_t i = 0; i < 90; ++i) {
    const auto r = philox(11, 1, i), q = philox(11, 2, i);
    const auto spread = [](std::uint32_t v) { return 2 * static_cast<double>(unit_float(v)) - 1; };
    const Affine map{.rotate = 180 * spread(r[0]),
                     .scale = 1 + 0.4 * spread(r[1]),
                     .shift_x = 30 * spread(r[2]),
                     .shift_y = 30 * spread(r[3]),
                     .shear_x = 25 * spread(q[0]),
                     .shear_y = 25 * spread(q[1])};
    Sample s = marked(160, 200, 60, 70, 110, 140, kDepths[i % 3], 1 + static_cast<std::int64_t>(i % 3));
    // A box cut at the edge need not hug what is left of a turned rectangle, so the test is made on a grown picture, and what is cut must
    // be its middle.
    Sample whole = s;
    affine(whole, map, i % 2 ? Sampling::bilinear : Sampling::nearest);
    Sample grown = s;
    pad(grown, 120, 120, 120, 120);
    affine(grown, map, i % 2 ? Sampling::bilinear : Sampling::nearest);
    // nearest samples at pixel centres: an acute corner of a sheared rectangle may have a pixel or two without a centre
    expect_aligned(grown, 2.5, "map " + std::to_string(i));
    crop(grown, 120, 120, 160, 200);
    EXPECT_EQ(grown.mask->bytes, whole.mask->bytes) << i;
    ASSERT_EQ(grown.boxes.size(), whole.boxes.size()) << i;
    if (whole.boxes.empty()) continue;
    EXPECT_NEAR(grown.boxes[0].x0, whole.boxes[0].x0, 1e-9) << i;
    EXPECT_NEAR(grown.boxes[0].y1, whole.boxes[0].y1, 1e-9) << i;
  }
}

TEST(Geometry, ResizeKeepsEverythingInStep) {
  for (const auto& [h, w] : {std::pair{320, 100}, {80, 400}, {161, 199}, {40, 50}}) {
    Sample s = marked(160, 200, 60, 70, 110, 140, Image::Depth::u8, 3);
    resize(s, h, w, Filter::bilinear);
    expect_aligned(s, 1, std::to_string(h) + " x " + std::to_string(w));
  }
}

TEST(Geometry, AQuarterTurnIsAQuarterTurn) {
  for (const auto depth : kDepths)
    for (const int quarters : {1, 2, 3}) {
      Sample a{noise(15, 15, 3, depth), {Box{1, 2, 5, 9, 1}}, noise(15, 15, 1, Image::Depth::u8, 2)}, b = a;
      rotate90(a, quarters);
      affine(b, {.rotate = -90.0 * quarters}, Sampling::nearest);
      EXPECT_EQ(a.image.bytes, b.image.bytes);
      EXPECT_EQ(a.mask->bytes, b.mask->bytes);
      EXPECT_NEAR(a.boxes[0].x0, b.boxes[0].x0, 1e-12);
      EXPECT_NEAR(a.boxes[0].y1, b.boxes[0].y1, 1e-12);
      rotate90(a, 4 - quarters);
      EXPECT_EQ(a.image.bytes, noise(15, 15, 3, depth).bytes);
    }
}

TEST(Geometry, BoxesWithTooLittleLeftAreDropped) {
  Sample s{Image::make(10, 10, 1), {Box{0, 0, 4, 10, 1}, Box{2, 0, 6, 10, 2}, Box{8, 0, 10, 10, 3}}, {}};
  Sample a = s;
  crop(a, 0, 4, 10, 6);
  ASSERT_EQ(a.boxes.size(), 2u);  // nothing of the first is left
  EXPECT_EQ(a.boxes[0].label, 2);
  EXPECT_EQ(a.boxes[0].x0, 0);
  EXPECT_EQ(a.boxes[0].x1, 2);
  a = s;
  crop(a, 0, 4, 10, 6, 0.5);
  EXPECT_EQ(a.boxes.size(), 2u);  // half is enough
  a = s;
  crop(a, 0, 4, 10, 6, 0.51);
  ASSERT_EQ(a.boxes.size(), 1u);
  EXPECT_EQ(a.boxes[0].label, 3);
}

TEST(Geometry, OutsideIsWhatWasAsked) {
  for (const auto depth : kDepths) {
    Sample s{noise(4, 5, 2, depth), {}, Image::make(4, 5, 1)};
    const double grey = depth == Image::Depth::f32 ? 0.5 : 100;
    Sample p = s;
    pad(p, 1, 0, 0, 0, {grey, 9});
    EXPECT_EQ(value(p.image, 2, 0, 1), grey);
    EXPECT_EQ(value(*p.mask, 2, 0), 9);
    EXPECT_EQ(value(p.image, 2, 1, 1), value(s.image, 2, 0, 1));
    Sample far = s;
    affine(far, {.shift_x = 100}, Sampling::bilinear, {grey, 9});
    for (std::int64_t y = 0; y < 4; ++y)
      for (std::int64_t x = 0; x < 5; ++x) {
        EXPECT_EQ(value(far.image, y, x, 0), grey);
        EXPECT_EQ(value(*far.mask, y, x), 9);
      }
    Sample half = s;  // between pixel and outside: the mean
    affine(half, {.shift_x = 0.5}, Sampling::bilinear, {grey, 0});
    EXPECT_NEAR(value(half.image, 1, 0, 0), (grey + value(s.image, 1, 0, 0)) / 2, depth == Image::Depth::f32 ? 1e-7 : 0.51);
  }
}

TEST(Geometry, WhatCannotBeIsRefused) {
  Sample s = marked(10, 12, 2, 2, 5, 5, Image::Depth::u8, 3);
  const Sample before = s;
  refused([&] { crop(s, 0, 0, 11, 12); }, {"crop", "10 x 12", "pad first"});
  refused([&] { crop(s, -1, 0, 5, 5); }, {"must lie inside"});
  refused([&] { crop(s, 5, 5, 0, 5); }, {"must lie inside"});
  refused([&] { crop(s, 9223372036854775807, 0, 5, 5); }, {"must lie inside"});
  refused([&] { pad(s, -1, 0, 0, 0); }, {"pad", "negative"});
  refused([&] { center_crop(s, 0, 4); }, {"at least 1"});
  refused([&] { resize(s, 0, 4); }, {"at least 1"});
  refused([&] { affine(s, {.scale = 0}); }, {"scale above 0"});
  refused([&] { affine(s, {.rotate = std::nan("")}); }, {"finite"});
  refused([&] { affine(s, {.shear_x = 90}); }, {"between -90 and 90"});
  EXPECT_EQ(s.image.bytes, before.image.bytes);
  EXPECT_EQ(s.boxes.size(), 1u);
  s.mask = Image::make(3, 3, 1);
  refused([&] { flip_horizontal(s); }, {"mask is 3 x 3", "the picture's size"});
}

}  // namespace
}  // namespace graft
