// Resize against Pillow's own answers (tests/golden/resize, made by make.py there with Pillow 13), bit for bit: every filter and depth, up,
// down, odd sizes, one pixel, parts of a picture with fractions. And what must hold for any size.
#include "engine/data/resize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "kernels/core/error.h"
#include "tests/data/files.h"

namespace graft {
namespace {

// make.py has the same lines.
std::uint32_t noise(std::uint64_t i) {
  std::uint32_t x = static_cast<std::uint32_t>(i * 2654435761u + 12345);
  x ^= x >> 15;
  x *= 2246822519u;
  return x ^ x >> 13;
}
Image picture(Image::Depth depth, std::int64_t h, std::int64_t w, std::int64_t bands) {
  Image image = Image::make(h, w, bands, depth);
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    const std::uint32_t x = noise(static_cast<std::uint64_t>(i));
    if (depth == Image::Depth::u8) {
      const std::uint32_t v = x & 255;
      image.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(x % 3 ? v : v < 128 ? 0 : 255);
    } else if (depth == Image::Depth::u16) {
      const std::uint32_t v = x & 65535;
      image.data<std::uint16_t>()[i] = static_cast<std::uint16_t>(x % 3 ? v : v < 32768 ? 0 : 65535);
    } else {
      image.data<float>()[i] = static_cast<float>(x >> 8) * 0x1p-24f;
    }
  }
  return image;
}

TEST(Resize, HasPillowsBits) {
  std::map<std::pair<int, int>, int> ran;  // (depth, filter) -> cases
  struct Head {
    std::int32_t depth, bands, h, w, nh, nw, filter;
    float box[4];
  } head;
  static_assert(sizeof head == 44);
  int failures = 0;
  for (const char* file : {"u8", "u16", "f32"}) {
    std::ifstream f(std::string(GRAFT_SOURCE_DIR "/tests/golden/resize/") + file + ".bin", std::ios::binary);
    ASSERT_TRUE(f) << file;
    while (f.read(reinterpret_cast<char*>(&head), sizeof head)) {
      const auto depth = static_cast<Image::Depth>(head.depth);
      const Image image = picture(depth, head.h, head.w, head.bands);
      const Image got =
          resize(image, head.nh, head.nw, static_cast<Filter>(head.filter), Box{head.box[0], head.box[1], head.box[2], head.box[3], 0});
      ASSERT_EQ(got.height, head.nh);
      ASSERT_EQ(got.width, head.nw);
      ASSERT_EQ(got.bands, head.bands);
      std::vector<char> want(got.bytes.size());
      ASSERT_TRUE(f.read(want.data(), static_cast<std::streamsize>(want.size())));
      ++ran[{head.depth, head.filter}];
      if (std::memcmp(want.data(), got.bytes.data(), want.size()) == 0) continue;
      const std::size_t element = static_cast<std::size_t>(Image::size_of(depth));
      std::size_t differ = 0;
      for (std::size_t i = 0; i < want.size(); i += element) differ += std::memcmp(want.data() + i, got.bytes.data() + i, element) != 0;
      ADD_FAILURE() << "depth " << head.depth << " bands " << head.bands << " filter " << head.filter << ": " << head.h << " x " << head.w
                    << " part " << head.box[0] << "," << head.box[1] << "," << head.box[2] << "," << head.box[3] << " to " << head.nh
                    << " x " << head.nw << ": " << differ << " of " << want.size() / element << " values differ";
      if (++failures == 8) return;
    }
  }
  EXPECT_EQ(ran.size(), 3u * 6u);
  for (const auto& [what, count] : ran) EXPECT_GE(count, 16) << what.first << " " << what.second;
}

TEST(Resize, AConstantPictureStaysConstant) {
  for (const auto depth : {Image::Depth::u8, Image::Depth::u16, Image::Depth::f32})
    for (const auto filter : {Filter::nearest, Filter::box, Filter::bilinear, Filter::hamming, Filter::bicubic, Filter::lanczos})
      for (const std::int64_t bands : {1, 2, 3, 5}) {
        Image image = Image::make(17, 13, bands, depth);
        with_depth(depth, [&](auto zero) {
          using T = decltype(zero);
          const T value = depth == Image::Depth::f32 ? static_cast<T>(0.75) : static_cast<T>(image.white() * 0.75);
          std::fill(image.data<T>(), image.data<T>() + image.numel(), value);
          for (const auto& [h, w] : {std::pair{5, 40}, {40, 5}, {1, 1}, {17, 13}}) {
            const Image got = resize(image, h, w, filter);
            // f32: weights are divided by their sum, so what is left is the rounding of some 50 terms in double, below half an ulp of
            // float: it may show as one.
            for (std::int64_t i = 0; i < got.numel(); ++i)
              ASSERT_NEAR(static_cast<double>(got.data<T>()[i]), static_cast<double>(value), depth == Image::Depth::f32 ? 0x1p-24 : 0)
                  << static_cast<int>(filter) << " " << h << " x " << w;
          }
        });
      }
}

TEST(Resize, TheSameSizeIsTheSamePicture) {
  for (const auto depth : {Image::Depth::u8, Image::Depth::u16, Image::Depth::f32})
    EXPECT_EQ(resize(picture(depth, 9, 7, 3), 9, 7, Filter::lanczos).bytes, picture(depth, 9, 7, 3).bytes);
}

TEST(Resize, WhatCannotBeIsRefused) {
  const Image image = picture(Image::Depth::u8, 4, 6, 3);
  test::refused([&] { resize(image, 0, 3); }, {"0 x 3"});
  test::refused([&] { resize(image, 3, -1); }, {"at least 1"});
  test::refused([&] { resize(image, 3, 3, Filter::box, Box{0, 0, 7, 4, 0}); }, {"must lie inside"});
  test::refused([&] { resize(image, 3, 3, Filter::box, Box{-1, 0, 5, 4, 0}); }, {"must lie inside"});
  test::refused([&] { resize(image, 3, 3, Filter::box, Box{2, 2, 2, 4, 0}); }, {"not be empty"});
  test::refused([&] { resize(image, 3, 3, Filter::box, Box{0.0 / 0.0 * 1, 0, 2, 4, 0}); }, {"must lie inside"});
}

}  // namespace
}  // namespace graft
