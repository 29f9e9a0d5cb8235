// The values of GGUF's keys.
#include <charconv>
#include <cmath>

#include "engine/base/text.h"
#include "weights/formats/gguf.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

constexpr std::size_t kShownText = 4096, kShownElements = 8;

struct TypeRow {
  std::string_view name;
  std::size_t size;
};
constexpr TypeRow kRows[kGgufTypes] = {{"u8", 1},   {"i8", 1},   {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
                                       {"bool", 1}, {"text", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}};

template <class T>
T at(const std::string& bytes, std::size_t i) {
  T v;
  std::memcpy(&v, bytes.data() + i * sizeof v, sizeof v);
  return v;
}

// f of the number as its own C++ type.
template <class F>
auto with_number(GgufType type, const std::string& bytes, std::size_t i, F&& f) {
  switch (type) {
    case GgufType::i8: return f(at<std::int8_t>(bytes, i));
    case GgufType::u16: return f(at<std::uint16_t>(bytes, i));
    case GgufType::i16: return f(at<std::int16_t>(bytes, i));
    case GgufType::u32: return f(at<std::uint32_t>(bytes, i));
    case GgufType::i32: return f(at<std::int32_t>(bytes, i));
    case GgufType::f32: return f(at<float>(bytes, i));
    case GgufType::u64: return f(at<std::uint64_t>(bytes, i));
    case GgufType::i64: return f(at<std::int64_t>(bytes, i));
    case GgufType::f64: return f(at<double>(bytes, i));
    default: return f(at<std::uint8_t>(bytes, i));  // u8 and boolean
  }
}

template <class T>
void append(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

bool is_number(GgufType t) { return t != GgufType::text && t != GgufType::array; }

}  // namespace

std::string_view name_of(GgufType type) { return kRows[static_cast<std::uint32_t>(type)].name; }
std::size_t size_of(GgufType type) { return kRows[static_cast<std::uint32_t>(type)].size; }

GgufValue GgufValue::array(const std::vector<std::string>& v) {
  GgufValue a(GgufType::array, GgufType::text, {});
  for (const std::string& s : v) {
    a.starts_.push_back(a.bytes_.size());
    append(a.bytes_, static_cast<std::uint64_t>(s.size()));
    a.bytes_ += s;
  }
  return a;
}

GgufValue GgufValue::array(std::vector<GgufValue> arrays) {
  for (const GgufValue& v : arrays)
    if (v.type_ != GgufType::array)
      throw Error(Code::usage, "GgufValue: an array of arrays holds the " + std::string(name_of(v.type_)) + " value " + v.shown());
  GgufValue a(GgufType::array, GgufType::array, {});
  a.lists_ = std::move(arrays);
  return a;
}

void GgufValue::need(bool kind, const char* what) const {
  if (kind) return;
  std::string is(name_of(type_));
  if (type_ == GgufType::array) is += " of " + std::to_string(size()) + " " + std::string(name_of(element_));
  throw Error(Code::usage, "a GGUF value is " + is + ", where " + what + " is wanted");
}

std::size_t GgufValue::size() const {
  if (type_ != GgufType::array) return 1;
  if (element_ == GgufType::array) return lists_.size();
  if (element_ == GgufType::text) return starts_.size();
  return bytes_.size() / size_of(element_);
}

std::string_view GgufValue::text(std::size_t i) const {
  if (type_ == GgufType::text && i == 0) return bytes_;
  need(type_ == GgufType::array && element_ == GgufType::text && i < size(), "text");
  std::uint64_t n;
  std::memcpy(&n, bytes_.data() + starts_[i], 8);
  return std::string_view(bytes_).substr(starts_[i] + 8, n);
}

double GgufValue::number(std::size_t i) const {
  const GgufType of = type_ == GgufType::array ? element_ : type_;
  need(is_number(of) && i < size(), "a number");
  return with_number(of, bytes_, i, [](auto v) { return static_cast<double>(v); });
}

std::int64_t GgufValue::whole(std::size_t i) const {
  const GgufType of = type_ == GgufType::array ? element_ : type_;
  need(is_number(of) && of != GgufType::f32 && of != GgufType::f64 && i < size(), "a whole number");
  if (of == GgufType::u64) need(at<std::uint64_t>(bytes_, i) >> 63 == 0, "a whole number below 2^63");
  return with_number(of, bytes_, i, [](auto v) { return static_cast<std::int64_t>(v); });
}

const GgufValue& GgufValue::list(std::size_t i) const {
  need(type_ == GgufType::array && element_ == GgufType::array && i < size(), "an array of arrays");
  return lists_[i];
}

bool GgufValue::is_whole() const { return is_number(type_) && type_ != GgufType::f32 && type_ != GgufType::f64; }

std::string GgufValue::json(std::size_t i) const {
  const GgufType of = type_ == GgufType::array ? element_ : type_;
  if (of == GgufType::array) return lists_[i].shown();
  if (of == GgufType::text) return in_quotes(text(i));
  if (of == GgufType::boolean) return bytes_[i] != 0 ? "true" : "false";
  return with_number(of, bytes_, i, [](auto v) {
    if constexpr (std::is_floating_point_v<decltype(v)>)
      if (!std::isfinite(v)) return std::string(std::isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    char text[64];
    if constexpr (sizeof v == 1) return std::to_string(static_cast<int>(v));
    else return std::string(text, std::to_chars(text, text + sizeof text, v).ptr);
  });
}

std::string GgufValue::shown() const {
  if (type_ == GgufType::text) {
    const bool whole = bytes_.size() <= kShownText;
    std::string s = first_not_utf8(bytes_) == std::string_view::npos ? bytes_ : one_line(bytes_);
    if (whole) return s;
    std::size_t cut = kShownText;
    while (cut > 0 && (static_cast<unsigned char>(s[cut]) & 0xc0u) == 0x80u) --cut;  // not within a character
    return s.substr(0, cut) + "... (" + std::to_string(bytes_.size()) + " bytes in all)";
  }
  if (type_ != GgufType::array) return json(0);
  std::string s = "[";
  const std::size_t n = size(), shown = n <= kShownElements ? n : kShownElements;
  for (std::size_t i = 0; i < shown; ++i) s += (i ? ", " : "") + json(i);
  if (n > shown) s += ", ... (" + std::to_string(n) + " in all)";
  return s + "]";
}

void GgufValue::append_to(std::string& out) const {
  if (type_ == GgufType::text) append(out, static_cast<std::uint64_t>(bytes_.size()));
  if (type_ == GgufType::array) {
    append(out, static_cast<std::uint32_t>(element_));
    append(out, static_cast<std::uint64_t>(size()));
    for (const GgufValue& v : lists_) v.append_to(out);
  }
  out += bytes_;
}

const GgufValue* GgufKeys::find(std::string_view name) const {
  for (const GgufKey& k : keys_)
    if (k.name == name) return &k.value;
  return nullptr;
}

std::uint64_t GgufKeys::byte_of(std::string_view name) const {
  for (const GgufKey& k : keys_)
    if (k.name == name) return k.byte;
  return 0;
}

void GgufKeys::set(const std::string& name, GgufValue value) {
  for (GgufKey& k : keys_)
    if (k.name == name) {
      k.value = std::move(value);
      return;
    }
  keys_.push_back({name, std::move(value)});
}

void GgufKeys::remove(std::string_view name) {
  std::erase_if(keys_, [&](const GgufKey& k) { return k.name == name; });
}

}  // namespace graft
