#include "weights/formats/hdf5.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/base/json.h"
#include "weights/formats/hdf5_blocks.h"
#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr int kDeepestGroup = 64;
constexpr std::uint64_t kLongestValue = std::uint64_t{64} << 20;  // of an attribute, in bytes

// Of an element. Where graft has no such numbers, `dtype` is empty and `what` says what they are.
struct ElementType {
  std::string dtype, what;
  std::uint64_t size = 0;
  bool swapped = false, text = false, text_elsewhere = false, opaque = false;
};

ElementType element_type(const ByteWindow& m) {
  constexpr std::string_view noun = "a datatype";
  ElementType t;
  const unsigned kind = m.u8(0, noun) & 15u, version = m.u8(0, noun) >> 4, bits = m.u8(1, noun), more = m.u8(2, noun);
  if (version < 1 || version > 4) m.refuse(0, "a datatype of version " + std::to_string(version));
  t.size = m.u32(4, noun);
  const auto whole = [&](std::uint64_t at) {  // bit offset 0 and all bits used
    return m.u16(at, noun) == 0 && m.u16(at + 2, noun) == 8 * t.size;
  };
  switch (kind) {
    case 0: {
      t.swapped = (bits & 1u) != 0;
      const bool sized = t.size == 1 || t.size == 2 || t.size == 4 || t.size == 8;
      if (sized && whole(8)) t.dtype = (bits & 8u ? "I" : "U") + std::to_string(8 * t.size);
      else t.what = "whole numbers of " + std::to_string(m.u16(10, noun)) + " bits";
      break;
    }
    case 1: {
      t.swapped = (bits & 1u) != 0;
      const unsigned exponent_at = m.u8(12, noun), exponent = m.u8(13, noun), mantissa_at = m.u8(14, noun), mantissa = m.u8(15, noun);
      const std::uint32_t bias = m.u32(16, noun);
      const bool ieee = exponent >= 1 && exponent <= 15 && whole(8) && (bits & 0x40u) == 0 && (bits >> 4 & 3u) == 2 &&
                        more + 1 == 8 * t.size && mantissa_at == 0 && exponent_at == mantissa && exponent + mantissa + 1 == 8 * t.size &&
                        bias + 1 == 1u << (exponent - 1);
      if (ieee && t.size == 4 && mantissa == 23) t.dtype = "F32";
      else if (ieee && t.size == 8 && mantissa == 52) t.dtype = "F64";
      else if (ieee && t.size == 2 && mantissa == 10) t.dtype = "F16";
      else if (ieee && t.size == 2 && mantissa == 7) t.dtype = "BF16";
      else
        t.what = "floats of an unknown layout (" + std::to_string(t.size) + " bytes, " + std::to_string(exponent) + " of exponent, " +
                 std::to_string(mantissa) + " of mantissa)";
      break;
    }
    case 3: t.text = true, t.what = "strings"; break;
    case 5: t.opaque = true, t.what = "opaque bytes"; break;
    case 6: t.what = "compounds"; break;
    case 7: t.what = "references"; break;
    case 8: {
      // h5py's bool: an enumeration of one byte with FALSE and TRUE.
      t.what = "an enumeration";
      if (t.size != 1 || bits + 256 * more != 2 || (m.u8(8, noun) & 15u) != 0) break;
      const std::string_view names = m.text(20, version < 3 ? 18 : 13, noun), falsy("FALSE\0\0\0", 8), truth("TRUE\0\0\0\0", 8);
      if (version < 3 ? names == std::string(falsy) + std::string(truth) + std::string("\0\1", 2)
                      : names == std::string_view("FALSE\0TRUE\0\0\1", 13))
        t.dtype = "BOOL";
      break;
    }
    case 9:
      t.text_elsewhere = (bits & 15u) == 1;
      t.what = t.text_elsewhere ? "strings of variable length" : "sequences of variable length";
      break;
    case 10: t.what = "arrays"; break;
    default: t.what = "a datatype of class " + std::to_string(kind); break;
  }
  return t;
}

struct Extent {
  std::vector<std::int64_t> shape;
  bool null = false;  // no element at all
};

