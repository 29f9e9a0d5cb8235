#include "engine/data/decode.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/text.h"
#include "engine/data/decode_formats.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

using std::string_view_literals::operator""sv;

bool begins(std::span<const std::byte> file, std::string_view with) {
  return file.size() >= with.size() && std::memcmp(file.data(), with.data(), with.size()) == 0;
}

// What the bytes look like, for a message.
std::string looks(std::span<const std::byte> file) {
  struct Known {
    std::string_view begin, name;
  };
  constexpr auto kKnown = std::to_array<Known>({{"GIF8"sv, "GIF"sv},
                                                {"BM"sv, "BMP"sv},
                                                {"RIFF"sv, "WebP"sv},
                                                {"\0\0\0\x0cJXL "sv, "JPEG XL"sv},
                                                {"\xff\x0a"sv, "JPEG XL"sv},
                                                {"\0\0\0\x0cjP  "sv, "JPEG 2000"sv},
                                                {"<"sv, "HTML or XML"sv},
                                                {"PK\x03\x04"sv, "a zip archive"sv},
                                                {"\x1f\x8b"sv, "gzip"sv},
                                                {"version https://git-lfs"sv, "a pointer of Git LFS; fetch the file itself"sv}});
  if (file.empty()) return "it is empty";
  for (const Known& k : kKnown)
    if (begins(file, k.begin)) return "it looks like " + std::string(k.name);
  if (file.size() >= 12 && std::memcmp(file.data() + 4, "ftyp", 4) == 0) return "it looks like HEIC, AVIF or a video";
  const bool zeros = std::all_of(file.begin(), file.end(), [](std::byte b) { return b == std::byte{0}; });
  if (zeros) return "all its " + std::to_string(file.size()) + " bytes are 0";
  std::string text = "it begins with the bytes";
  for (std::size_t i = 0; i < std::min<std::size_t>(file.size(), 8); ++i) {
    constexpr char kHex[] = "0123456789abcdef";
    const auto byte = static_cast<std::uint8_t>(file[i]);
    text += {' ', kHex[byte >> 4], kHex[byte & 15]};
  }
  return text;
}

}  // namespace

PictureFormat picture_format(std::span<const std::byte> file) {
  if (begins(file, "\x89PNG\r\n\x1a\n"sv)) return PictureFormat::png;
  if (begins(file, "\xff\xd8\xff"sv)) return PictureFormat::jpeg;
  for (const auto head : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv})
    if (begins(file, head)) return PictureFormat::tiff;
  return PictureFormat::none;
}

std::string why_not(PictureFormat format) {
  switch (format) {
    case PictureFormat::jpeg: return why_not_jpeg();
    case PictureFormat::tiff: return why_not_tiff();
    default: return "";
  }
}

void check_picture_size(std::uint64_t height, std::uint64_t width, std::uint64_t bands) {
  const std::string size =
      std::to_string(height) + " x " + std::to_string(width) + " with " + std::to_string(bands) + (bands == 1 ? " band" : " bands");
  if (height == 0 || width == 0 || bands == 0) throw Damage("is damaged: it says its size is " + size);
  constexpr auto kLimit = static_cast<std::uint64_t>(kPictureLimit);
  if (height > kLimit / width || height * width > kLimit / bands)
    throw Damage("is " + size + ", more than the 2^30 elements that are read; cut it into tiles (or it is damaged)");
}

Image decode_image(std::span<const std::byte> file, const std::string& where) {
  const auto refuse = [&](const std::string& what) { return Error(Code::input, one_line(where) + ": " + one_line(what)); };
  const PictureFormat format = picture_format(file);
  if (const std::string reason = why_not(format); !reason.empty()) throw refuse(reason);
  try {
    switch (format) {
      case PictureFormat::png: return decode_png(file);
      case PictureFormat::jpeg: return decode_jpeg(file);
      case PictureFormat::tiff: return decode_tiff(file);
      case PictureFormat::none: break;
    }
  } catch (const Damage& e) { throw refuse(e.what()); } catch (const std::bad_alloc&) {
    throw Error(Code::memory,
                one_line(where) + ": the picture does not fit in memory; read fewer at a time (fewer workers), or smaller ones");
  }
  throw refuse("is no picture that is read (PNG, JPEG, TIFF): " + looks(file));
}

bool named_like_picture(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string end(name.substr(dot + 1));
  for (char& c : end)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return end == "png" || end == "jpg" || end == "jpeg" || end == "tif" || end == "tiff";
}

}  // namespace graft
