// JPEG (ITU T.81) by TurboJPEG. A warning of the library (a file that ends early, scrambled data) is an error here: it would fill the rest
// with gray.
#include "engine/data/decode_formats.h"

#if defined(GRAFT_HAVE_JPEG)
#include <turbojpeg.h>

#include <memory>
#include <new>

namespace graft {

std::string why_not_jpeg() { return ""; }

Image decode_jpeg(std::span<const std::byte> file) {
  const std::unique_ptr<void, int (*)(tjhandle)> tj(tjInitDecompress(), tjDestroy);
  if (!tj) throw std::bad_alloc();
  const auto damage = [&] { return Damage(std::string("is damaged JPEG, or of a kind that is not read: ") + tjGetErrorStr2(tj.get())); };
  const auto* bytes = reinterpret_cast<const unsigned char*>(file.data());
  const auto size = static_cast<unsigned long>(file.size());
  int width = 0, height = 0, sampling = 0, colors = 0;
  if (tjDecompressHeader3(tj.get(), bytes, size, &width, &height, &sampling, &colors) != 0) throw damage();
  if (width < 0 || height < 0) throw damage();
  const int format = colors == TJCS_GRAY ? TJPF_GRAY : colors == TJCS_CMYK || colors == TJCS_YCCK ? TJPF_CMYK : TJPF_RGB;
  const int bands = tjPixelSize[format];
  check_picture_size(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(width), static_cast<std::uint64_t>(bands));
  // Every block of 8 x 8 costs a bit at least (with subsampled colours in the worst way, every fourth): a small file does not get to ask
  // for gigabytes. Files with arithmetic coding may cost less, so pictures up to 64 million pixels are not held to it.
  const std::int64_t pixels = std::int64_t{height} * width;
  if (pixels > std::int64_t{1} << 26 && pixels / 2048 > static_cast<std::int64_t>(file.size()))
    throw Damage("is damaged JPEG: its header promises " + std::to_string(height) + " x " + std::to_string(width) + " pixels, and its " +
                 std::to_string(file.size()) + " bytes cannot hold them");
  Image image = Image::make(height, width, bands);
  // LIMITSCANS: a progressive file of thousands of empty scans would take minutes.
  constexpr int kFlags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
  if (tjDecompress2(tj.get(), bytes, size, image.data<std::uint8_t>(), width, width * bands, height, format, kFlags) != 0) throw damage();
  return image;
}

}  // namespace graft

#else

namespace graft {
std::string why_not_jpeg() {
  return "is JPEG, which this graft was built without; install libturbojpeg0-dev and build it again with -DGRAFT_JPEG=ON";
}
Image decode_jpeg(std::span<const std::byte>) { throw Damage(why_not_jpeg()); }
}  // namespace graft
#endif