Extent extent(const ByteWindow& m) {
  constexpr std::string_view noun = "a dataspace";
  Extent e;
  const int version = m.u8(0, noun), rank = m.u8(1, noun);
  if (version != 1 && version != 2) m.refuse(0, "a dataspace of version " + std::to_string(version));
  if (rank > 32) m.refuse(1, "a dataspace of " + std::to_string(rank) + " axes");
  e.null = version == 2 && m.u8(3, noun) == 2;
  for (int d = 0; d < rank; ++d) {
    const std::uint64_t n = m.u64((version == 1 ? 8 : 4) + 8 * static_cast<std::uint64_t>(d), noun);
    if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) m.refuse(4, "a dataspace of impossible size");
    e.shape.push_back(static_cast<std::int64_t>(n));
  }
  return e;
}

// One number of an attribute, as JSON.
Json number(const ElementType& t, std::span<const std::byte> bytes) {
  std::array<std::byte, 8> b{};
  std::copy(bytes.begin(), bytes.end(), b.begin());
  if (t.swapped) std::reverse(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(t.size));
  std::uint64_t v = 0;
  std::memcpy(&v, b.data(), 8);
  if (t.dtype == "F32") return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(v)));
  if (t.dtype == "F64") return std::bit_cast<double>(v);
  if (t.dtype == "BOOL") return v != 0;
  if (t.dtype[0] == 'U') return v;
  const int unused = 64 - 8 * static_cast<int>(t.size);
  return static_cast<std::int64_t>(v << unused) >> unused;
}

std::string unpadded(std::string_view text) {
  const auto zero = text.find('\0');
  return std::string(text.substr(0, zero));
}

class Reader {
 public:
  explicit Reader(const ByteWindow& w) : w_(w), blocks_(w) {}

  Hdf5Contents read() {
    group(blocks_.root(), "", 0);
    overlaps();
    if (blocks_.end() < w_.size())
      out_.notes.push_back(std::to_string(w_.size() - blocks_.end()) + " bytes after the end of the HDF5 file are not read");
    return std::move(out_);
  }

 private:
  ByteWindow body(const Hdf5Message& m, std::string_view what) const {
    return {w_.bytes(m.at, m.size, what), w_.path(), w_.offset_in_file(m.at)};
  }
  static const Hdf5Message* find(const std::vector<Hdf5Message>& all, int type) {
    for (const Hdf5Message& m : all)
      if (m.type == type) return &m;
    return nullptr;
  }

  void group(std::uint64_t object, const std::string& path, int depth) {
    const auto messages = blocks_.messages(object);
    attributes(messages, path);
    if (depth > kDeepestGroup)
      w_.refuse(object, "groups nested deeper than " + std::to_string(kDeepestGroup) + " (" + in_quotes(path) + ")");
    if (std::find(above_.begin(), above_.end(), object) != above_.end())
      w_.refuse(object, "the group " + in_quotes(path) + " that holds itself");
    above_.push_back(object);
    std::set<std::string> names;
    for (const Hdf5Link& l : blocks_.links(messages)) {
      blocks_.spend(object);
      if (l.name.empty() || l.name == "." || l.name == ".." || l.name.find('/') != std::string::npos ||
          first_not_utf8(l.name) != std::string::npos || l.name.find('\0') != std::string::npos)
        w_.refuse(object, "the group " + in_quotes(path) + " with the impossible name " + in_quotes(l.name));
      if (!names.insert(l.name).second)
        w_.refuse(object, "the group " + in_quotes(path) + " with the name " + in_quotes(l.name) + " twice");
      const std::string below = path.empty() ? l.name : path + "/" + l.name;
      if (below.size() > 4096) w_.refuse(object, "a path of more than 4096 bytes, " + in_quotes(below));
      if (l.object == kHdf5Nowhere) {
        out_.notes.push_back("the link " + in_quotes(below) + " leads elsewhere by name and is not followed");
        continue;
      }
      const auto inside = blocks_.messages(l.object);
      if (find(inside, 0x01) || find(inside, 0x08)) dataset(l.object, inside, below);
      else if (find(inside, 0x11) || find(inside, 0x02) || find(inside, 0x06)) group(l.object, below, depth + 1);
      else if (find(inside, 0x03)) out_.notes.push_back("the named datatype " + in_quotes(below) + " is not read");
      else w_.refuse(l.object, "an object that is neither a group nor a dataset (" + in_quotes(below) + ")");
    }
    above_.pop_back();
  }

