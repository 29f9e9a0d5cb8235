// GGUF (ggml-org/ggml, docs/gguf.md), versions 1 to 3: "GGUF", version, counts; typed keys; tensors' names, shapes, types, places; then the
// data, each tensor at a multiple of the alignment. Reading checks the whole header before anything is handed out and copies no tensor.
// Every refusal of a file is Error(Code::input).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/tensor/tensor.h"
#include "weights/formats/readers.h"

namespace graft {

// The format's numbers for its types of values.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
inline constexpr std::uint32_t kGgufTypes = 13;
std::string_view name_of(GgufType type);
std::size_t size_of(GgufType type);  // bytes; 0 for text and array

template <class T>
constexpr GgufType gguf_type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return GgufType::u8;
  else if constexpr (std::is_same_v<T, std::int8_t>) return GgufType::i8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return GgufType::u16;
  else if constexpr (std::is_same_v<T, std::int16_t>) return GgufType::i16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return GgufType::u32;
  else if constexpr (std::is_same_v<T, std::int32_t>) return GgufType::i32;
  else if constexpr (std::is_same_v<T, float>) return GgufType::f32;
  else if constexpr (std::is_same_v<T, bool>) return GgufType::boolean;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return GgufType::u64;
  else if constexpr (std::is_same_v<T, std::int64_t>) return GgufType::i64;
  else {
    static_assert(std::is_same_v<T, double>, "a type that GGUF has");
    return GgufType::f64;
  }
}

// One value: a number, a text, or an array of one type, which may be arrays again. It keeps the bytes that a version 3 file has for it, so
// that writing gives them back.
class GgufValue {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  static GgufValue of(T v) {
    std::string bytes(sizeof v, '\0');
    std::memcpy(bytes.data(), &v, sizeof v);
    return GgufValue(gguf_type_of<T>(), GgufType::u8, std::move(bytes));
  }
  static GgufValue of(std::string_view text) { return GgufValue(GgufType::text, GgufType::u8, std::string(text)); }
  static GgufValue of(const char* text) { return of(std::string_view(text)); }
  template <class T>
  requires std::is_arithmetic_v<T>
  static GgufValue array(const std::vector<T>& v) {
    std::string bytes(v.size() * sizeof(T), '\0');
    for (std::size_t i = 0; i < v.size(); ++i) {
      const T one = v[i];
      std::memcpy(bytes.data() + i * sizeof(T), &one, sizeof(T));
    }
    return GgufValue(GgufType::array, gguf_type_of<T>(), std::move(bytes));
  }
  static GgufValue array(const std::vector<std::string>& v);
  static GgufValue array(std::vector<GgufValue> arrays);  // all of them arrays; Error(usage) otherwise

  GgufType type() const { return type_; }
  GgufType element_type() const { return element_; }  // of an array
  std::size_t size() const;                           // elements of an array; 1 for others

  // Element i of an array, or with i = 0 the value itself. Error(usage) when it is of another kind or i is not below size().
  std::string_view text(std::size_t i = 0) const;
  double number(std::size_t i = 0) const;       // any number or boolean
  std::int64_t whole(std::size_t i = 0) const;  // any whole number or boolean; u64 above 2^63 - 1 is an Error(usage)
  const GgufValue& list(std::size_t i) const;   // of an array of arrays
  template <class T>
  std::vector<T> numbers() const {  // an array of exactly this type
    need(type_ == GgufType::array && element_ == gguf_type_of<T>(), "an array of this type");
    std::vector<T> v(size());
    for (std::size_t i = 0; i < v.size(); ++i) {
      T one;
      std::memcpy(&one, bytes_.data() + i * sizeof(T), sizeof(T));
      v[i] = one;
    }
    return v;
  }
  bool is_whole() const;  // a number without fraction, or a boolean; not an array
  bool operator==(const GgufValue& o) const {
    return type_ == o.type_ && element_ == o.element_ && bytes_ == o.bytes_ && lists_ == o.lists_;
  }

  // For people: text as it stands (cut after 4096 bytes), all else as JSON (arrays cut after 8 elements, with their number).
  std::string shown() const;
  void append_to(std::string& out) const;  // as a version 3 file has it after its type

