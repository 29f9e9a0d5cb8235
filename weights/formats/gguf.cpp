// The header of a GGUF file. Every length is checked against what is left of the file before it is believed, and the limits are ggml's own
// (src/gguf.cpp) where it has one.
#include "weights/formats/gguf.h"

#include <bit>
#include <limits>
#include <set>

#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

namespace {

constexpr std::uint64_t kMostText = std::uint64_t{1} << 30, kMostElements = std::uint64_t{1} << 30, kMostKey = 65535, kMostName = 63;
constexpr std::uint32_t kMostAxes = 4, kQuantisationVersion = 2;
constexpr int kMostNesting = 8;
constexpr std::size_t kMostLists = 65536;  // arrays inside of arrays; nobody writes any

struct GgmlType {
  std::uint32_t id;
  std::string_view name, refused;  // why it is not read; empty: it is
};
constexpr std::string_view kActivations =
    "is a format of activations in the middle of a product, never of weights; have the file made anew";
constexpr std::string_view kRemoved =
    "was removed from the format; convert the model anew, or repack it with the version of llama.cpp that made it";
constexpr GgmlType kTypes[] = {
    {0, "F32", ""},
    {1, "F16", ""},
    {2, "Q4_0", ""},
    {3, "Q4_1", ""},
    {4, "Q4_2", kRemoved},
    {5, "Q4_3", kRemoved},
    {6, "Q5_0", ""},
    {7, "Q5_1", ""},
    {8, "Q8_0", ""},
    {9, "Q8_1", kActivations},
    {10, "Q2_K", ""},
    {11, "Q3_K", ""},
    {12, "Q4_K", ""},
    {13, "Q5_K", ""},
    {14, "Q6_K", ""},
    {15, "Q8_K", kActivations},
    {16, "IQ2_XXS", ""},
    {17, "IQ2_XS", ""},
    {18, "IQ3_XXS", ""},
    {19, "IQ1_S", ""},
    {20, "IQ4_NL", ""},
    {21, "IQ3_S", ""},
    {22, "IQ2_S", ""},
    {23, "IQ4_XS", ""},
    {24, "I8", ""},
    {25, "I16", ""},
    {26, "I32", ""},
    {27, "I64", ""},
    {28, "F64", ""},
    {29, "IQ1_M", ""},
    {30, "BF16", ""},
    {31, "Q4_0_4_4", kRemoved},
    {32, "Q4_0_4_8", kRemoved},
    {33, "Q4_0_8_8", kRemoved},
    {34, "TQ1_0", ""},
    {35, "TQ2_0", ""},
    {36, "IQ4_NL_4_4", kRemoved},
    {37, "IQ4_NL_4_8", kRemoved},
    {38, "IQ4_NL_8_8", kRemoved},
    {39, "MXFP4", ""},
    {40, "NVFP4", ""},
    {41, "Q1_0", ""},
    {42, "Q2_0", ""},
};

std::string str(std::uint64_t v) { return std::to_string(v); }
constexpr std::string_view kAgain = "the file is damaged, get it again", kAnew = "have the file written anew";

}  // namespace

