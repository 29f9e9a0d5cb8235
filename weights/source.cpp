#include "weights/source.h"

#include <cstring>
#include <limits>

#include "weights/formats/ggml_blocks.h"
#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

// The elements of a strided range in row-major order.
std::vector<std::byte> dense(const StoredTensor& t, std::span<const std::byte> from, std::size_t width, std::size_t n) {
  std::vector<std::byte> out(n * width);
  std::vector<std::int64_t> at(t.shape.size(), 0);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::memcpy(out.data() + i * width, from.data() + static_cast<std::size_t>(offset) * width, width);
    for (std::size_t d = t.shape.size(); d-- > 0;) {
      offset += t.strides[d];
      if (++at[d] < t.shape[d]) break;
      offset -= t.strides[d] * t.shape[d];
      at[d] = 0;
    }
  }
  return out;
}

}  // namespace

const StoredTensor* Source::find(std::string_view name) const {
  for (const StoredTensor& t : tensors)
    if (t.name == name) return &t;
  return nullptr;
}

KeptBytes Source::dense_bytes(std::size_t i) const {
  const StoredTensor& t = tensors[i];
  const StoredType* type = stored_type(t.dtype);
  const auto size = type ? stored_bytes(*type, t.shape) : std::nullopt;
  if (!size)
    throw Error(Code::input,
                files[t.file] + ": tensor " + in_quotes(t.name) + " at byte " + std::to_string(t.offset) + " is of no possible size");
  KeptBytes kept = bytes(i);
  if (t.strides.empty() || *size == 0) {
    if (kept.data.size() != *size)
      throw Error(Code::bug, path + ": the reader gave " + std::to_string(kept.data.size()) + " bytes for " + in_quotes(t.name) +
                                 ", which takes " + std::to_string(*size));
    return kept;
  }
  const std::size_t width = static_cast<std::size_t>(type->bits) / 8;
  std::uint64_t last = 0;
  for (std::size_t d = 0; d < t.shape.size(); ++d)
    last += static_cast<std::uint64_t>(t.strides[d]) * static_cast<std::uint64_t>(t.shape[d] - 1);
  if (type->elements != 1 || kept.data.size() / width <= last)
    throw Error(Code::bug, path + ": strides of " + in_quotes(t.name) + " leave its bytes");
  const auto copy = std::make_shared<std::vector<std::byte>>(dense(t, kept.data, width, *size / width));
  return {*copy, copy};
}

Tensor Source::load(std::size_t i) const {
  const StoredTensor& t = tensors[i];
  const auto refuse = [&](const std::string& what) {
    throw Error(Code::input, files[t.file] + ": tensor " + in_quotes(t.name) + " at byte " + std::to_string(t.offset) + " " + what);
  };
  const StoredType* type = stored_type(t.dtype);
  if (!type || !type->loads) refuse("has the dtype " + t.dtype + ", and graft has no such numbers: convert it where it was made");
  if (t.shape.size() > static_cast<std::size_t>(kMaxRank))
    refuse("has " + std::to_string(t.shape.size()) + " axes, and a tensor has at most " + std::to_string(kMaxRank) +
           ": reshape it where it was made");
  const KeptBytes kept = dense_bytes(i);

  const Shape shape(t.shape);
  const auto n = static_cast<std::size_t>(shape.numel());
  const bool itself = stored_name(type->loaded) == type->name;
  if (type->loaded == DType::b8)
    for (std::size_t k = 0; k < n; ++k)
      if (std::to_integer<unsigned>(kept.data[k]) > 1)
        refuse("is BOOL but holds the byte " + std::to_string(std::to_integer<unsigned>(kept.data[k])) + " as its element " +
               std::to_string(k) + "; BOOL is 0 or 1, the file is damaged, get it again");

  Tensor out;
  if (itself && n > 0 && kept.keeper && reinterpret_cast<std::uintptr_t>(kept.data.data()) % size_of(type->loaded) == 0) {
    // A mapping is private and a buffer is nobody else's: writing to the tensor changes no file (engine/base/file.h).
    out = Tensor::borrowed(const_cast<std::byte*>(kept.data.data()), shape, type->loaded, kept.keeper);
  } else {
    out = Tensor::empty(shape, type->loaded, Device{});
    if (n == 0) {
    } else if (itself) {
      std::memcpy(out.raw(), kept.data.data(), kept.data.size());
    } else if (type->elements > 1) {
      dequantise_blocks(type->name, kept.data.data(), n / static_cast<std::size_t>(type->elements), static_cast<float*>(out.raw()));
    } else {
      try {
        widen(*type, kept.data.data(), n, out.raw());
      } catch (const Error& e) {
        if (e.code() != Code::input) throw;
        refuse(e.what());
      }
    }
  }
  out.set_name(t.name);
  return out;
}

}  // namespace graft
