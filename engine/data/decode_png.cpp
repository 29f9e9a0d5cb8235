// PNG (ISO/IEC 15948) by libpng. libpng leaves by longjmp, so the functions it may leave from hold nothing that wants a destructor; what
// they make lies in the caller.
#include <png.h>

#include <bit>
#include <csetjmp>
#include <cstring>

#include "engine/data/decode.h"
#include "engine/data/decode_formats.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

struct Read {
  std::span<const std::byte> left;
  std::uint64_t file_bytes = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  Image image;
  char problem[200] = "";
  ~Read() { png_destroy_read_struct(&png, &info, nullptr); }
};
void keep_message(char (&to)[200], png_const_charp message) { std::strncpy(to, message, sizeof to - 1); }
void take(png_structp png, png_bytep to, std::size_t n) {
  auto& read = *static_cast<Read*>(png_get_io_ptr(png));
  if (read.left.size() < n) png_error(png, "the file ends early");
  std::memcpy(to, read.left.data(), n);
  read.left = read.left.subspan(n);
}
[[noreturn]] void fail_read(png_structp png, png_const_charp message) {
  keep_message(static_cast<Read*>(png_get_error_ptr(png))->problem, message);
  png_longjmp(png, 1);
}
void ignore(png_structp, png_const_charp) {}

void read_header(Read& r) {
  png_set_read_fn(r.png, &r, take);
  // Checksums of all chunks count: a tRNS that is dropped because it is damaged would be a band lost in silence. Chunks that do not change
  // the pixels are not unpacked.
  png_set_crc_action(r.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_user_limits(r.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // ours is checked below
  png_read_info(r.png, r.info);
}
// Between header and pixels: sizes, and the memory for them. Not left by longjmp with a string alive: nothing here calls libpng but for its
// fields.
void make_image(Read& r) {
  const std::uint64_t height = png_get_image_height(r.png, r.info), width = png_get_image_width(r.png, r.info);
  const int color = png_get_color_type(r.png, r.info), depth = png_get_bit_depth(r.png, r.info);
  const bool transparent = png_get_valid(r.png, r.info, PNG_INFO_tRNS) != 0;
  std::int64_t bands = color & PNG_COLOR_MASK_COLOR ? 3 : 1;
  if (color & PNG_COLOR_MASK_ALPHA || transparent) ++bands;
  check_picture_size(height, width, static_cast<std::uint64_t>(bands));
  // Deflate packs at most 1032 to 1: a small file does not get to ask for gigabytes.
  const std::uint64_t packed_bits = height * width * png_get_channels(r.png, r.info) * static_cast<std::uint64_t>(depth);
  if (packed_bits / 8 / 1032 > r.file_bytes)
    throw Damage("is damaged: its header promises " + std::to_string(height) + " x " + std::to_string(width) + " pixels, and its " +
                 std::to_string(r.file_bytes) + " bytes cannot hold them");
  r.image = Image::make(static_cast<std::int64_t>(height), static_cast<std::int64_t>(width), bands,
                        depth == 16 ? Image::Depth::u16 : Image::Depth::u8);
}
void read_pixels(Read& r) {
  png_set_expand(r.png);  // palette to colours, 1, 2 and 4 bit to 8, tRNS to alpha
  if (std::endian::native == std::endian::little && r.image.depth == Image::Depth::u16) png_set_swap(r.png);
  const int passes = png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  const std::size_t row = r.image.bytes.size() / static_cast<std::size_t>(r.image.height);
  if (png_get_rowbytes(r.png, r.info) != row) png_error(r.png, "a row's length is not what its header says");
  for (int pass = 0; pass < passes; ++pass)
    for (std::size_t y = 0; y < static_cast<std::size_t>(r.image.height); ++y)
      png_read_row(r.png, reinterpret_cast<png_bytep>(r.image.bytes.data() + y * row), nullptr);
  png_read_end(r.png, nullptr);
}
// False where libpng left `step`.
template <class State>
bool guarded(State& s, void (*step)(State&)) {
  if (setjmp(png_jmpbuf(s.png))) return false;
  step(s);
  return true;
}

struct Written {
  const Image* image = nullptr;
  std::vector<std::byte> bytes;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char problem[200] = "";
  ~Written() { png_destroy_write_struct(&png, &info); }
};
[[noreturn]] void fail_write(png_structp png, png_const_charp message) {
  keep_message(static_cast<Written*>(png_get_error_ptr(png))->problem, message);
  png_longjmp(png, 1);
}
void put(png_structp png, png_bytep from, std::size_t n) {
  auto& to = static_cast<Written*>(png_get_io_ptr(png))->bytes;
  bool room = true;
  try {
    to.insert(to.end(), reinterpret_cast<const std::byte*>(from), reinterpret_cast<const std::byte*>(from) + n);
  } catch (const std::bad_alloc&) {
    room = false;  // no exception passes through libpng
  }
  if (!room) png_error(png, "out of memory");
}
void write(Written& w) {
  constexpr int kColors[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  const Image& image = *w.image;
  png_set_write_fn(w.png, &w, put, nullptr);
  png_set_user_limits(w.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(w.png, w.info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height),
               image.depth == Image::Depth::u16 ? 16 : 8, kColors[image.bands - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w.png, w.info);
  if (std::endian::native == std::endian::little && image.depth == Image::Depth::u16) png_set_swap(w.png);
  const std::size_t row = image.bytes.size() / static_cast<std::size_t>(image.height);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y)
    png_write_row(w.png, reinterpret_cast<png_const_bytep>(image.bytes.data() + y * row));
  png_write_end(w.png, nullptr);
}

}  // namespace

Image decode_png(std::span<const std::byte> file) {
  Read r;
  r.left = file;
  r.file_bytes = file.size();
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, fail_read, ignore);
  if (r.png) r.info = png_create_info_struct(r.png);
  if (!r.info) throw std::bad_alloc();
  const auto damage = [&] { return Damage(std::string("is damaged PNG: ") + r.problem); };
  if (!guarded(r, read_header)) throw damage();
  make_image(r);
  if (!guarded(r, read_pixels)) throw damage();
  return std::move(r.image);
}

std::vector<std::byte> encode_png(const Image& image) {
  const std::string size =
      std::to_string(image.height) + " x " + std::to_string(image.width) + " with " + std::to_string(image.bands) + " bands";
  if (image.depth == Image::Depth::f32)
    throw Error(Code::usage, "PNG: an image of floats has no PNG; PNG holds 8 or 16 bit; scale it to one of them");
  if (image.bands < 1 || image.bands > 4) throw Error(Code::usage, "PNG: an image of " + size + "; PNG holds 1 to 4; take some of them");
  constexpr std::int64_t kSide = PNG_UINT_31_MAX;
  if (image.height < 1 || image.width < 1 || image.height > kSide || image.width > kSide ||
      static_cast<std::int64_t>(image.bytes.size()) != image.numel() * Image::size_of(image.depth))
    throw Error(Code::usage,
                "PNG: an image of " + size + " with " + std::to_string(image.bytes.size()) + " bytes; make it with Image::make");
  Written w;
  w.image = &image;
  w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, fail_write, ignore);
  if (w.png) w.info = png_create_info_struct(w.png);
  if (!w.info) throw Error(Code::memory, "PNG: an image of " + size + " does not fit in memory");
  if (!guarded(w, write)) throw Error(Code::memory, "PNG: an image of " + size + ": " + w.problem);
  return std::move(w.bytes);
}

}  // namespace graft
