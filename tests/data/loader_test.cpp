// Batches: the same stream for any number of workers and from any place, one size and number of bands, mixing, and errors that name the
// picture.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>

#include "engine/base/context.h"
#include "engine/data/drawn.h"
#include "engine/data/feed.h"
#include "tests/data/files.h"

namespace graft {
namespace {

// Pictures that differ in size, depth and bands; number 13 cannot be read where `broken`.
class Odd : public ImageSource {
 public:
  explicit Odd(bool broken = false) : broken_(broken) {}
  std::int64_t size() const override { return 40; }
  Image read(std::int64_t i) const override {
    if (broken_ && i == 13) throw Error(Code::input, where(i) + ": is damaged");
    Image image = Image::make(3 + i % 5, 4 + i % 3, i % 4 == 3 ? 4 : i % 2 ? 1 : 3, i % 3 ? Image::Depth::u8 : Image::Depth::u16);
    with_depth(image.depth, [&](auto zero) {
      using T = decltype(zero);
      for (std::int64_t k = 0; k < image.numel(); ++k)
        image.data<T>()[k] = static_cast<T>(image.white() * static_cast<double>((i * 7 + k) % 11) / 10);
    });
    return image;
  }
  std::string where(std::int64_t i) const override { return "odd/" + std::to_string(i) + ".png"; }

