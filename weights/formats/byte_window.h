// Bytes of a file, read by place and never past their end. What a reader of binary formats needs so that a damaged length or address is a
// sentence with a byte in it.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/core/error.h"

namespace graft {

class ByteWindow {
 public:
  // `base`: where the window begins in the file `path`, for messages and for offset_in_file().
  ByteWindow(std::span<const std::byte> bytes, std::string path, std::uint64_t base = 0)
      : bytes_(bytes), path_(std::move(path)), base_(base) {}

  std::uint64_t size() const { return bytes_.size(); }
  const std::string& path() const { return path_; }
  std::uint64_t offset_in_file(std::uint64_t at) const { return base_ + at; }

  // Throws Error(input): "<path>: <what> at byte <at>; <todo>".
  [[noreturn]] void refuse(std::uint64_t at, const std::string& what, const std::string& todo = "the file is damaged, get it again") const {
    throw Error(Code::input, path_ + ": " + what + " at byte " + std::to_string(base_ + at) + "; " + todo);
  }
  // `n` bytes at `at`; refuses where they are not all there. `what`: whose bytes they are, for the message.
  std::span<const std::byte> bytes(std::uint64_t at, std::uint64_t n, std::string_view what) const {
    if (at > bytes_.size() || n > bytes_.size() - at)
      refuse(at, std::string(what) + " of " + std::to_string(n) + " bytes ends outside of the " + std::to_string(bytes_.size()) +
                     " that are there,");
    return bytes_.subspan(at, n);
  }
  std::string_view text(std::uint64_t at, std::uint64_t n, std::string_view what) const {
    const auto b = bytes(at, n, what);
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  // A little-endian number.
  template <class T>
  T le(std::uint64_t at, std::string_view what) const {
    static_assert(std::is_arithmetic_v<T>);
    T v;
    std::memcpy(&v, bytes(at, sizeof v, what).data(), sizeof v);
    return v;
  }
  std::uint8_t u8(std::uint64_t at, std::string_view what) const { return le<std::uint8_t>(at, what); }
  std::uint16_t u16(std::uint64_t at, std::string_view what) const { return le<std::uint16_t>(at, what); }
  std::uint32_t u32(std::uint64_t at, std::string_view what) const { return le<std::uint32_t>(at, what); }
  std::uint64_t u64(std::uint64_t at, std::string_view what) const { return le<std::uint64_t>(at, what); }
  // A little-endian number of 1 to 8 bytes.
  std::uint64_t number(std::uint64_t at, int width, std::string_view what) const {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes(at, static_cast<std::uint64_t>(width), what).data(), static_cast<std::size_t>(width));
    return v;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string path_;
  std::uint64_t base_;
};

// A copy with the bytes of every number of `width` bytes in the other order.
inline std::shared_ptr<const std::vector<std::byte>> other_byte_order(std::span<const std::byte> from, std::size_t width) {
  auto out = std::make_shared<std::vector<std::byte>>(from.begin(), from.end());
  for (std::size_t i = 0; i + width <= out->size(); i += width)
    std::reverse(out->begin() + static_cast<std::ptrdiff_t>(i), out->begin() + static_cast<std::ptrdiff_t>(i + width));
  return out;
}

}  // namespace graft
