// Writing GGUF: the header from keys and items, then the data, one tensor in memory at a time.
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "engine/base/context.h"
#include "engine/ops/raw.h"
#include "weights/formats/ggml_blocks.h"
#include "weights/formats/gguf.h"
#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

template <class T>
void append(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}
void append_text(std::string& out, std::string_view s) {
  append(out, static_cast<std::uint64_t>(s.size()));
  out += s;
}
std::uint64_t padded(std::uint64_t n, std::uint64_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }

std::uint64_t alignment_of(const GgufKeys& keys) {
  const GgufValue* v = keys.find("general.alignment");
  if (!v) return 32;
  const auto n = v->type() == GgufType::u32 ? static_cast<std::uint64_t>(v->whole()) : 0;
  if (!std::has_single_bit(n)) throw Error(Code::usage, "write_gguf: general.alignment is " + v->shown() + "; it is a power of two as u32");
  return n;
}

std::uint64_t checked_bytes(const GgufItem& item) {
  const std::string who = "write_gguf: tensor " + in_quotes(item.name);
  if (item.name.empty() || item.name.size() > 63)
    throw Error(Code::usage, who + " has a name of " + std::to_string(item.name.size()) + " bytes; GGUF allows 1 to 63, rename it");
  if (first_not_utf8(item.name) != std::string_view::npos || item.name.find('\0') != std::string::npos)
    throw Error(Code::usage, who + " has a name that is not text; rename it");
  if (!ggml_type_of(item.dtype)) throw Error(Code::usage, who + " is " + item.dtype + ", which GGUF has not; convert it first");
  if (item.shape.size() > 4)
    throw Error(Code::usage, who + " has " + std::to_string(item.shape.size()) + " axes, and GGUF has at most 4; reshape it first");
  for (const std::int64_t n : item.shape)
    if (n <= 0)
      throw Error(Code::usage,
                  who + " has an axis of size " + std::to_string(n) + ", and GGUF has no tensors without elements; leave it out");
  const auto bytes = stored_bytes(*stored_type(item.dtype), item.shape);
  if (!bytes)
    throw Error(Code::usage, who + " has a last axis that is not whole blocks of " + item.dtype +
                                 ", or is too large; gguf_dtype_for gives a type that fits");
  return *bytes;
}

// On the CPU and row-major; itself when it is so already.
Tensor dense_on_host(const Tensor& t) {
  const UseQueue host(host_queue());
  const Tensor here = t.to(Device{});
  return here.is_contiguous() ? here : raw::copy_of(here);
}

// The elements of a dense tensor as f32. f64 is rounded.
std::vector<float> floats_of(const Tensor& t) {
  return visit_float(t.dtype(), [&]<class T>() {
    const auto* from = static_cast<const T*>(t.raw());
    return std::vector<float>(from, from + t.numel());
  });
}

template <class T>
std::vector<std::byte> as_bytes_of(const std::vector<T>& v) {
  const auto b = std::as_bytes(std::span(v));
  return {b.begin(), b.end()};
}

// What of a finite number became infinite in 16 bits.
template <class Half>
std::vector<std::byte> halves(const std::vector<float>& x, const std::string& who, const std::string& dtype) {
  std::vector<std::byte> out(2 * x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Half h(x[i]);
    if (std::isfinite(x[i]) && !std::isfinite(static_cast<float>(h)))
      throw Error(Code::input, who + ": element " + std::to_string(i) + " is " + std::to_string(x[i]) + ", above the largest number of " +
                                   dtype + "; write it as F32");
    std::memcpy(out.data() + 2 * i, &h.bits, 2);
  }
  return out;
}

std::vector<std::byte> stored(const GgufOutput& o, const std::string& who) {
  const Tensor t = dense_on_host(o.tensor);
  const DType from = t.dtype();
  if (stored_name(from) == o.dtype) {
    const auto* bytes = static_cast<const std::byte*>(t.raw());
    return {bytes, bytes + t.bytes()};
  }
  if (!is_float(from) ||
      !(o.dtype == "F16" || o.dtype == "BF16" || o.dtype == "F32" || o.dtype == "F64" || stored_type(o.dtype)->elements > 1))
    throw Error(Code::usage, who + " is " + std::string(name_of(from)) + " and cannot be written as " + o.dtype);
  const std::vector<float> x = floats_of(t);
  if (from == DType::f64)
    for (std::size_t i = 0; i < x.size(); ++i)
      if (std::isfinite(t.data<double>()[i]) && !std::isfinite(x[i]))
        throw Error(Code::input,
                    who + ": element " + std::to_string(i) + " is above the largest number of " + o.dtype + "; write it as F64");
  if (o.dtype == "F32") return as_bytes_of(x);
  if (o.dtype == "F64") return as_bytes_of(std::vector<double>(x.begin(), x.end()));
  if (o.dtype == "F16") return halves<f16>(x, who, o.dtype);
  if (o.dtype == "BF16") return halves<bf16>(x, who, o.dtype);
  if (!quantises(o.dtype)) throw Error(Code::usage, who + ": " + o.dtype + " is only read; choose Q8_0, Q4_0 to Q5_1, or Q2_K to Q6_K");
  const StoredType& type = *stored_type(o.dtype);
  std::vector<std::byte> out(x.size() / static_cast<std::size_t>(type.elements) * static_cast<std::size_t>(type.bits) / 8);
  try {
    quantise_blocks(o.dtype, x.data(), x.size() / static_cast<std::size_t>(type.elements), out.data());
  } catch (const Error& e) {
    if (e.code() != Code::input) throw;
    throw Error(Code::input, who + ": " + e.what());
  }
  return out;
}

}  // namespace

