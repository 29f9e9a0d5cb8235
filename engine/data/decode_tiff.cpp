// TIFF 6 and BigTIFF by libtiff: the first picture, strip by strip or tile by tile, into [height, width, bands]. What the samples mean
// (palette, where white is, how many bits) is settled here and not by libtiff's RGBA reader, which would cut everything to 8 bits and 4
// bands.
#include "engine/data/decode_formats.h"

#if defined(GRAFT_HAVE_TIFF)
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace graft {

std::string why_not_tiff() { return ""; }

namespace {

struct File {
  std::span<const std::byte> bytes;
  std::uint64_t at = 0;
  std::string error, warning;  // the first of each
};
tmsize_t take(thandle_t h, void* to, tmsize_t n) {
  auto& f = *static_cast<File*>(h);
  const std::uint64_t left = f.at < f.bytes.size() ? f.bytes.size() - f.at : 0,
                      k = std::min<std::uint64_t>(left, static_cast<std::uint64_t>(std::max<tmsize_t>(n, 0)));
  if (k) std::memcpy(to, f.bytes.data() + f.at, k);
  f.at += k;
  return static_cast<tmsize_t>(k);
}
tmsize_t refuse_to_write(thandle_t, void*, tmsize_t) { return 0; }
toff_t seek(thandle_t h, toff_t offset, int whence) {
  auto& f = *static_cast<File*>(h);
  f.at = whence == SEEK_CUR ? f.at + offset : whence == SEEK_END ? f.bytes.size() + offset : offset;
  return f.at;
}
int close_nothing(thandle_t) { return 0; }
toff_t size_of_file(thandle_t h) { return static_cast<File*>(h)->bytes.size(); }
int note(std::string& to, const char* format, va_list arguments) {
  if (to.empty()) {
    char text[300];
    std::vsnprintf(text, sizeof text, format, arguments);
    to = text;
  }
  return 1;  // handled: libtiff prints nothing
}
int note_error(TIFF*, void* file, const char*, const char* format, va_list arguments) {
  return note(static_cast<File*>(file)->error, format, arguments);
}
int note_warning(TIFF*, void* file, const char*, const char* format, va_list arguments) {
  return note(static_cast<File*>(file)->warning, format, arguments);
}

std::uint16_t field(TIFF* tif, std::uint32_t tag, std::uint16_t otherwise) {
  std::uint16_t v = otherwise;
  return TIFFGetFieldDefaulted(tif, tag, &v) ? v : otherwise;
}

// What the file says of its samples.
struct Layout {
  std::uint32_t height = 0, width = 0;
  std::uint16_t samples = 1, bits = 1, photometric = PHOTOMETRIC_MINISBLACK, compression = COMPRESSION_NONE;
  bool apart = false, tiled = false;
  const std::uint16_t* palette[3] = {};        // 2^bits entries each
  std::int64_t bands = 0;                      // of the image
  Image::Depth depth = Image::Depth::u8;       // of the image
  std::uint32_t unit_rows = 0, unit_cols = 0;  // of a strip or tile
  std::uint64_t samples_in_unit() const { return apart ? 1 : samples; }
  std::uint64_t row_bytes() const { return (unit_cols * samples_in_unit() * bits + 7) / 8; }
};

void read_palette(TIFF* tif, Layout& l) {
  std::uint16_t* maps[3] = {};
  if (l.samples != 1 || l.bits > 8)
    throw Damage("has a palette and " + std::to_string(l.samples) + " samples of " + std::to_string(l.bits) +
                 " bit; one sample of 1 to 8 bit is read; convert it");
  if (!TIFFGetField(tif, TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]))
    throw Damage("is damaged TIFF: its colours are a palette, and there is none");
  // Entries have 16 bits. Nearly all files fill them from 8, by v * 257 or v * 256; others keep their 16.
  bool eight = true;
  for (int c = 0; c < 3; ++c) {
    l.palette[c] = maps[c];
    for (int i = 0; i < 1 << l.bits; ++i) eight &= (maps[c][i] & 255) == 0 || (maps[c][i] & 255) == maps[c][i] >> 8;
  }
  l.bands = 3;
  l.depth = eight ? Image::Depth::u8 : Image::Depth::u16;
}

// libtiff makes up offsets and lengths that are missing and would then unpack the header as pixels: what it has must lie in the file, and
// apart.
void check_places(TIFF* tif, std::uint64_t count, std::uint64_t file_bytes) {
  if (count > file_bytes)
    throw Damage("is damaged TIFF: its header promises " + std::to_string(count) + " strips or tiles, more than the file has bytes");
  std::uint64_t all = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t at = TIFFGetStrileOffset(tif, i), bytes = TIFFGetStrileByteCount(tif, i);
    if (at < 8 || bytes == 0) throw Damage("is damaged TIFF: strip or tile " + std::to_string(i) + " is not in the file");
    if (at > file_bytes || bytes > file_bytes - at)
      throw Damage("is damaged TIFF: strip or tile " + std::to_string(i) + " lies beyond the end of the file; it is cut off");
    all += bytes;
  }
  if (all > file_bytes) throw Damage("is damaged TIFF: its strips or tiles lie one over another");
}