  void dataset(std::uint64_t object, const std::vector<Hdf5Message>& messages, const std::string& path) {
    const std::string of = " (" + in_quotes(path) + ")";
    const auto refuse = [&](std::uint64_t at, const std::string& what) {
      w_.refuse(at, "the dataset " + in_quotes(path) + " " + what + ", which graft does not read,",
                "save it as a plain array: h5py's create_dataset(name, data=array) without further options");
    };
    const Hdf5Message *space = find(messages, 0x01), *type = find(messages, 0x03), *layout = find(messages, 0x08),
                      *filters = find(messages, 0x0B);
    if (!space || !type || !layout) w_.refuse(object, "a dataset without its dataspace, datatype or layout" + of);
    for (const Hdf5Message* m : {space, type})
      if (m->flags & 2u) refuse(m->at, "has a shared datatype or dataspace");
    ElementType t = element_type(body(*type, "a datatype"));
    if (t.opaque && t.size == 2 && attribute_of(messages, "dtype") == "bfloat16") t.dtype = "BF16";  // how Keras 3 stores it
    if (t.dtype.empty()) refuse(type->at, "holds " + t.what);
    const Extent e = extent(body(*space, "a dataspace"));
    if (e.null) refuse(space->at, "is without any element, even a zero-sized shape");
    if (filters) {
      const ByteWindow f = body(*filters, "a filter pipeline");
      const int version = f.u8(0, "a filter pipeline"), n = f.u8(1, "a filter pipeline");
      if (n > 0) {
        const int id = f.u16(version == 1 ? 8 : 2, "a filter pipeline");
        const char* known = id == 1       ? "deflate"
                            : id == 2     ? "shuffle"
                            : id == 3     ? "fletcher32"
                            : id == 4     ? "szip"
                            : id == 5     ? "nbit"
                            : id == 6     ? "scaleoffset"
                            : id == 32000 ? "lzf"
                                          : nullptr;
        refuse(filters->at, "is filtered (" + (known ? std::string(known) : "filter " + std::to_string(id)) + ")");
      }
    }
    if (find(messages, 0x07)) refuse(object, "keeps its data in other files");
    const auto bytes = stored_bytes(*stored_type(t.dtype), e.shape);
    if (!bytes) w_.refuse(space->at, "a dataspace of impossible size" + of);

    const ByteWindow l = body(*layout, "a layout");
    const int version = l.u8(0, "a layout"), kind = l.u8(1, "a layout");
    if (version != 3 && version != 4) refuse(layout->at, "has a layout of version " + std::to_string(version));
    Hdf5Dataset d{path, t.dtype, t.swapped && t.size > 1, e.shape, 0, *bytes, object};
    std::uint64_t size = 0;
    if (kind == 0) {
      size = l.u16(2, "a layout");
      l.bytes(4, size, "compact data");
      d.at = layout->at + 4;
    } else if (kind == 1) {
      d.at = l.u64(2, "a layout");
      size = l.u64(10, "a layout");
      if (d.at == kHdf5Nowhere) {
        if (*bytes > 0) refuse(layout->at, "was never written");
        d.at = 0, size = 0;
      }
    } else {
      refuse(layout->at, kind == 2 ? "is stored in chunks" : "has a layout of class " + std::to_string(kind));
    }
    if (size != *bytes)
      w_.refuse(layout->at, "the layout has " + std::to_string(size) + " bytes and the shape and type " + std::to_string(*bytes) + of);
    w_.bytes(d.at, d.bytes, "the data of " + in_quotes(path));
    out_.datasets.push_back(std::move(d));
  }

  // Two datasets share bytes only when they are one: a damaged address is not read as another's numbers where that can be seen.
  void overlaps() const {
    std::vector<const Hdf5Dataset*> all;
    for (const Hdf5Dataset& d : out_.datasets)
      if (d.bytes > 0) all.push_back(&d);
    std::sort(all.begin(), all.end(), [](const Hdf5Dataset* a, const Hdf5Dataset* b) { return a->at < b->at; });
    for (std::size_t i = 1; i < all.size(); ++i)
      if (all[i]->at < all[i - 1]->at + all[i - 1]->bytes && all[i]->object != all[i - 1]->object)
        w_.refuse(all[i]->at,
                  "the datasets " + in_quotes(all[i - 1]->path) + " and " + in_quotes(all[i]->path) + " that lie over each other");
  }