std::string gguf_header(const GgufKeys& keys, const std::vector<GgufItem>& items) {
  const std::uint64_t alignment = alignment_of(keys);
  std::string header = "GGUF";
  append(header, std::uint32_t{3});
  append(header, static_cast<std::uint64_t>(items.size()));
  append(header, static_cast<std::uint64_t>(keys.all().size()));
  std::set<std::string_view> names;
  for (const auto& [name, value, at] : keys.all()) {
    if (name.empty() || name.size() > 65535 || first_not_utf8(name) != std::string_view::npos || !names.insert(name).second)
      throw Error(Code::usage, "write_gguf: the key " + in_quotes(name) + " is there twice, or is no text of 1 to 65535 bytes; rename it");
    append_text(header, name);
    append(header, static_cast<std::uint32_t>(value.type()));
    value.append_to(header);
  }
  names.clear();
  std::uint64_t offset = 0;
  for (const GgufItem& item : items) {
    const std::uint64_t size = checked_bytes(item);
    if (!names.insert(item.name).second)
      throw Error(Code::usage, "write_gguf: tensor " + in_quotes(item.name) + " is there twice; rename one");
    append_text(header, item.name);
    append(header, static_cast<std::uint32_t>(item.shape.size()));
    for (std::size_t i = item.shape.size(); i-- > 0;) append(header, static_cast<std::uint64_t>(item.shape[i]));
    append(header, *ggml_type_of(item.dtype));
    append(header, offset);
    if (size > (std::uint64_t{1} << 62) - offset) throw Error(Code::usage, "write_gguf: the tensors take more than 2^62 bytes");
    offset = padded(offset + size, alignment);
  }
  if (!items.empty()) header.resize(padded(header.size(), alignment), '\0');
  return header;
}

void write_gguf(const std::filesystem::path& path, const GgufKeys& keys, const std::vector<GgufItem>& items,
                const std::function<std::span<const std::byte>(std::size_t)>& bytes_of) {
  const std::uint64_t alignment = alignment_of(keys);
  const std::string header = gguf_header(keys, items);
  const std::string zeros(alignment < 4096 ? alignment : 4096, '\0');
  write_atomically(path, [&](FileSink& sink) {
    sink.write(header);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::span<const std::byte> bytes = bytes_of(i);
      const std::uint64_t size = checked_bytes(items[i]);
      if (bytes.size() != size)
        throw Error(Code::usage, "write_gguf: tensor " + in_quotes(items[i].name) + " takes " + std::to_string(size) + " bytes, got " +
                                     std::to_string(bytes.size()));
      sink.write(bytes);
      for (std::uint64_t pad = padded(size, alignment) - size; pad > 0;) {
        const std::uint64_t n = std::min<std::uint64_t>(pad, zeros.size());
        sink.write(std::string_view(zeros).substr(0, n));
        pad -= n;
      }
    }
  });
}

void write_gguf(const std::filesystem::path& path, const GgufKeys& keys, const std::vector<GgufOutput>& tensors) {
  std::vector<GgufItem> items;
  for (const GgufOutput& o : tensors) {
    const Shape& s = o.tensor.shape();
    items.push_back({o.name, o.dtype, {}});
    for (int i = 0; i < s.rank(); ++i) items.back().shape.push_back(s[i]);
  }
  std::vector<std::byte> bytes;
  write_gguf(path, keys, items, [&](std::size_t i) {
    bytes = stored(tensors[i], path.string() + ": tensor " + in_quotes(tensors[i].name));
    return std::span<const std::byte>(bytes);
  });
}

std::string gguf_dtype_for(std::string_view wanted, std::span<const std::int64_t> shape) {
  const StoredType* type = stored_type(wanted);
  if (!type || !ggml_type_of(wanted))
    throw Error(Code::usage, "GGUF has no type " + in_quotes(wanted) + "; choose F32, F16, BF16, Q8_0, Q4_0 to Q5_1, or Q2_K to Q6_K");
  if (shape.size() < 2) return "F32";
  for (const std::string_view t : {wanted, std::string_view("Q8_0")})
    if (shape.back() % stored_type(t)->elements == 0) return std::string(t);
  return "F16";
}

GgufKeys gguf_keys_for(const GgufKeys& keys, std::string_view dtype) {
  // llama.cpp's numbers for what most tensors of a file are; of the K types those of the middle-sized mixtures.
  struct FileType {
    std::string_view dtype;
    std::uint32_t number;
  };
  constexpr FileType kFileTypes[] = {{"F32", 0},   {"F16", 1},   {"Q4_0", 2},  {"Q4_1", 3},   {"Q8_0", 7},
                                     {"Q5_0", 8},  {"Q5_1", 9},  {"Q2_K", 10}, {"Q3_K", 12},  {"Q4_K", 15},
                                     {"Q5_K", 17}, {"Q6_K", 18}, {"BF16", 32}, {"TQ1_0", 36}, {"TQ2_0", 37}};
  GgufKeys out = keys;
  for (const char* split : {"split.no", "split.count", "split.tensors.count"}) out.remove(split);
  out.remove("general.file_type");
  for (const FileType& f : kFileTypes)
    if (f.dtype == dtype) out.set("general.file_type", GgufValue::of(f.number));
  const StoredType* type = stored_type(dtype);
  if (type && type->elements > 1) out.set("general.quantization_version", GgufValue::of(std::uint32_t{2}));
  return out;
}

}  // namespace graft