 private:
  bool broken_;
};
Dataset odd(bool broken = false) {
  LabelledImages all;
  all.source = std::make_shared<Odd>(broken);
  for (std::int64_t i = 0; i < 40; ++i) all.labels.push_back(i % 4);
  all.class_names = {"a", "b", "c", "d"};
  return make_dataset("odd", std::move(all));
}
LoaderOptions options(std::int64_t batch = 7) {
  LoaderOptions o;
  o.batch = batch, o.seed = 5, o.shuffle = true;
  o.format.height = o.format.width = 6, o.format.bands = 3;
  o.format.mean = {0.4, 0.5, 0.6}, o.format.deviation = {0.2, 0.25, 0.3};
  o.augment.crop_pad = 1, o.augment.flip = 0.5, o.augment.brightness = 0.3, o.augment.policy = "randaugment", o.augment.mixup = 0.4,
  o.augment.cutmix = 1;
  return o;
}
using test::refused;
void expect_equal(const Batch& a, const Batch& b, const std::string& what) {
  ASSERT_EQ(a.images.shape(), b.images.shape()) << what;
  EXPECT_EQ(std::memcmp(a.images.raw(), b.images.raw(), static_cast<std::size_t>(a.images.bytes())), 0) << what;
  EXPECT_EQ(a.labels.values(), b.labels.values()) << what;
  ASSERT_EQ(a.partners.defined(), b.partners.defined());
  if (a.partners.defined()) {
    EXPECT_EQ(a.partners.values(), b.partners.values()) << what;
    EXPECT_EQ(a.share.values(), b.share.values()) << what;
  }
}

TEST(Batches, AreTheSameForAnyNumberOfWorkersAndFromAnyPlace) {
  const Dataset set = odd();
  const Loader loader(set, options());
  ASSERT_EQ(loader.batches(), 6);
  Queue one(1);
  std::vector<Batch> want;
  {
    UseQueue use(one);
    for (std::int64_t place = 0; place < 18; ++place) want.push_back(loader.get(place / 6, place % 6));
  }
  for (const int workers : {0, 1, 2, 8})
    for (const std::int64_t from : {0, 4, 11}) {
      Feed feed(loader, current_queue(), workers, 18);
      for (std::int64_t place = from; place < 18; ++place)
        expect_equal(feed.get(place / 6, place % 6), want[static_cast<std::size_t>(place)],
                     std::to_string(workers) + " workers, place " + std::to_string(place) + " from " + std::to_string(from));
      expect_equal(feed.get(0, 2), want[2], "gone back");  // a run that was rolled back
      expect_equal(feed.get(0, 3), want[3], "and on");
    }
}

TEST(Batches, APictureThatCannotBeReadIsNamedOnceAndTheNextOnesAreThere) {
  const Dataset set = odd(true);
  LoaderOptions o = options();
  o.shuffle = false;
  const Loader loader(set, o);
  for (const int workers : {0, 2}) {
    Feed feed(loader, current_queue(), workers, 100);
    feed.get(0, 0);
    EXPECT_EQ(refused(Code::input, [&] { feed.get(0, 1); }), "odd/13.png: is damaged") << workers;
    EXPECT_EQ(feed.get(0, 2).labels.numel(), 7) << workers;
  }
}

TEST(Batches, PicturesOfDifferentSizeSayWhatToSet) {
  const Dataset set = odd();
  LoaderOptions o = options(40);
  o.augment = {};
  o.format.height = o.format.width = o.format.bands = 0;
  o.format.mean = {0}, o.format.deviation = {1};
  const std::string said = refused(Code::input, [&] { Loader(set, o).get(0, 0); });
  EXPECT_NE(said.find("set data.size and data.bands to bring them to one"), std::string::npos) << said;
  o.format.mean = {0, 0};
  EXPECT_NE(refused(Code::usage, [&] { Loader(set, o); }).find("data.normalize holds 2 means"), std::string::npos);
}

TEST(Format, WhiteIsOneInEveryDepthAndFitsAsItSays) {
  for (const auto depth : {Image::Depth::u8, Image::Depth::u16, Image::Depth::f32}) {
    Image image = Image::make(2, 4, 1, depth);
    with_depth(depth, [&](auto zero) {
      using T = decltype(zero);
      for (std::int64_t i = 0; i < 8; ++i) image.data<T>()[i] = static_cast<T>(image.white());
    });
    InputFormat f;
    f.height = f.width = 4, f.bands = 3;
    f.mean = {0.5}, f.deviation = {0.25};
    std::vector<float> out(48);
    f.fit = InputFormat::Fit::crop;
    normalize(formatted(image, f, "x"), f, out.data());
    for (const float v : out) EXPECT_EQ(v, 2.0f);
    f.fit = InputFormat::Fit::pad;  // one row of black above and below the two rows
    const Image padded = formatted(image, f, "x");
    normalize(padded, f, out.data());
    for (std::int64_t y = 0; y < 4; ++y) EXPECT_EQ(out[static_cast<std::size_t>(y * 4)], y == 1 || y == 2 ? 2.0f : -2.0f) << y;
  }
  // Pillow: Image.new("RGB", (1, 1), (10, 200, 30)).convert("L") is 124
  Image rgb = Image::make(1, 1, 3);
  rgb.data<std::uint8_t>()[0] = 10, rgb.data<std::uint8_t>()[1] = 200, rgb.data<std::uint8_t>()[2] = 30;
  InputFormat gray;
  gray.bands = 1;
  EXPECT_EQ(formatted(rgb, gray, "x").data<std::uint8_t>()[0], 124);
  EXPECT_NE(refused(Code::input, [&] { formatted(Image::make(1, 1, 5), gray, "five.tif"); }).find("five.tif: has 5 bands"),
            std::string::npos);
}

TEST(Sets, LabelsOutOfRangeNameThePicture) {
  LabelledImages all;
  all.source = std::make_shared<Odd>();
  all.labels.assign(40, 0);
  all.labels[17] = 4;
  all.class_names = {"a", "b", "c", "d"};
  EXPECT_EQ(refused(Code::input, [&] { make_dataset("odd", std::move(all)); }), "odd/17.png: label 4 is not one of the 4 classes, 0 to 3");
}

// The plan of an epoch of a million pictures: a permutation, without one of them being read.
TEST(Batches, AMillionPicturesArePlannedWithoutReadingThem) {
  class Many : public ImageSource {
   public:
    std::int64_t size() const override { return 1000000; }
    Image read(std::int64_t) const override {
      ++reads;
      return Image::make(1, 1, 1);
    }
    std::string where(std::int64_t i) const override { return std::to_string(i); }
    mutable std::atomic<int> reads{0};
  };
  const auto many = std::make_shared<Many>();
  LabelledImages all;
  all.source = many;
  all.labels.assign(1000000, 0);
  all.class_names = {"a"};
  const Dataset set = make_dataset("many", std::move(all));
  LoaderOptions o;
  o.batch = 100, o.seed = 1, o.shuffle = true;
  const Loader loader(set, o);
  std::vector<bool> seen(1000000);
  for (std::int64_t i = 0; i < loader.batches(); ++i)
    for (std::int64_t k = 0; k < 100; ++k) seen[static_cast<std::size_t>(loader.image_at(3, i, k))] = true;
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool s) { return s; }));
  EXPECT_EQ(loader.get(7, 9999).labels.numel(), 100);
  EXPECT_EQ(many->reads, 101) << "one for the size, a batch";
}

}  // namespace
}  // namespace graft