  // The value of one attribute; nothing where it is of no kind that is shown.
  struct Named {
    std::string name;
    std::optional<std::string> value;
  };
  Named attribute(const Hdf5Message& message) {
    const ByteWindow m = body(message, "an attribute");
    constexpr std::string_view noun = "an attribute";
    const int version = m.u8(0, noun);
    if (version < 1 || version > 3) m.refuse(0, "an attribute of version " + std::to_string(version));
    const std::uint64_t name_size = m.u16(2, noun), type_size = m.u16(4, noun), space_size = m.u16(6, noun);
    const auto padded = [&](std::uint64_t n) { return version == 1 ? (n + 7) / 8 * 8 : n; };
    std::uint64_t at = version == 3 ? 9 : 8;
    Named out{unpadded(m.text(at, name_size, noun)), {}};
    if (version > 1 && m.u8(1, noun) & 3u) return out;  // its type is kept elsewhere
    at += padded(name_size);
    const ElementType t = element_type({m.bytes(at, type_size, noun), m.path(), m.offset_in_file(at)});
    at += padded(type_size);
    const Extent e = extent({m.bytes(at, space_size, noun), m.path(), m.offset_in_file(at)});
    at += padded(space_size);
    if (e.null || (t.dtype.empty() && !t.text && !t.text_elsewhere) || t.size == 0 || t.dtype == "F16" || t.dtype == "BF16") return out;
    if (t.text_elsewhere && t.size != 16) m.refuse(0, "an attribute with references of " + std::to_string(t.size) + " bytes");
    std::uint64_t n = 1;
    for (const std::int64_t s : e.shape) {
      if (s != 0 && n > m.size() / static_cast<std::uint64_t>(s))
        m.refuse(at, "an attribute (" + in_quotes(out.name) + ") that is longer than its message");
      n *= static_cast<std::uint64_t>(s);
    }
    if (n > m.size() / t.size || n * t.size > m.size() - std::min(at, m.size()))
      m.refuse(std::min(at, m.size()), "an attribute (" + in_quotes(out.name) + ") that is longer than its message");
    auto values = Json::array();
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t p = at + i * t.size;
      if (!t.text && !t.text_elsewhere) {
        values.push_back(number(t, m.bytes(p, t.size, noun)));
        continue;
      }
      std::string text;
      if (t.text) {
        text = unpadded(m.text(p, t.size, noun));
      } else if (const std::uint32_t length = m.u32(p, noun); length > 0) {
        const std::string_view whole = blocks_.global_object(m.u64(p + 4, noun), m.u32(p + 12, noun));
        if (length > whole.size()) m.refuse(p, "an attribute (" + in_quotes(out.name) + ") that is longer than its text");
        text = whole.substr(0, length);
      }
      total += text.size();
      if (total > kLongestValue)
        m.refuse(p, "an attribute (" + in_quotes(out.name) + ") of more than " + std::to_string(kLongestValue) + " bytes");
      if (first_not_utf8(text) != std::string::npos) return out;
      values.push_back(std::move(text));
    }
    if (!e.shape.empty()) out.value = json_text(values, -1);
    else if (values.size() == 1) out.value = values[0].is_string() ? values[0].get<std::string>() : json_text(values[0], -1);
    return out;
  }
  void attributes(const std::vector<Hdf5Message>& messages, const std::string& object) {
    for (const Hdf5Message& m : blocks_.attributes(messages)) {
      Named a = attribute(m);
      if (first_not_utf8(a.name) != std::string::npos) w_.refuse(m.at, "an attribute with the impossible name " + in_quotes(a.name));
      if (a.value) out_.attributes.push_back({object, std::move(a.name), std::move(*a.value)});
      else
        out_.notes.push_back("the attribute " + in_quotes(a.name) + " of " + in_quotes(object.empty() ? "/" : object) +
                             " is neither text nor numbers and is not shown");
    }
  }
  std::string attribute_of(const std::vector<Hdf5Message>& messages, std::string_view name) {
    for (const Hdf5Message& m : blocks_.attributes(messages))
      if (Named a = attribute(m); a.name == name && a.value) return *a.value;
    return {};
  }

  const ByteWindow& w_;
  Hdf5Blocks blocks_;
  std::vector<std::uint64_t> above_;
  Hdf5Contents out_;
};

}  // namespace

bool is_hdf5(std::span<const std::byte> bytes) {
  return bytes.size() >= kHdf5Magic.size() && std::equal(kHdf5Magic.begin(), kHdf5Magic.end(), bytes.begin(), [](char a, std::byte b) {
           return static_cast<unsigned char>(a) == std::to_integer<unsigned char>(b);
         });
}

Hdf5Contents read_hdf5(const ByteWindow& window) { return Reader(window).read(); }

}  // namespace graft
