// numpy's arrays and numbers as pickles have them: (version, shape, dtype, Fortran order, bytes) given to an empty array.
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/torch_rebuild.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using K = PickleKind;
using R = PickleRole;

struct NumpyCode {
  std::string_view code, dtype;
};
constexpr NumpyCode kCodes[] = {{"f4", "F32"}, {"f8", "F64"}, {"f2", "F16"}, {"i8", "I64"}, {"i4", "I32"},  {"i2", "I16"}, {"i1", "I8"},
                                {"u8", "U64"}, {"u4", "U32"}, {"u2", "U16"}, {"u1", "U8"},  {"b1", "BOOL"}, {"c8", "C64"}, {"c16", "C128"}};

}  // namespace

TorchRebuild::NumpyType TorchRebuild::numpy_type(PickleId id) const {
  NumpyType type;
  const PickleGlobal* r = row(id);
  if (!r || r->role != R::numpy_dtype) return type;
  const PickleId code = argument(id, 0);
  if (t_.is(code, K::global) && t_[code].number >= 0) {
    type.dtype = pickle_global(static_cast<int>(t_[code].number)).dtype;  // a type in place of its code
  } else if (t_.is_text(code)) {
    std::string_view name = t_[code].text;
    if (!name.empty() && (name[0] == '<' || name[0] == '>' || name[0] == '|' || name[0] == '=')) {
      type.swap = name[0] == '>';
      name.remove_prefix(1);
    }
    type.object = name.starts_with('O');
    for (const NumpyCode& c : kCodes)
      if (c.code == name) type.dtype = c.dtype;
  }
  if (const PickleId state = t_[id].state; t_.is(state, K::tuple)) {
    const auto s = t_.items(state);
    if (s.size() > 1 && t_.is_text(s[1])) type.swap = t_[s[1]].text == ">";
    for (std::size_t i = 2; i < 5 && i < s.size(); ++i)
      if (!t_.is(s[i], K::none)) type.dtype = "";  // fields, or arrays in arrays
  }
  if (!type.dtype.empty()) type.width = static_cast<std::uint64_t>(stored_type(type.dtype)->bits) / 8;
  return type;
}

PickleId TorchRebuild::array_dtype(PickleId id) const {
  if (row(id)->role == R::numpy_frombuffer) return argument(id, 1);
  const PickleId state = t_[id].state;
  if (!t_.is(state, K::tuple)) return kNoPickle;
  const auto s = t_.items(state);
  return s.size() == 5 ? s[2] : s.size() == 4 ? s[1] : kNoPickle;
}

PickleId TorchRebuild::object_array(PickleId id, bool& single) const {
  const PickleGlobal* r = row(id);
  if (!r || r->role != R::numpy_reconstruct || !numpy_type(array_dtype(id)).object) return kNoPickle;
  const auto s = t_.items(t_[id].state);
  const PickleId shape = s[s.size() - 4], list = s[s.size() - 1];
  if (!t_.is(shape, K::tuple) || !t_.is(list, K::list)) return kNoPickle;
  single = t_.items(shape).empty() && t_.items(list).size() == 1;
  return list;
}

std::vector<std::int64_t> TorchRebuild::array_shape(PickleId id) const {
  const auto s = t_.items(t_[id].state);
  return wholes(s[s.size() - 4], "array of objects", "sizes");
}

PickledTensor TorchRebuild::numpy_tensor(PickleId id, const std::string& name) {
  const std::string who = in_quotes(name);
  const NumpyType type = numpy_type(array_dtype(id));
  PickledTensor t;
  t.name = name;
  t.dtype = type.dtype;
  bool fortran = false;
  PickleId data = kNoPickle;
  if (row(id)->role == R::numpy_frombuffer) {  // (buffer, dtype, shape, order)
    data = argument(id, 0);
    t.shape = wholes(argument(id, 2), name, "sizes");
    const PickleId order = argument(id, 3);
    fortran = t_.is_text(order) && t_[order].text == "F";
  } else {
    const auto s = t_.items(t_[id].state);
    t.shape = wholes(s[s.size() - 4], name, "sizes");
    const PickleId order = s[s.size() - 2];
    if (!t_.is(order, K::boolean) && !t_.is(order, K::integer))
      t_.refuse(id, "an array whose order is neither C nor Fortran", who, "the file is damaged, get it again");
    fortran = t_[order].number != 0;
    data = s[s.size() - 1];
  }
  const std::string_view raw = raw_bytes(data, name);
  const auto bytes = stored_bytes(*stored_type(t.dtype), t.shape);
  if (!bytes || *bytes != raw.size())
    t_.refuse(id, "an array whose " + std::to_string(raw.size()) + " bytes are not those of its shape", who,
              "the file is damaged, get it again");
  t.strides.assign(t.shape.size(), 1);
  std::int64_t step = 1;
  for (std::size_t k = 0; k < t.shape.size() && *bytes > 0; ++k) {
    const std::size_t d = fortran ? k : t.shape.size() - 1 - k;
    t.strides[d] = step;
    step *= t.shape[d];
  }
  PickledStorage s;
  s.key = "array at " + std::to_string(id);
  s.dtype = t.dtype;
  s.bytes = raw.size();
  s.at = id;
  s.data = std::as_bytes(std::span(raw.data(), raw.size()));
  s.inside = true;
  s.swap = type.swap && type.width > 1;
  const auto [at, fresh] = inside_.emplace(id, out_.storages.size());
  if (fresh) out_.storages.push_back(s);
  t.storage = at->second;
  place_tensor(t_, id, t, 0, 0, raw.size());
  return t;
}

std::optional<std::string> TorchRebuild::numpy_number(PickleId id) {
  const NumpyType type = numpy_type(argument(id, 0));
  const PickleId data = argument(id, 1);
  if (type.dtype.empty() || type.width > 8 || data == kNoPickle) return {};
  const std::string_view raw = raw_bytes(data, "number");
  if (raw.size() != type.width) return {};
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) v = v << 8 | static_cast<unsigned char>(raw[type.swap ? i : raw.size() - 1 - i]);
  const auto real = [](double d) -> std::string {
    return std::isfinite(d) ? json_number(d) : std::isnan(d) ? "\"nan\"" : d < 0 ? "\"-inf\"" : "\"inf\"";
  };
  if (type.dtype == "F64") return real(std::bit_cast<double>(v));
  if (type.dtype == "F32") return real(static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(v))));
  if (type.dtype == "F16") {
    const int e = static_cast<int>(v >> 10 & 31), m = static_cast<int>(v & 1023);
    const double size = e == 31 ? (m ? std::nan("") : INFINITY) : e ? std::ldexp(1024 + m, e - 25) : std::ldexp(m, -24);
    return real(v >> 15 ? -size : size);
  }
  if (type.dtype == "BOOL") return v ? "true" : "false";
  if (type.dtype[0] == 'U') return std::to_string(v);
  if (type.dtype[0] != 'I') return {};
  const int shift = static_cast<int>(64 - 8 * type.width);
  return std::to_string(static_cast<std::int64_t>(v << shift) >> shift);
}

}  // namespace graft