std::optional<std::uint32_t> ggml_type_of(std::string_view dtype) {
  for (const GgmlType& t : kTypes)
    if (t.name == dtype && t.refused.empty()) return t.id;
  return {};
}

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes) { out_.path = path; }

  GgufFile parse() {
    header();
    for (std::uint64_t i = 0; i < key_count_; ++i) key();
    alignment();
    for (std::uint64_t i = 0; i < tensor_count_; ++i) tensor();
    data();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what, std::uint64_t byte, const std::string& subject, std::string_view todo) const {
    throw Error(Code::input, out_.path + ": " + what + " at byte " + str(byte) + " (" + subject + "); " + std::string(todo));
  }
  std::uint64_t left() const { return bytes_.size() - at_; }
  // `what` is named where the file ends before its `n` bytes do.
  void need(std::uint64_t n, const std::string& what) const {
    if (n > left())
      fail("is truncated: " + what + " takes " + str(n) + " bytes, and the file ends after " + str(left()), at_, subject_,
           "get the file again");
  }
  template <class T>
  T take(const std::string& what) {
    need(sizeof(T), what);
    T v;
    std::memcpy(&v, bytes_.data() + at_, sizeof v);
    at_ += sizeof v;
    return v;
  }
  // Lengths, counts and sizes of axes: 32 bits in version 1.
  std::uint64_t count(const std::string& what) { return out_.version == 1 ? take<std::uint32_t>(what) : take<std::uint64_t>(what); }
  std::uint64_t count_size() const { return out_.version == 1 ? 4 : 8; }

  std::string_view text(const std::string& what, std::uint64_t most) {
    const std::uint64_t at = at_, n = count("the length of " + what);
    if (n > most) fail(what + " would have " + str(n) + " bytes, and at most " + str(most) + " are allowed", at, subject_, kAgain);
    need(n, what);
    const std::string_view s(reinterpret_cast<const char*>(bytes_.data() + at_), n);
    at_ += n;
    return s;
  }

  void header() {
    subject_ = "header";
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      if (bytes_.size() >= 4 && std::memcmp(bytes_.data(), "FUGG", 4) == 0)
        fail("begins with FUGG, the letters of GGUF turned around", 0, subject_, "the bytes were swapped on the way, get the file again");
      fail("does not begin with GGUF", 0, subject_, "this is no GGUF file, get the right one");
    }
    at_ = 4;
    const std::uint32_t version = take<std::uint32_t>("the version");
    if (version != 0 && (version & 0xffffu) == 0)
      fail("is a GGUF file of the other byte order: its version reads as " + str(version) + " where " + str(__builtin_bswap32(version)) +
               " is meant",
           4, subject_, "graft reads little endian; convert it with gguf-py's gguf-convert-endian");
    if (version < 1 || version > 3)
      fail("is of GGUF version " + str(version) + ", and 1 to 3 are known", 4, subject_,
           version == 0 ? kAgain : "update graft, or have it written as version 3");
    out_.version = version;
    const std::uint64_t counts = at_;
    tensor_count_ = count("the number of tensors");
    key_count_ = count("the number of keys");
    // A tensor takes at least the length of its name, number of axes, type and place; a key the length of its name, a letter, its type and
    // a byte.
    const std::uint64_t least_tensor = count_size() + 17, least_key = count_size() + 6;
    if (tensor_count_ > left() / least_tensor)
      fail("says that it has " + str(tensor_count_) + " tensors, and there is room for " + str(left() / least_tensor), counts, subject_,
           kAgain);
    if (key_count_ > left() / least_key)
      fail("says that it has " + str(key_count_) + " keys, and there is room for " + str(left() / least_key), counts + count_size(),
           subject_, kAgain);
  }

  // Names go into messages and maps, so they are text.
  void check_name(std::string_view name, const std::string& what, std::uint64_t at) {
    if (name.empty()) fail(what + " is empty", at, subject_, kAnew);
    if (first_not_utf8(name) != std::string_view::npos || name.find('\0') != std::string_view::npos)
      fail(what + " is not text: " + in_quotes(name), at, subject_, kAgain);
  }

  void key() {
    const std::uint64_t at = at_;
    subject_ = "key " + str(out_.keys.keys_.size());
    const std::string_view name = text("the name of a key", kMostKey);
    check_name(name, "the name of a key", at);
    subject_ = "key " + in_quotes(name);
    if (!key_names_.insert(name).second) fail("has this key twice", at, subject_, kAnew);
    out_.keys.keys_.push_back({std::string(name), value(value_type("the type of a key"), 0), at});
  }

  void alignment() {
    for (const auto& [name, value, at] : out_.keys.keys_) {
      if (name != "general.alignment") continue;
      subject_ = "key " + in_quotes(name);
      if (value.type() != GgufType::u32)
        fail("has an alignment that is " + std::string(name_of(value.type())) + ", and u32 belongs there", at, subject_, kAnew);
      out_.alignment = static_cast<std::uint64_t>(value.whole());
      if (!std::has_single_bit(out_.alignment))
        fail("has the alignment " + value.shown() + ", which is no power of two", at, subject_, kAnew);
    }
  }

  GgufType value_type(const std::string& what) {
    const std::uint64_t at = at_;
    const auto type = take<std::uint32_t>(what);
    if (type >= kGgufTypes) fail("has the value type " + str(type) + ", and 0 to 12 are known", at, subject_, kAgain);
    return static_cast<GgufType>(type);
  }

  GgufValue value(GgufType type, int depth) {
    GgufValue v;
    v.type_ = type;
    if (type == GgufType::text) {
      v.bytes_ = text("a text", kMostText);
    } else if (type == GgufType::array) {
      array(v, depth);
    } else {
      v.bytes_ = plain(type, 1);
    }
    return v;
  }

  std::string plain(GgufType type, std::uint64_t n) {
    const std::uint64_t size = n * size_of(type);  // n is at most 2^30
    need(size, n == 1 ? "a value" : "an array of " + str(n) + " " + std::string(name_of(type)));
    std::string bytes(reinterpret_cast<const char*>(bytes_.data() + at_), size);
    if (type == GgufType::boolean)
      for (std::uint64_t i = 0; i < n; ++i)
        if (static_cast<unsigned char>(bytes[i]) > 1)
          fail("has the byte " + str(static_cast<unsigned char>(bytes[i])) + " for a boolean, which is 0 or 1", at_ + i, subject_, kAgain);
    at_ += size;
    return bytes;
  }

  void array(GgufValue& v, int depth) {
    if (depth >= kMostNesting) fail("nests arrays deeper than " + str(kMostNesting), at_, subject_, kAgain);
    v.element_ = value_type("the type of an array's elements");
    const std::uint64_t at = at_, n = count("the length of an array");
    if (n > kMostElements)
      fail("has an array of " + str(n) + " elements, and at most " + str(kMostElements) + " are allowed", at, subject_, kAgain);
    if (v.element_ == GgufType::text) {
      if (n > left() / count_size())
        fail("is truncated: an array of " + str(n) + " texts has no room before the end", at, subject_, "get the file again");
      v.starts_.reserve(n);
      for (std::uint64_t i = 0; i < n; ++i) {
        const std::string_view s = text("text " + str(i) + " of an array", kMostText);
        v.starts_.push_back(v.bytes_.size());
        const std::uint64_t size = s.size();
        v.bytes_.append(reinterpret_cast<const char*>(&size), 8);
        v.bytes_ += s;
      }
    } else if (v.element_ == GgufType::array) {
      if (n > left() / (4 + count_size()) || n > kMostLists - lists_)
        fail("has an array of " + str(n) + " arrays, for which there is no room", at, subject_, kAgain);
      lists_ += n;
      for (std::uint64_t i = 0; i < n; ++i) v.lists_.push_back(value(GgufType::array, depth + 1));
    } else {
      v.bytes_ = plain(v.element_, n);
    }
  }

  void tensor() {
    const std::uint64_t at = at_;
    subject_ = "tensor " + str(out_.tensors.size());
    GgufTensor t;
    const std::string_view name = text("the name of a tensor", kMostName);
    check_name(name, "the name of a tensor", at);
    subject_ = "tensor " + in_quotes(name);
    t.name = name;
    if (!tensor_names_.insert(name).second) fail("has this tensor twice", at, subject_, kAnew);

    const std::uint64_t axes_at = at_;
    const auto axes = take<std::uint32_t>("the number of axes");
    if (axes > kMostAxes) fail("has " + str(axes) + " axes, and a tensor has at most " + str(kMostAxes), axes_at, subject_, kAgain);
    if (axes == 0 && out_.notes.size() < 20) out_.notes.push_back(subject_ + " has no axes: one element");
    t.shape.resize(axes);
    for (std::uint32_t i = 0; i < axes; ++i) {
      const std::uint64_t axis_at = at_, n = count("the size of an axis");
      if (n == 0)
        fail("has an axis of size 0", axis_at, subject_,
             "a tensor without elements has no place in GGUF; have the file written without it");
      if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail("has an axis of size " + str(n), axis_at, subject_, kAgain);
      t.shape[axes - 1 - i] = static_cast<std::int64_t>(n);
    }

    const std::uint64_t type_at = at_;
    const auto id = take<std::uint32_t>("the type of a tensor");
    if (id >= std::size(kTypes))
      fail("is of the ggml type " + str(id) + ", and 0 to " + str(std::size(kTypes) - 1) + " are known", type_at, subject_,
           "update graft, or get the file again");
    const GgmlType& type = kTypes[id];
    if (!type.refused.empty()) {
      const std::size_t todo = type.refused.find("; ");
      fail("is of the type " + std::string(type.name) + ", which " + std::string(type.refused.substr(0, todo)), type_at, subject_,
           type.refused.substr(todo + 2));
    }
    t.dtype = type.name;
    const StoredType& stored = *stored_type(type.name);
    const std::int64_t row = t.shape.empty() ? 1 : t.shape.back();
    if (row % stored.elements != 0)
      fail("has rows of " + std::to_string(row) + ", which are not whole blocks of " + std::to_string(stored.elements) + " " + t.dtype,
           type_at, subject_, kAgain);
    const auto size = stored_bytes(stored, t.shape);
    if (!size) fail("has more elements or bytes than 63 bits count", axes_at, subject_, kAgain);
    t.bytes = *size;
    if (stored.elements > 1) quantised_ = true;
    offset_at_.push_back(at_);
    t.offset = take<std::uint64_t>("the place of a tensor");
    out_.tensors.push_back(std::move(t));
  }

  void data() {
    if (const GgufValue* v = out_.keys.find("general.quantization_version");
        v && quantised_ && v->is_whole() && v->number() != kQuantisationVersion)
      fail("has blocks of quantisation version " + v->shown() + ", and " + str(kQuantisationVersion) + " is known",
           out_.keys.byte_of("general.quantization_version"), "key \"general.quantization_version\"",
           "the blocks are laid out otherwise; convert the model anew");
    const std::uint64_t header_end = at_, mask = out_.alignment - 1;
    out_.data = (header_end + mask) & ~mask;  // both far below 2^63
    for (std::uint64_t i = header_end; i < out_.data && i < bytes_.size() && !out_.tensors.empty(); ++i)
      if (bytes_[i] != std::byte{0})
        fail("has the byte " + str(std::to_integer<unsigned>(bytes_[i])) + " where zeros lead from the header to the data", i,
             "after the last tensor's description", kAgain);
    std::uint64_t end = 0;           // of the last tensor, padded, from the beginning of the data
    std::uint64_t last = out_.data;  // of the last tensor in the file
    for (std::size_t i = 0; i < out_.tensors.size(); ++i) {
      GgufTensor& t = out_.tensors[i];
      subject_ = "tensor " + in_quotes(t.name);
      if (t.offset != end)
        fail(std::string(t.offset > end ? "leaves a hole" : "overlaps") + ": it begins at " + str(t.offset) + " of the data, where " +
                 str(end) + " is its place with the alignment " + str(out_.alignment),
             offset_at_[i], subject_, kAnew);
      const std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - out_.data - mask;
      if (t.bytes > most || end > most - t.bytes) fail("ends beyond what 63 bits count", offset_at_[i], subject_, kAgain);
      t.offset = out_.data + end;
      last = t.offset + t.bytes;
      end = (end + t.bytes + mask) & ~mask;
    }
    const std::uint64_t size = bytes_.size();
    if (out_.tensors.empty()) {
      if (size > out_.data)
        out_.warnings.push_back(str(size - out_.data) + " bytes at byte " + str(out_.data) + " belong to no tensor: the file has none");
      return;
    }
    if (last > size)
      fail("is truncated: its tensors take " + str(last) + " bytes, " + str(size) + " are there (" +
               str(static_cast<std::uint64_t>(100.0 * static_cast<double>(size) / static_cast<double>(last))) + "%)",
           size, "tensor " + in_quotes(first_beyond(size)), "get the file again");
    if (size < out_.data + end)
      out_.notes.push_back("the last tensor is not padded to the alignment: " + str(out_.data + end - size) +
                           " bytes are missing, none of them a weight's");
    if (size > out_.data + end)
      out_.warnings.push_back(str(size - out_.data - end) + " bytes at byte " + str(out_.data + end) +
                              ", after the last tensor, belong to nobody");
  }
  const std::string& first_beyond(std::uint64_t size) const {
    for (const GgufTensor& t : out_.tensors)
      if (t.offset + t.bytes > size) return t.name;
    return out_.tensors.back().name;
  }

  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
  GgufFile out_;
  std::string subject_;
  std::uint64_t tensor_count_ = 0, key_count_ = 0;
  std::size_t lists_ = 0;
  bool quantised_ = false;
  std::set<std::string_view> key_names_, tensor_names_;  // of the file's own bytes
  std::vector<std::uint64_t> offset_at_;
};

GgufFile GgufFile::parse(std::span<const std::byte> bytes, const std::string& path) {
  try {
    return GgufParser(bytes, path).parse();
  } catch (const Error& e) {
    // Read and written as text by something that knows UTF-8 only, every byte that was none is EF BF BD now, and what is left is valid
    // text. Binary numbers never are.
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), std::size_t{1} << 20));
    const auto mangled = all.find("\xEF\xBF\xBD");
    const auto wrong = first_not_utf8(all);
    if (mangled == std::string_view::npos || (wrong != std::string_view::npos && (wrong + 4 < all.size() || all.size() == bytes.size())))
      throw;
    throw Error(Code::input, path + ": was read and written as text on its way: EF BF BD stands for other bytes at byte " + str(mangled) +
                                 " (whole file); get it again as a binary file");
  }
}

}  // namespace graft