void read_units(TIFF* tif, Layout& l, std::uint64_t file_bytes) {
  l.tiled = TIFFIsTiled(tif) != 0;
  if (l.tiled) {
    TIFFGetField(tif, TIFFTAG_TILEWIDTH, &l.unit_cols);
    TIFFGetField(tif, TIFFTAG_TILELENGTH, &l.unit_rows);
  } else {
    l.unit_cols = l.width;
    TIFFGetFieldDefaulted(tif, TIFFTAG_ROWSPERSTRIP, &l.unit_rows);
    l.unit_rows = std::min(l.unit_rows, l.height);
  }
  check_picture_size(l.unit_rows, l.unit_cols, l.samples_in_unit());
  const std::uint64_t down = (l.height - 1) / l.unit_rows + 1, across = (l.width - 1) / l.unit_cols + 1, planes = l.apart ? l.samples : 1;
  const std::uint64_t there = l.tiled ? TIFFNumberOfTiles(tif) : TIFFNumberOfStrips(tif);
  if (down * across * planes != there)
    throw Damage("is damaged TIFF: it has " + std::to_string(there) + " strips or tiles for " + std::to_string(down * across * planes));
  check_places(tif, there, file_bytes);
  const std::uint64_t bytes = l.tiled ? TIFFTileSize64(tif) : TIFFStripSize64(tif);
  if (bytes != l.row_bytes() * l.unit_rows)
    throw Damage("is damaged TIFF, or its samples are packed in a way that is not read (subsampled colours)");
}

Layout read_layout(TIFF* tif, std::uint64_t file_bytes) {
  Layout l;
  TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &l.width);
  TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &l.height);
  l.samples = field(tif, TIFFTAG_SAMPLESPERPIXEL, 1);
  l.bits = field(tif, TIFFTAG_BITSPERSAMPLE, 1);
  l.compression = field(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  l.apart = l.samples > 1 && field(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
  const std::uint16_t format = field(tif, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  check_picture_size(l.height, l.width, l.samples);
  if (!TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &l.photometric)) l.photometric = l.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;

  const bool whole = format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID, is_float = format == SAMPLEFORMAT_IEEEFP;
  const bool small = l.bits == 1 || l.bits == 2 || l.bits == 4;
  if (!((whole && (small || l.bits == 8 || l.bits == 16)) || (is_float && l.bits == 32))) {
    const std::string kind = whole ? "integers" : is_float ? "floats" : format == SAMPLEFORMAT_INT ? "signed integers" : "complex numbers";
    throw Damage("has " + kind + " of " + std::to_string(l.bits) +
                 " bit; integers of 1, 2, 4, 8 and 16 bit without sign and floats of 32 bit are read; convert it to one of them");
  }
  l.bands = l.samples;
  l.depth = is_float ? Image::Depth::f32 : l.bits == 16 ? Image::Depth::u16 : Image::Depth::u8;
  if (l.compression == COMPRESSION_OJPEG || !TIFFIsCODECConfigured(l.compression))
    throw Damage("is TIFF with compression " + std::to_string(l.compression) +
                 ", which this libtiff does not unpack; write it with deflate or LZW");
  switch (l.photometric) {
    case PHOTOMETRIC_MINISWHITE:
      if (is_float) throw Damage("has floats with 0 as white; write it with 0 as black");
      break;
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_SEPARATED:
    case PHOTOMETRIC_MASK: break;
    case PHOTOMETRIC_PALETTE: read_palette(tif, l); break;
    case PHOTOMETRIC_YCBCR:
      if (l.compression == COMPRESSION_JPEG && TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB)) break;
      [[fallthrough]];
    default:
      throw Damage("has colours of kind " + std::to_string(l.photometric) +
                   " (TIFF's PhotometricInterpretation); gray, RGB, palette and CMYK are read; convert it to RGB");
  }
  read_units(tif, l, file_bytes);
  return l;
}

// Element i of a packed row.
std::uint32_t sample(const std::byte* row, std::uint64_t i, unsigned bits) {
  if (bits == 8) return static_cast<std::uint8_t>(row[i]);
  const std::uint64_t bit = i * bits;
  return static_cast<std::uint8_t>(row[bit / 8]) >> (8 - bits - bit % 8) & ((1u << bits) - 1);
}

