#include "weights/formats/npy.h"

#include <limits>
#include <optional>

#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMostAxes = 64;

// What numpy calls the types that graft has names for; without byte order.
struct NumpyType {
  std::string_view numpy, stored;
};
constexpr NumpyType kTypes[] = {{"f4", "F32"}, {"f2", "F16"},  {"f8", "F64"}, {"i1", "I8"},    {"u1", "U8"},
                                {"i2", "I16"}, {"u2", "U16"},  {"i4", "I32"}, {"u4", "U32"},   {"i8", "I64"},
                                {"u8", "U64"}, {"b1", "BOOL"}, {"c8", "C64"}, {"c16", "C128"}, {"V2", "BF16"}};

// The header: one dictionary of exactly three keys. Everything that is not that is refused where it stands.
class HeaderParser {
 public:
  HeaderParser(const ByteWindow& w, std::uint64_t at, std::uint64_t size, std::string of, bool python2)
      : w_(w), begin_(at), text_(w.text(at, size, "the header")), of_(std::move(of)), python2_(python2) {}

  std::string descr;
  bool fortran = false;
  std::vector<std::int64_t> shape;

  void parse() {
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = text();
      expect(':');
      const auto once = [&](bool& have) {
        if (have) wrong("the key '" + key + "' twice");
        have = true;
      };
      if (key == "descr") once(have_descr), descr = type();
      else if (key == "fortran_order") once(have_order), fortran = boolean();
      else if (key == "shape") once(have_shape), tuple();
      else wrong("the key " + in_quotes(key) + " that no header has");
      if (take('}')) break;
      expect(',');
    }
    space();
    if (p_ != text_.size()) wrong("more after its dictionary");
    if (!have_descr || !have_order || !have_shape) wrong("no 'descr', 'fortran_order' or 'shape'");
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const { w_.refuse(begin_ + p_, "the header" + of_ + " has " + what); }
  void space() {
    while (p_ < text_.size() && (text_[p_] == ' ' || text_[p_] == '\n')) ++p_;
  }
  bool take(char c) {
    space();
    if (p_ >= text_.size() || text_[p_] != c) return false;
    ++p_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) wrong(std::string("no '") + c + "' where it must be");
  }
  std::string text() {
    space();
    if (p_ < text_.size() && text_[p_] != '\'' && text_[p_] != '"') wrong("no text where it must be");
    const char quote = p_ < text_.size() ? text_[p_] : '\'';
    const auto end = text_.find(quote, p_ + 1);
    if (end == std::string_view::npos) wrong("a text without an end");
    std::string out(text_.substr(p_ + 1, end - p_ - 1));
    if (out.find('\\') != std::string::npos) wrong("an escape in a text");
    p_ = end + 1;
    return out;
  }
  std::string type() {
    space();
    if (p_ < text_.size() && (text_[p_] == '[' || text_[p_] == '('))
      w_.refuse(begin_ + p_, "the array" + of_ + " is structured (several fields in an element)",
                "save each field as an array of its own: np.savez(file, **{k: a[k] for k in a.dtype.names})");
    return text();
  }
  bool boolean() {
    space();
    for (const bool v : {false, true}) {
      const std::string_view word = v ? "True" : "False";
      if (text_.substr(p_).starts_with(word)) {
        p_ += word.size();
        return v;
      }
    }
    wrong("neither True nor False as its fortran_order");
  }
  void tuple() {
    expect('(');
    bool comma = true;
    while (!take(')')) {
      if (!comma) wrong("no ',' between two sizes");
      space();
      std::uint64_t n = 0;
      const std::size_t first = p_;
      for (; p_ < text_.size() && text_[p_] >= '0' && text_[p_] <= '9'; ++p_) {
        const auto digit = static_cast<std::uint64_t>(text_[p_] - '0');
        if (n > (static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - digit) / 10) wrong("a size above 2^63");
        n = n * 10 + digit;
      }
      if (p_ == first) wrong("a size that is no natural number");
      if (python2_ && p_ < text_.size() && text_[p_] == 'L') ++p_;  // as Python 2 wrote it
      if (shape.size() == kMostAxes) wrong("more than 64 axes");
      shape.push_back(static_cast<std::int64_t>(n));
      comma = take(',');
    }
    if (shape.size() == 1 && !comma) wrong("a shape that is a number and no tuple");
  }

  const ByteWindow& w_;
  std::uint64_t begin_;
  std::string_view text_;
  std::string of_;
  bool python2_;
  std::size_t p_ = 0;
};

}  // namespace

bool is_npy(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::string_view(reinterpret_cast<const char*>(bytes.data()), kMagic.size()) == kMagic;
}