 private:
  friend class GgufParser;
  GgufValue() = default;
  GgufValue(GgufType type, GgufType element, std::string bytes) : type_(type), element_(element), bytes_(std::move(bytes)) {}
  void need(bool kind, const char* what) const;
  std::string json(std::size_t i) const;  // element i, or the value itself

  GgufType type_ = GgufType::u8, element_ = GgufType::u8;
  std::string bytes_;                  // of an array of texts: u64 length and bytes, one after the other
  std::vector<std::uint64_t> starts_;  // of an array of texts: where in bytes_ each text's length is
  std::vector<GgufValue> lists_;       // of an array of arrays
};

struct GgufKey {
  std::string name;
  GgufValue value;
  std::uint64_t byte = 0;  // of the file that it was read from; 0: of none
};

// Keys in the file's order; names are unique.
class GgufKeys {
 public:
  const std::vector<GgufKey>& all() const { return keys_; }
  const GgufValue* find(std::string_view name) const;  // nullptr when it is not there
  std::uint64_t byte_of(std::string_view name) const;  // where it stands in its file; 0 when it is not there
  void set(const std::string& name, GgufValue value);  // in place, or at the end
  void remove(std::string_view name);

 private:
  friend class GgufParser;
  std::vector<GgufKey> keys_;
};

struct GgufTensor {
  std::string name, dtype;          // by weights/stored_type.h
  std::vector<std::int64_t> shape;  // slowest axis first: the reverse of the file's order
  std::uint64_t offset = 0;         // of its first byte in the file
  std::uint64_t bytes = 0;
};

// The header of one file, checked against the file's size.
struct GgufFile {
  std::string path;
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  GgufKeys keys;
  std::vector<GgufTensor> tensors;  // in the order of their data
  std::uint64_t data = 0;           // where the data begin
  std::vector<std::string> warnings, notes;

  // `bytes` is the whole file; `path` is only for messages.
  static GgufFile parse(std::span<const std::byte> bytes, const std::string& path);
};

// A GGUF checkpoint as a Source, one file or all pieces of a split one. What open_source gives for such a file is one of these.
class GgufSource : public Source {
 public:
  explicit GgufSource(const std::filesystem::path& path);
  KeptBytes bytes(std::size_t i) const override;

  GgufKeys keys;  // of the first piece

 private:
  std::vector<FilePtr> maps_;
};

// ---- types ----
// ggml's number for a stored type's name; nothing when it has none.
std::optional<std::uint32_t> ggml_type_of(std::string_view dtype);

// ---- writing ----
struct GgufItem {
  std::string name, dtype;
  std::vector<std::int64_t> shape;  // slowest axis first
};
// All that comes before the data, padded to where they begin.
std::string gguf_header(const GgufKeys& keys, const std::vector<GgufItem>& items);
// A version 3 file with the items in the order given, at multiples of general.alignment among the keys (32 without it). The same keys,
// items and bytes give the same file as gguf-py and ggml write. `bytes_of(i)` is called once per item, in order; its result must hold until
// the next call. Atomic (engine/base/file.h). Error(usage): a name twice, empty or of 64 bytes and more, more than 4 axes, a size of 0, a
// type that GGUF has not, an alignment that is no power of two.
void write_gguf(const std::filesystem::path& path, const GgufKeys& keys, const std::vector<GgufItem>& items,
                const std::function<std::span<const std::byte>(std::size_t)>& bytes_of);

struct GgufOutput {
  std::string name;
  Tensor tensor;
  std::string
      dtype;  // what it is written as: F32, F16, BF16, F64 and the types that quantises() knows from floats; I32 and I64 from themselves
};
// Error(input) when a value has no place in the type: NaN or infinity in a block, a number above f16's largest in F16. Names tensor and
// element.
void write_gguf(const std::filesystem::path& path, const GgufKeys& keys, const std::vector<GgufOutput>& tensors);

// What a tensor is stored as when the file is to be of the type `wanted`, as is the custom: one axis stays F32; rows that are not whole
// blocks fall back to Q8_0 and then to F16.
std::string gguf_dtype_for(std::string_view wanted, std::span<const std::int64_t> shape);
// The keys of a file that is written again with most tensors of type `dtype`: everything is carried along, general.file_type and
// general.quantization_version say what is true now, and what described the pieces of a split file is left out.
GgufKeys gguf_keys_for(const GgufKeys& keys, std::string_view dtype);

}  // namespace graft
