// Between safetensors entries and tensors: reading borrows the mapping where it can, writing copies only what is strided.
#include <cstring>

#include "engine/tensor/tensor.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/safetensors.h"
#include "weights/stored_type.h"

namespace graft {

namespace {

std::string where(const SafetensorsEntry& e) {
  return (e.file ? e.file->path().string() + ": " : std::string()) + "tensor " + in_quotes(e.name) + " ";
}

// Row-major copy of a strided view, whatever the element type is.
std::vector<std::byte> gather(const Tensor& t) {
  const auto width = static_cast<std::int64_t>(size_of(t.dtype()));
  const std::int64_t n = t.numel();
  std::vector<std::byte> out(static_cast<std::size_t>(t.bytes()));
  const auto* from = static_cast<const std::byte*>(t.raw());
  std::int64_t at[kMaxRank] = {}, offset = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::memcpy(out.data() + i * width, from + offset * width, static_cast<std::size_t>(width));
    for (int d = t.rank() - 1; d >= 0; --d) {
      offset += t.strides()[d];
      if (++at[d] < t.shape()[d]) break;
      offset -= t.strides()[d] * t.shape()[d];
      at[d] = 0;
    }
  }
  return out;
}

}  // namespace

Tensor load(const SafetensorsEntry& e) {
  const StoredType* type = stored_type(e.dtype);
  if (type == nullptr || stored_name(type->loaded) != type->name)  // those that a Source would widen are not for here: graft writes none
    throw Error(Code::input, where(e) + "has the dtype " + e.dtype + " at byte " + std::to_string(e.offset) +
                                 "; graft computes in F64, F32, BF16, F16, I64, I32, U8 and BOOL, convert it where it was made");
  if (e.shape.size() > static_cast<std::size_t>(kMaxRank))
    throw Error(Code::input, where(e) + "has " + std::to_string(e.shape.size()) + " axes at byte " + std::to_string(e.offset) +
                                 "; a tensor has at most " + std::to_string(kMaxRank) + ", reshape it where it was made");
  if (type->loaded == DType::b8)
    for (std::size_t i = 0; i < e.bytes.size(); ++i)
      if (std::to_integer<unsigned>(e.bytes[i]) > 1)
        throw Error(Code::input, where(e) + "is BOOL but holds the byte " + std::to_string(std::to_integer<unsigned>(e.bytes[i])) +
                                     " at byte " + std::to_string(e.offset + i) + "; BOOL is 0 or 1, the file is damaged, get it again");

  const Shape shape(e.shape);
  const std::size_t width = size_of(type->loaded);
  Tensor t;
  if (e.file && !e.bytes.empty() && reinterpret_cast<std::uintptr_t>(e.bytes.data()) % width == 0) {
    // The mapping is private: writing to the tensor changes neither the file nor what others map of it (engine/base/file.h).
    t = Tensor::borrowed(const_cast<std::byte*>(e.bytes.data()), shape, type->loaded, e.file);
  } else {
    t = Tensor::empty(shape, type->loaded, Device{});
    if (!e.bytes.empty()) std::memcpy(t.raw(), e.bytes.data(), e.bytes.size());
  }
  t.set_name(e.name);
  return t;
}

void write_safetensors(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsItem> items;
  items.reserve(tensors.size());
  for (const auto& [name, t] : tensors) {
    if (!t.defined()) throw Error(Code::usage, "write_safetensors: tensor " + in_quotes(name) + " is undefined; give it a value first");
    if (t.device().kind != DeviceKind::cpu)
      throw Error(Code::usage,
                  "write_safetensors: tensor " + in_quotes(name) + " is on " + name_of(t.device()) + "; bring it to the cpu first");
    items.push_back({name, std::string(stored_name(t.dtype())), {t.shape().begin(), t.shape().end()}});
  }
  std::vector<std::byte> copy;
  write_safetensors(path, items, metadata, [&](std::size_t i) -> std::span<const std::byte> {
    const Tensor& t = tensors[i].second;
    if (t.numel() == 0) return {};
    if (t.is_contiguous()) return {static_cast<const std::byte*>(t.raw()), static_cast<std::size_t>(t.bytes())};
    copy = gather(t);
    return copy;
  });
}

}  // namespace graft