NpyArray read_npy(const ByteWindow& w, std::uint64_t size, const std::string& what) {
  const std::string of = what.empty() ? "" : " (" + what + ")";
  if (w.text(0, kMagic.size(), "an array" + of) != kMagic) w.refuse(0, "no array of NumPy's" + of);
  const int version = w.u8(6, "an array" + of);
  if (version < 1 || version > 3 || w.u8(7, "an array" + of) != 0)
    w.refuse(6, "an array" + of + " of version " + std::to_string(version) + "." + std::to_string(w.u8(7, "")),
             "graft reads 1.0, 2.0 and 3.0; save it with np.save");
  const std::uint64_t length = version == 1 ? w.u16(8, "an array" + of) : w.u32(8, "an array" + of), begin = version == 1 ? 10 : 12;
  if (length > 10000) w.refuse(8, "a header" + of + " of " + std::to_string(length) + " bytes, and NumPy itself takes at most 10000");
  HeaderParser h(w, begin, length, of, version < 3);
  h.parse();

  NpyArray a;
  a.at = begin + length;
  a.shape = std::move(h.shape);
  const std::string& d = h.descr;
  const auto no = [&](const std::string& kind, const std::string& todo) {
    w.refuse(begin, "the array" + of + " holds " + kind + " (dtype " + in_quotes(d) + ")", todo);
  };
  if (d.size() < 2 || (d[0] != '<' && d[0] != '>' && d[0] != '|' && d[0] != '='))
    no("elements of no type of NumPy's", "the file is damaged, get it again");
  const std::string_view kind = std::string_view(d).substr(1);
  if (kind == "O" || kind == "O4" || kind == "O8") {  // Python 2 wrote the size of a pointer too
    a.objects = true;
    a.bytes = size - std::min(size, a.at);
    return a;
  }
  if (kind.starts_with('U') || kind.starts_with('S') || kind.starts_with('a')) no("text", "weights are numbers: leave it out");
  if (kind.starts_with('M') || kind.starts_with('m')) no("dates or times", "weights are numbers: leave it out");
  const NumpyType* type = nullptr;
  for (const NumpyType& t : kTypes)
    if (t.numpy == kind) type = &t;
  if (!type) no("elements that graft has no numbers for", "convert it where it was made, a.astype(np.float32)");
  a.dtype = type->stored;
  const int width = stored_type(a.dtype)->bits / 8;
  if (d[0] == '|' && width > 1 && type->numpy != "V2") no("numbers without a byte order", "the file is damaged, get it again");
  a.swapped = d[0] == '>' && width > 1;
  if (type->numpy == "V2") {
    if (a.swapped) no("raw bytes in the other byte order", "convert it where it was made, a.astype(np.float32)");
    a.note =
        "the array" + of + " is raw elements of two bytes (dtype " + in_quotes(d) + "), taken as bfloat16: NumPy has no name for those";
  }
  const auto bytes = stored_bytes(*stored_type(a.dtype), a.shape);
  if (!bytes) w.refuse(begin, "a shape" + of + " whose size overflows");
  a.bytes = *bytes;
  const std::uint64_t have = size - std::min(size, a.at);
  if (have != a.bytes)
    w.refuse(a.at, "the array" + of + " takes " + std::to_string(a.bytes) + " bytes and " + std::to_string(have) + " are there",
             have < a.bytes ? "the file is cut, get it again" : "the file holds more than this array; save several with np.savez");
  if (h.fortran && a.shape.size() > 1 && a.bytes > 0) {
    std::int64_t step = 1;
    for (const std::int64_t s : a.shape) a.strides.push_back(step), step *= s;
  }
  return a;
}

std::string npy_header(const std::string& dtype, std::span<const std::int64_t> shape) {
  std::string descr;
  for (const NumpyType& t : kTypes)
    if (t.stored == dtype) descr = (t.numpy == "V2" || t.numpy.ends_with("1") ? "|" : "<") + std::string(t.numpy);
  if (descr.empty()) throw Error(Code::usage, "npy: NumPy has no type " + dtype + "; convert to F32 before");
  std::string text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  text += std::string(shape.size() == 1 ? "," : "") + "), }";
  for (const std::size_t head : {std::size_t{10}, std::size_t{12}}) {
    std::string padded = text + std::string(63 - (head + text.size()) % 64, ' ') + '\n';
    if (head == 10 && padded.size() > 65535) continue;
    std::string out(kMagic);
    out += head == 10 ? '\1' : '\2';
    out += '\0';
    for (std::size_t i = 0; i < head - 8; ++i) out += static_cast<char>(padded.size() >> (8 * i) & 255u);
    return out + padded;
  }
  return {};
}

}  // namespace graft
