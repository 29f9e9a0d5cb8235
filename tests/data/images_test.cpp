// Pictures out of files: every kind bit for bit what its maker says is in it (tests/golden/images), damaged in every place, and at the ends
// of what is read.
#include <zlib.h>

#include <map>
#include <sstream>

#include "engine/base/text.h"
#include "tests/data/files.h"
#include "tests/temp_folder.h"

namespace graft {
namespace {

using test::bytes_of;
using test::refused;
namespace fs = std::filesystem;

struct Golden {
  std::string name, bytes, refusal;  // refusal: a part of the message, or empty
  std::int64_t height = 0, width = 0, bands = 0;
  std::string depth;
  unsigned long crc = 0;
};
std::vector<Golden> goldens(PictureFormat format) {
  const fs::path folder = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/images";
  std::istringstream list(test::read_file(folder / "pictures.txt"));
  std::vector<Golden> all;
  for (std::string line; std::getline(list, line);) {
    std::istringstream s(line);
    Golden g;
    std::string second;
    s >> g.name >> second;
    if (second == "refused") std::getline(s >> std::ws, g.refusal);
    else g.height = std::stol(second), s >> g.width >> g.bands >> g.depth >> g.crc;
    g.bytes = test::read_file(folder / g.name);
    if (picture_format(bytes_of(g.bytes)) == format) all.push_back(g);
  }
  return all;
}
std::string depth_name(Image::Depth d) { return d == Image::Depth::u8 ? "u8" : d == Image::Depth::u16 ? "u16" : "f32"; }

// Image or Error(input) of one line that begins with the file's name; and the library says nothing by itself.
bool decodes(const std::string& bytes, const std::string& name) {
  try {
    const Image image = decode_image(bytes_of(bytes), name);
    EXPECT_EQ(static_cast<std::int64_t>(image.bytes.size()), image.numel() * Image::size_of(image.depth));
    return true;
  } catch (const Error& e) {
    const std::string what = e.what();
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(Code::input)) << what;
    EXPECT_TRUE(what.starts_with(name + ": ")) << what;
    EXPECT_EQ(what, one_line(what));
    return false;
  }
}

class Pictures : public ::testing::TestWithParam<PictureFormat> {
 protected:
  void SetUp() override {
    if (const std::string reason = why_not(GetParam()); !reason.empty()) {
      const auto all = goldens(GetParam());
      ASSERT_FALSE(all.empty());
      EXPECT_NE(refused(Code::input, [&] { decode_image(bytes_of(all[0].bytes), "x"); }).find(reason), std::string::npos);
      GTEST_SKIP() << reason;
    }
  }
};

TEST_P(Pictures, AreBitForBitWhatIsInThem) {
  const auto all = goldens(GetParam());
  EXPECT_GE(all.size(), 7u);
  for (const Golden& g : all) {
    if (!g.refusal.empty()) {
      EXPECT_NE(refused(Code::input, [&] { decode_image(bytes_of(g.bytes), g.name); }).find(g.refusal), std::string::npos) << g.name;
      continue;
    }
    const Image image = decode_image(bytes_of(g.bytes), g.name);
    EXPECT_EQ((std::vector{image.height, image.width, image.bands}), (std::vector{g.height, g.width, g.bands})) << g.name;
    EXPECT_EQ(depth_name(image.depth), g.depth) << g.name;
    EXPECT_EQ(crc32(0, reinterpret_cast<const Bytef*>(image.bytes.data()), static_cast<uInt>(image.bytes.size())), g.crc) << g.name;
  }
}

TEST_P(Pictures, EveryTruncationIsAnImageOrOneLine) {
  testing::internal::CaptureStderr();
  for (const Golden& g : goldens(GetParam()))
    for (std::size_t n = 0; n < g.bytes.size(); ++n) {
      const bool whole = decodes(g.bytes.substr(0, n), g.name);
      // A TIFF may end in bytes that nothing points at; PNG and JPEG have an end of their own, which must be there.
      EXPECT_FALSE(whole && GetParam() != PictureFormat::tiff) << g.name << " without its last " << g.bytes.size() - n << " bytes";
    }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_P(Pictures, EveryFlippedByteIsAnImageOrOneLine) {
  testing::internal::CaptureStderr();
  for (const Golden& g : goldens(GetParam()))
    for (std::size_t n = 0; n < g.bytes.size(); ++n)
      for (const int bits : {0x01, 0x80, 0xff}) {
        std::string s = g.bytes;
        s[n] = static_cast<char>(s[n] ^ bits);
        const bool read = decodes(s, g.name);
        EXPECT_FALSE(read && GetParam() == PictureFormat::png) << g.name << ": byte " << n << " of a chunk with a checksum";
      }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Of, Pictures, ::testing::Values(PictureFormat::png, PictureFormat::jpeg, PictureFormat::tiff), [](const auto& info) {
      return std::string(info.param == PictureFormat::png ? "Png" : info.param == PictureFormat::jpeg ? "Jpeg" : "Tiff");
    });

TEST(Decode, TheContentCountsAndNotTheName) {
  EXPECT_EQ(decode_image(bytes_of(test::gray_png(9)), "a.jpg").bytes[0], std::byte{9});
  for (const auto& [bytes, part] : std::map<std::string, std::string>{{"", "it is empty"},
                                                                      {"GIF89a....", "it looks like GIF"},
                                                                      {"<html>", "it looks like HTML"},
                                                                      {std::string(100, '\0'), "all its 100 bytes are 0"},
                                                                      {"\x01hello", "it begins with the bytes 01 68 65 6c 6c 6f"}}) {
    const std::string what = refused(Code::input, [&] { decode_image(bytes_of(bytes), "a.png"); });
    EXPECT_TRUE(what.starts_with("a.png: is no picture that is read (PNG, JPEG, TIFF): ")) << what;
    EXPECT_NE(what.find(part), std::string::npos) << what;
  }
  EXPECT_TRUE(refused(Code::input, [] { decode_image({}, "a\nb\xff.png"); }).starts_with("a\\x0ab\\xff.png: "));
}

TEST(Decode, NamesThatEndAsPicturesDo) {
  for (const char* name : {"a.png", "a.JPG", "a.b.Jpeg", "x/a.tif", "a.TIFF", ".png"}) EXPECT_TRUE(named_like_picture(name)) << name;
  for (const char* name : {"", "png", "a.png.txt", "a.gif", "a.", "a.pngx"}) EXPECT_FALSE(named_like_picture(name)) << name;
}

// ---- sizes ----

std::string big_endian(std::uint32_t n) {
  std::string s;
  for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(n >> shift & 255);
  return s;
}
std::string png_chunk(const std::string& kind, const std::string& body) {
  const std::string all = kind + body;
  return big_endian(static_cast<std::uint32_t>(body.size())) + all +
         big_endian(static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(all.data()), static_cast<uInt>(all.size()))));
}
// Right in every checksum, with next to no pixels.
std::string empty_png(std::uint32_t height, std::uint32_t width, char color = 0) {
  const std::string nothing = {0x78, '\xda', 0x03, 0x00, 0x00, 0x00, 0x00, 0x01};  // zlib's stream of no bytes
  return std::string("\x89PNG\r\n\x1a\n", 8) + png_chunk("IHDR", big_endian(width) + big_endian(height) + std::string{8, color, 0, 0, 0}) +
         png_chunk("IDAT", nothing) + png_chunk("IEND", "");
}
TEST(Decode, SizesAreCheckedBeforeMemoryIsTaken) {
  const auto message = [](const std::string& bytes) { return refused(Code::input, [&] { decode_image(bytes_of(bytes), "x"); }); };
  EXPECT_EQ(message(empty_png(100'000, 100'000)),
            "x: is 100000 x 100000 with 1 band, more than the 2^30 elements that are read; cut it into tiles (or it is damaged)");
  EXPECT_NE(message(empty_png(1, 0x7fffffff, 6)).find("more than the 2^30 elements"), std::string::npos);
  EXPECT_NE(message(empty_png(30'000, 30'000)).find("its header promises 30000 x 30000 pixels, and its 65 bytes cannot hold them"),
            std::string::npos);
  EXPECT_NE(message(empty_png(0x7fffffff, 0x7fffffff)).find("more than"), std::string::npos);
  EXPECT_NE(message(empty_png(3, 3)).find("is damaged PNG"), std::string::npos);
  EXPECT_NE(message(empty_png(0, 3)).find("is damaged PNG"), std::string::npos);
}
TEST(Decode, ASmallJpegDoesNotGetGigabytes) {
  if (const std::string reason = why_not(PictureFormat::jpeg); !reason.empty()) GTEST_SKIP() << reason;
  for (Golden& g : goldens(PictureFormat::jpeg)) {
    std::size_t sof = g.bytes.find("\xff\xc0");  // baseline or, if there is none, progressive: marker, length, precision, height, width
    if (sof == std::string::npos) sof = g.bytes.find("\xff\xc2");
    ASSERT_NE(sof, std::string::npos) << g.name;
    g.bytes.replace(sof + 5, 4, "\x3f\xff\x3f\xff");
    EXPECT_NE(refused(Code::input, [&] { decode_image(bytes_of(g.bytes), g.name); }).find("promises 16383 x 16383 pixels"),
              std::string::npos);
    g.bytes.replace(sof + 5, 4, std::string("\xff\0\xff\0", 4));
    EXPECT_NE(refused(Code::input, [&] { decode_image(bytes_of(g.bytes), g.name); }).find("more than the 2^30 elements"),
              std::string::npos);
  }
}
TEST(Decode, OnePixelAndFortyMillion) {
  EXPECT_EQ(decode_image(bytes_of(test::gray_png(200)), "x").bytes, std::vector<std::byte>{std::byte{200}});
  Image big = Image::make(5000, 8000, 1);
  for (std::int64_t i = 0; i < big.numel(); i += 997) big.bytes[static_cast<std::size_t>(i)] = static_cast<std::byte>(i);
  const Image back = decode_image(encode_png(big), "x");
  EXPECT_TRUE(back.height == 5000 && back.width == 8000 && back.bands == 1);
  EXPECT_TRUE(back.bytes == big.bytes);
}
TEST(Decode, WhatEncodePngWritesComesBack) {
  for (const auto depth : {Image::Depth::u8, Image::Depth::u16})
    for (std::int64_t bands = 1; bands <= 4; ++bands) {
      Image image = Image::make(7, 5, bands, depth);
      for (std::size_t i = 0; i < image.bytes.size(); ++i) image.bytes[i] = static_cast<std::byte>(i * 37 + 11);
      const Image back = decode_image(encode_png(image), "x");
      EXPECT_TRUE(back.height == 7 && back.width == 5 && back.bands == bands && back.depth == depth);
      EXPECT_EQ(back.bytes, image.bytes);
    }
  refused(Code::usage, [] { encode_png(Image::make(2, 2, 5)); });
  refused(Code::usage, [] { encode_png(Image::make(2, 2, 1, Image::Depth::f32)); });
  refused(Code::usage, [] { encode_png(Image{}); });
}

TEST(OneLine, KeepsWhatIsPrintable) {
  EXPECT_EQ(one_line("caf\u00e9 \u65e5\u672c \U0001f600 a\\b"), "caf\u00e9 \u65e5\u672c \U0001f600 a\\b");
  EXPECT_EQ(one_line("a\nb\tc\x7f"), "a\\x0ab\\x09c\\x7f");
  EXPECT_EQ(one_line("\xff"
                     "a\xc3"),
            "\\xffa\\xc3");                                                  // no UTF-8, and a character cut off
  EXPECT_EQ(one_line("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");  // an overlong slash, half a surrogate pair
  EXPECT_EQ(one_line("\xc2\x9b\xe2\x80\xa8"), "\\xc2\\x9b\\xe2\\x80\\xa8");  // a control sequence of one character, a line separator
  EXPECT_EQ(one_line("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");           // beyond Unicode
}

}  // namespace
}  // namespace graft