// `count` pixels of a row of a strip or tile to `to`, the image's element [y, x, band].
void place_row(const Layout& l, const std::byte* row, std::uint64_t count, std::byte* to) {
  const auto bands = static_cast<std::size_t>(l.bands), size = static_cast<std::size_t>(Image::size_of(l.depth));
  if (l.palette[0]) {
    for (std::uint64_t i = 0; i < count; ++i)
      for (std::size_t c = 0; c < 3; ++c, to += size) {
        const std::uint16_t v = l.palette[c][sample(row, i, l.bits)];
        if (size == 1) *to = static_cast<std::byte>(v >> 8);
        else std::memcpy(to, &v, 2);
      }
  } else if (l.bits < 8) {
    const std::uint64_t n = count * l.samples_in_unit();
    const std::size_t step = l.apart ? bands : 1;
    for (std::uint64_t i = 0; i < n; ++i) to[i * step] = static_cast<std::byte>(sample(row, i, l.bits) * 255 / ((1u << l.bits) - 1));
  } else if (!l.apart) {
    std::memcpy(to, row, count * bands * size);
  } else {
    for (std::uint64_t i = 0; i < count; ++i) std::memcpy(to + i * bands * size, row + i * size, size);
  }
}

void turn_round(Image& image) {
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    T* v = image.data<T>();
    for (std::int64_t i = 0; i < image.numel(); i += image.bands) v[i] = static_cast<T>(static_cast<T>(image.white()) - v[i]);
  });
}

}  // namespace

Image decode_tiff(std::span<const std::byte> bytes) {
  File file{bytes, 0, {}, {}};
  const auto damage = [&](const std::string& why) {
    return Damage("is damaged TIFF: " + (why.empty() ? "libtiff does not say why" : why));
  };
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), note_error, &file);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), note_warning, &file);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 32);  // kPictureLimit floats
  // m: through take(), which looks at the ends of the file, not through a mapping. D: the table of strips is not read (and its memory not
  // taken) before its length has been looked at. c: strips are as the file has them.
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tif(TIFFClientOpenExt("picture", "rmDc", &file, take, refuse_to_write, seek, close_nothing,
                                                                     size_of_file, nullptr, nullptr, options.get()),
                                                   TIFFClose);
  if (!tif) throw damage(file.error);
  const Layout l = read_layout(tif.get(), bytes.size());

  // Not set to zero: memory that a damaged file asks for and never fills is not touched. The image is made when the first strip is good.
  const std::unique_ptr<std::byte[]> unit(new std::byte[l.row_bytes() * l.unit_rows]);
  Image image;
  std::uint32_t number = 0;
  file.warning.clear();
  for (std::int64_t plane = 0; plane < (l.apart ? l.samples : 1); ++plane)
    for (std::uint64_t y = 0; y < l.height; y += l.unit_rows)
      for (std::uint64_t x = 0; x < l.width; x += l.unit_cols, ++number) {
        const std::uint64_t rows = std::min<std::uint64_t>(l.unit_rows, l.height - y),
                            cols = std::min<std::uint64_t>(l.unit_cols, l.width - x);
        const auto wanted = static_cast<tmsize_t>(l.row_bytes() * (l.tiled ? l.unit_rows : rows));
        const tmsize_t got = l.tiled ? TIFFReadEncodedTile(tif.get(), number, unit.get(), wanted)
                                     : TIFFReadEncodedStrip(tif.get(), number, unit.get(), wanted);
        if (got != wanted) throw damage(file.error);
        // These decoders fill what is missing with gray or white and only warn.
        const bool lenient =
            l.compression == COMPRESSION_JPEG || (l.compression >= COMPRESSION_CCITTRLE && l.compression <= COMPRESSION_CCITTFAX4);
        if (!file.error.empty() || (lenient && !file.warning.empty())) throw damage(file.error.empty() ? file.warning : file.error);
        if (image.bytes.empty()) image = Image::make(l.height, l.width, l.bands, l.depth);
        const auto element = static_cast<std::uint64_t>(Image::size_of(l.depth));
        for (std::uint64_t r = 0; r < rows; ++r) {
          const std::uint64_t at = ((y + r) * l.width + x) * static_cast<std::uint64_t>(l.bands) + static_cast<std::uint64_t>(plane);
          place_row(l, unit.get() + r * l.row_bytes(), cols, image.bytes.data() + at * element);
        }
      }
  if (l.photometric == PHOTOMETRIC_MINISWHITE) turn_round(image);
  return image;
}

}  // namespace graft

#else

namespace graft {
std::string why_not_tiff() {
  return "is TIFF, which this graft was built without; install libtiff-dev (4.5 or later) and build it again with -DGRAFT_TIFF=ON";
}
Image decode_tiff(std::span<const std::byte>) { throw Damage(why_not_tiff()); }
}  // namespace graft
#endif
