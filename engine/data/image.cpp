#include "engine/data/image.h"

#include <new>
#include <string>

#include "kernels/core/error.h"

namespace graft {

Image Image::make(std::int64_t height, std::int64_t width, std::int64_t bands, Depth depth) {
  const std::string size = std::to_string(height) + " x " + std::to_string(width) + " x " + std::to_string(bands);
  if (height < 1 || width < 1 || bands < 1)
    throw Error(Code::usage, "an image of " + size + ": height, width and bands must be at least 1");
  std::int64_t n = 0;
  if (__builtin_mul_overflow(height, width, &n) || __builtin_mul_overflow(n, bands, &n) || __builtin_mul_overflow(n, size_of(depth), &n))
    throw Error(Code::memory, "an image of " + size + " does not fit in memory");
  Image image{height, width, bands, depth, {}};
  try {
    image.bytes.resize(static_cast<std::size_t>(n));
  } catch (const std::bad_alloc&) { throw Error(Code::memory, "an image of " + size + " does not fit in memory"); }
  return image;
}

}  // namespace graft
