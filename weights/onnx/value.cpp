#include "weights/onnx/value.h"

#include <cstring>

#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft::onnx {

OnnxValue value_of(const OnnxTensor& t, const std::string& path) {
  const TypeInfo* info = type_info(t.type);
  const auto refuse = [&](const std::string& what) {
    throw OnnxRefusal(path + ": tensor " + in_quotes(t.name) + " " + what + " at byte " + std::to_string(t.at) +
                      "; graft runs no graph with it");
  };
  if (!info || !info->computes) refuse("has the element type " + type_name(t.type));
  if (t.dims.size() > static_cast<std::size_t>(kMaxRank))
    refuse("has " + std::to_string(t.dims.size()) + " axes, more than " + std::to_string(kMaxRank));
  verify_external(t, path);
  const Shape shape(t.dims);
  const auto n = static_cast<std::size_t>(shape.numel());
  if (t.type == kBool)
    for (std::size_t i = 0; i < n; ++i)
      if (std::to_integer<int>(t.data[i]) > 1)
        throw Error(Code::input, path + ": tensor " + in_quotes(t.name) + " is BOOL but its element " + std::to_string(i) + " is " +
                                     std::to_string(std::to_integer<int>(t.data[i])) + " at byte " + std::to_string(t.at) +
                                     "; get the file again");
  const bool same = stored_name(info->held) == info->stored || t.type == kUint64;
  if (same && n > 0 && t.keeper && reinterpret_cast<std::uintptr_t>(t.data.data()) % size_of(info->held) == 0)
    return {Tensor::borrowed(const_cast<std::byte*>(t.data.data()), shape, info->held, t.keeper),
            t.type};  // a private mapping: writing changes no file
  Tensor out = Tensor::empty(shape, info->held, Device{});
  if (n > 0) {
    if (same) std::memcpy(out.raw(), t.data.data(), t.data.size());
    else widen(*stored_type(info->stored), t.data.data(), n, out.raw());
  }
  return {out, t.type};
}

std::vector<std::int64_t> ints_of(const OnnxValue& v) {
  if (v.tensor.dtype() == DType::i64) return v.tensor.host<std::int64_t>();
  std::vector<std::int64_t> out;
  out.reserve(static_cast<std::size_t>(v.tensor.numel()));
  for (const double d : v.tensor.values()) out.push_back(static_cast<std::int64_t>(d));
  return out;
}

OnnxValue from_ints(const std::vector<std::int64_t>& v, const Shape& shape, int type) {
  const TypeInfo* info = type_info(type);
  Tensor out = Tensor::empty(shape, info->held, Device{});
  if (static_cast<std::int64_t>(v.size()) != out.numel())
    throw Error(Code::bug, "from_ints: " + std::to_string(v.size()) + " values for " + out.str());
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::int64_t w = wrap(type, v[i]);
    switch (info->held) {
      case DType::i64: out.data<std::int64_t>()[i] = w; break;
      case DType::i32: out.data<std::int32_t>()[i] = static_cast<std::int32_t>(w); break;
      case DType::u8: out.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(w); break;
      case DType::b8: out.data<bool>()[i] = w != 0; break;
      default: throw Error(Code::bug, "from_ints: " + type_name(type) + " is no integer");
    }
  }
  return {out, type};
}

OnnxValue from_doubles(const std::vector<double>& v, const Shape& shape, int type) {
  Tensor out = Tensor::empty(shape, type_info(type)->held);
  out.set_values(v);
  return {out, type};
}

}  // namespace graft::onnx
