#include "weights/formats/torch_rebuild.h"

#include <algorithm>

#include "engine/base/text.h"
#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/pickle_text.h"
#include "weights/formats/torch_legacy.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using K = PickleKind;
using R = PickleRole;

constexpr int kDeepest = 8;  // a parameter of a subclass of a tensor
constexpr const char* kAgain = "the file is damaged, get it again";

std::uint64_t width_of(const std::string& dtype) { return static_cast<std::uint64_t>(stored_type(dtype)->bits) / 8; }

}  // namespace

std::string storage_dtype(const PickleTree& tree, PickleId id, const std::string& who) {
  const PickleGlobal* r = tree.is(id, K::global) && tree[id].number >= 0 ? &pickle_global(static_cast<int>(tree[id].number)) : nullptr;
  if (!r || (r->role != R::typed_storage && r->role != R::untyped_storage && r->role != R::tensor_class))
    tree.refuse(id, "a storage whose type is no storage", who, kAgain);
  if (r->dtype.empty())
    tree.refuse(id, "a storage of " + std::string(r->name) + ", whose numbers are packed below a byte or of no one type", who,
                "convert it where it was made");
  return std::string(r->dtype);
}

void place_tensor(const PickleTree& tree, PickleId at, PickledTensor& t, std::int64_t offset, std::uint64_t storage_first,
                  std::uint64_t storage_bytes) {
  const std::string who = in_quotes(t.name);
  const std::uint64_t width = width_of(t.dtype);
  if (t.shape.size() != t.strides.size())
    tree.refuse(at, "a tensor with " + std::to_string(t.shape.size()) + " sizes and " + std::to_string(t.strides.size()) + " strides", who,
                kAgain);
  if (t.shape.size() > 64) tree.refuse(at, "a tensor of " + std::to_string(t.shape.size()) + " axes", who, kAgain);
  if (offset < 0)
    tree.refuse(at, "a tensor that begins " + std::to_string(0 - static_cast<std::uint64_t>(offset)) + " elements before its storage", who,
                kAgain);
  for (std::size_t d = 0; d < t.shape.size(); ++d) {
    if (t.shape[d] < 0) tree.refuse(at, "a tensor with the size " + std::to_string(t.shape[d]), who, kAgain);
    if (t.strides[d] < 0)
      tree.refuse(at, "a tensor with the negative stride " + std::to_string(t.strides[d]), who,
                  "PyTorch has no such tensors, do not trust the file");
  }
  const auto all = stored_bytes(*stored_type(t.dtype), t.shape);
  if (!all) tree.refuse(at, "a tensor whose size overflows", who, "do not trust the file");
  t.first = storage_first;
  t.range = 0;
  if (*all == 0) return;
  std::int64_t last = offset;
  for (std::size_t d = 0; d < t.shape.size(); ++d) {
    std::int64_t step = 0;
    if (__builtin_mul_overflow(t.shape[d] - 1, t.strides[d], &step) || __builtin_add_overflow(last, step, &last))
      tree.refuse(at, "a tensor whose strides overflow", who, "do not trust the file");
  }
  if (static_cast<std::uint64_t>(last) >= storage_bytes / width)
    tree.refuse(at, "a view past its storage: element " + std::to_string(last) + " of " + std::to_string(storage_bytes / width), who,
                "the file is damaged or made to mislead, get it again");
  t.first = storage_first + static_cast<std::uint64_t>(offset) * width;
  t.range = (static_cast<std::uint64_t>(last - offset) + 1) * width;
}

const PickleGlobal* TorchRebuild::row(PickleId id) const {
  if (!t_.is(id, K::object)) return nullptr;
  const PickleId of = t_[id].of;
  return t_.is(of, K::global) && t_[of].number >= 0 ? &pickle_global(static_cast<int>(t_[of].number)) : nullptr;
}

PickleId TorchRebuild::argument(PickleId object, std::size_t i) const {
  const PickleId args = t_[object].args;
  if (!t_.is(args, K::tuple)) return kNoPickle;
  const auto all = t_.items(args);
  return i < all.size() ? all[i] : kNoPickle;
}

std::int64_t TorchRebuild::whole(PickleId id, const std::string& name, const char* what) const {
  if (!t_.is(id, K::integer)) t_.refuse(id, std::string("a tensor whose ") + what + " is no whole number", in_quotes(name), kAgain);
  return t_[id].number;
}

std::vector<std::int64_t> TorchRebuild::wholes(PickleId id, const std::string& name, const char* what) const {
  if (const PickleGlobal* r = t_.is(id, K::object) ? row(id) : nullptr; r && (r->role == R::size || r->role == R::int_list))
    id = argument(id, 0);
  if (!t_.is(id, K::tuple) && !t_.is(id, K::list))
    t_.refuse(id, std::string("a tensor whose ") + what + " are no tuple", in_quotes(name), kAgain);
  std::vector<std::int64_t> all;
  for (const PickleId v : t_.items(id)) all.push_back(whole(v, name, what));
  return all;
}

bool TorchRebuild::names_storage(PickleId id) const {
  if (!t_.is(id, K::persistent) || !t_.is(t_[id].args, K::tuple)) return false;
  const auto parts = t_.items(t_[id].args);
  return !parts.empty() && t_.is_text(parts[0]) && t_[parts[0]].text == "storage";
}

bool TorchRebuild::is_tensor(PickleId id, int depth) const {
  if (depth > kDeepest || id == kNoPickle) return false;
  if (names_storage(id)) return true;
  if (t_.is(id, K::persistent)) return of_id_ && !t_.is(t_[id].args, K::tuple);
  const PickleGlobal* r = row(id);
  if (!r) return false;
  switch (r->role) {
    case R::rebuild_tensor:
    case R::rebuild_tensor_v2:
    case R::rebuild_tensor_v3:
    case R::rebuild_qtensor: return true;
    case R::rebuild_parameter:
    case R::rebuild_parameter_with_state:
    case R::parameter_class: return is_tensor(argument(id, 0), depth + 1);
    case R::rebuild_from_type: {
      const PickleId f = argument(id, 0);
      if (!t_.is(f, K::global) || t_[f].number < 0) return false;
      const R role = pickle_global(static_cast<int>(t_[f].number)).role;
      return role == R::rebuild_tensor || role == R::rebuild_tensor_v2 || role == R::rebuild_tensor_v3 || role == R::rebuild_qtensor;
    }
    case R::numpy_reconstruct:
    case R::numpy_frombuffer: return !numpy_type(array_dtype(id)).dtype.empty();
    default: return false;
  }
}

void TorchRebuild::refuse_kind(PickleId id, PickleRole role, const std::string& name) const {
  switch (role) {
    case R::sparse: t_.refuse(id, "a sparse tensor", in_quotes(name), "save it with .to_dense()");
    case R::nested: t_.refuse(id, "a nested tensor", in_quotes(name), "save it with .to_padded_tensor()");
    case R::meta:
      t_.refuse(id, "a tensor of the meta device, which has no numbers,", in_quotes(name), "save the model after it was loaded");
    default:
      t_.refuse(id, "a tensor of a class of its own", in_quotes(name), "save a plain tensor: .to(), .dequantize() or .full_tensor()");
  }
}

void TorchRebuild::refuse_foreign(PickleId id, PickleRole role, const std::string& name) const {
  if (role == R::rebuild_from_type)
    if (const PickleId f = argument(id, 0); t_.is(f, K::global) && t_[f].number >= 0)
      role = pickle_global(static_cast<int>(t_[f].number)).role;
  if (role == R::rebuild_parameter || role == R::rebuild_parameter_with_state)
    if (const PickleGlobal* inner = row(argument(id, 0)))
      return role == inner->role ? refuse_kind(id, R::wrapper, name) : refuse_foreign(argument(id, 0), inner->role, name);
  if (role == R::sparse || role == R::nested || role == R::meta || role == R::wrapper || role == R::rebuild_from_type)
    refuse_kind(id, role, name);
}

PickledTensor TorchRebuild::tensor(PickleId id, const std::string& name, int depth) {
  if (depth > kDeepest) t_.refuse(id, "a tensor made of tensors without end", in_quotes(name), kAgain);
  if (names_storage(id)) {  // a storage by itself: a row of numbers
    const StoragePart part = storage(id, name);
    PickledTensor t;
    t.name = name;
    t.dtype = part.dtype;
    t.storage = part.storage;
    t.shape = {static_cast<std::int64_t>(part.bytes / width_of(t.dtype))};
    t.strides = {1};
    place_tensor(t_, id, t, 0, part.first, part.bytes);
    return t;
  }
  if (t_.is(id, K::persistent)) {
    PickledTensor t = of_id_(out_, id);
    t.name = name;
    return t;
  }
  const R role = row(id)->role;
  switch (role) {
    case R::rebuild_parameter:
    case R::rebuild_parameter_with_state:
    case R::parameter_class: return tensor(argument(id, 0), name, depth + 1);
    case R::rebuild_from_type: {
      const PickleId args = argument(id, 2);
      if (!t_.is(args, K::tuple)) t_.refuse(id, "a tensor without arguments", in_quotes(name), kAgain);
      return torch_tensor(id, name, pickle_global(static_cast<int>(t_[argument(id, 0)].number)).role, args, depth);
    }
    case R::numpy_reconstruct:
    case R::numpy_frombuffer: return numpy_tensor(id, name);
    default: return torch_tensor(id, name, role, t_[id].args, depth);
  }
}

// (storage, offset, sizes, strides, ...)
PickledTensor TorchRebuild::torch_tensor(PickleId id, const std::string& name, PickleRole role, PickleId args, int depth) {
  const auto a = t_.items(args);
  const std::size_t least = role == R::rebuild_tensor_v3 ? 7 : role == R::rebuild_qtensor ? 5 : 4;
  if (a.size() < least) t_.refuse(id, "a tensor with " + std::to_string(a.size()) + " of its arguments", in_quotes(name), kAgain);
  const StoragePart part = storage(a[0], name);
  PickledTensor t;
  t.name = name;
  t.dtype = part.dtype;
  t.storage = part.storage;
  if (role == R::rebuild_tensor_v3) {
    const PickleGlobal* type = t_.is(a[6], K::global) && t_[a[6]].number >= 0 ? &pickle_global(static_cast<int>(t_[a[6]].number)) : nullptr;
    if (!type || type->role != R::dtype) t_.refuse(id, "a tensor whose type is no type", in_quotes(name), kAgain);
    if (type->dtype.empty())
      t_.refuse(id, "a tensor of " + std::string(type->name) + ", and graft has no such numbers", in_quotes(name),
                "convert it where it was made");
    t.dtype = type->dtype;
  }
  if (const std::size_t bits = role == R::rebuild_tensor_v2 ? 6 : 7;
      role != R::rebuild_qtensor && a.size() > bits && t_.is(a[bits], K::dict))
    for (const char* bit : {"conj", "neg"})
      if (const PickleId set = t_.get(a[bits], bit); set != kNoPickle && t_[set].number != 0)
        t_.refuse(id, std::string("a tensor that is to be read with its ") + bit + " bit", in_quotes(name),
                  "save it after .resolve_" + std::string(bit) + "()");
  t.shape = wholes(a[2], name, "sizes");
  t.strides = wholes(a[3], name, "strides");
  place_tensor(t_, id, t, whole(a[1], name, "offset"), part.first, part.bytes);
  if (role == R::rebuild_qtensor) quantise(t, a[4], name, depth);
  return t;
}

// (scheme, scale, zero point) or (scheme, scales, zero points, axis)
void TorchRebuild::quantise(PickledTensor& t, PickleId parameters, const std::string& name, int depth) {
  const auto p = t_.is(parameters, K::tuple) ? t_.items(parameters) : std::span<const PickleId>();
  const std::string_view scheme = !p.empty() && t_.is(p[0], K::global) ? t_[p[0]].text : "";
  auto q = std::make_shared<PickledQuantisation>();
  if (t.dtype != "I8" && t.dtype != "U8" && t.dtype != "I32")
    t_.refuse(parameters, "a quantised tensor of " + t.dtype, in_quotes(name), "save it with .dequantize()");
  if (scheme == "torch.per_tensor_affine" && p.size() == 3 && t_.is(p[1], K::real)) {
    q->scale = t_.real(p[1]);
    q->zero = whole(p[2], name, "zero point");
  } else if (scheme == "torch.per_channel_affine" && p.size() == 4 && is_tensor(p[1]) && is_tensor(p[2])) {
    q->scales = tensor(p[1], name + ".scales", depth + 1);  // whoever nests quantised scales ends at the depth of tensor()
    q->zeros = tensor(p[2], name + ".zero_points", depth + 1);
    const std::int64_t axis = whole(p[3], name, "axis");
    if (axis < 0 || axis >= static_cast<std::int64_t>(t.shape.size()))
      t_.refuse(parameters, "a tensor quantised along axis " + std::to_string(axis), in_quotes(name), kAgain);
    q->axis = static_cast<int>(axis);
    const std::vector<std::int64_t> places = {t.shape[static_cast<std::size_t>(axis)]};
    if (q->scales.shape != places || q->zeros.shape != places || q->scales.dtype != "F64" ||
        (q->zeros.dtype != "I64" && q->zeros.dtype != "I32") || q->scales.quantised || q->zeros.quantised)
      t_.refuse(parameters, "a quantised tensor with other scales than its axis has places", in_quotes(name), kAgain);
  } else {
    t_.refuse(parameters, "a tensor quantised by " + (scheme.empty() ? "nothing known" : one_line(scheme)), in_quotes(name),
              "save it with .dequantize()");
  }
  t.quantised = std::move(q);
}

// ('storage', type, key, place, elements) and, before 1.6, (view key, offset, elements) or None
TorchRebuild::StoragePart TorchRebuild::storage(PickleId id, const std::string& name) {
  if (const PickleGlobal* r = row(id); r && r->role == R::storage_bytes) return pickled_storage(id, name);
  if (!names_storage(id)) t_.refuse(id, "a tensor without a storage", in_quotes(name), kAgain);
  const auto p = t_.items(t_[id].args);
  if (p.size() < 5 || p.size() > 6 || !t_.is_text(p[2]))
    t_.refuse(id, "a storage with " + std::to_string(p.size()) + " of its five parts", in_quotes(name), kAgain);
  StoragePart part;
  part.dtype = storage_dtype(t_, p[1], in_quotes(name));
  const std::uint64_t width = width_of(part.dtype);
  const std::string key = t_.text(p[2]);
  const auto bytes_of = [&](PickleId number) {
    const std::int64_t n = whole(number, name, "storage's size");
    if (n < 0 || static_cast<std::uint64_t>(n) > (std::uint64_t{1} << 62) / width)
      t_.refuse(number, "a storage of " + std::to_string(n) + " elements", in_quotes(name), kAgain);
    return static_cast<std::uint64_t>(n) * width;
  };
  part.first = 0;
  part.bytes = bytes_of(p[4]);
  const auto [at, fresh] = by_key_.emplace(key, out_.storages.size());
  part.storage = at->second;
  if (fresh) {
    PickledStorage s;
    s.key = key;
    s.dtype = part.dtype;
    s.bytes = part.bytes;
    s.at = id;
    out_.storages.push_back(std::move(s));
  } else if (const PickledStorage& s = out_.storages[part.storage]; s.bytes != part.bytes) {
    t_.refuse(id,
              "the storage " + in_quotes(key) + " is said to be " + std::to_string(s.bytes) + " and " + std::to_string(part.bytes) +
                  " bytes long",
              in_quotes(name), kAgain);
  }
  if (p.size() == 6 && !t_.is(p[5], K::none)) {
    const auto view = t_.is(p[5], K::tuple) ? t_.items(p[5]) : std::span<const PickleId>();
    if (view.size() != 3)
      t_.refuse(p[5], "a view of a storage with " + std::to_string(view.size()) + " of its three parts", in_quotes(name), kAgain);
    const std::uint64_t first = bytes_of(view[1]), bytes = bytes_of(view[2]);
    if (first > part.bytes || bytes > part.bytes - first)
      t_.refuse(p[5], "a view past its storage", in_quotes(name), "the file is damaged or made to mislead, get it again");
    part.first = first;
    part.bytes = bytes;
  }
  return part;
}

// Tensors that were pickled by themselves, not by torch.save: the storage is a file of its own, of the old kind, as bytes.
TorchRebuild::StoragePart TorchRebuild::pickled_storage(PickleId id, const std::string& name) {
  const auto known = inside_.find(id);
  if (known != inside_.end()) {
    const PickledStorage& s = out_.storages[known->second];
    return {known->second, 0, s.bytes, s.dtype};
  }
  const std::string_view raw = raw_bytes(argument(id, 0), name);
  PickledStorage s = read_legacy_storage(std::as_bytes(std::span(raw.data(), raw.size())), t_.path,
                                         t_.part.empty() ? "storage of " + in_quotes(name) : t_.part + ", storage of " + in_quotes(name));
  s.key = "bytes at " + std::to_string(id);
  s.at = id;
  inside_.emplace(id, out_.storages.size());
  out_.storages.push_back(s);
  return {out_.storages.size() - 1, 0, s.bytes, s.dtype};
}

std::string_view TorchRebuild::raw_bytes(PickleId id, const std::string& name) {
  if (t_.is(id, K::bytes) || t_.is(id, K::string8)) return t_[id].text;
  const PickleGlobal* r = row(id);
  const bool bytes = r && (r->role == R::encode || r->role == R::bytes_of);
  const PickleId from = bytes ? argument(id, 0) : kNoPickle;
  if (bytes && r->role == R::bytes_of && from == kNoPickle) return {};
  if (t_.is(from, K::bytes) || t_.is(from, K::string8)) return t_[from].text;
  if (t_.is(from, K::text)) {  // Python 3 writes bytes so in protocols before 3
    const PickleId how = argument(id, 1);
    const std::string_view encoding = t_.is_text(how) ? t_[how].text : "";
    if (encoding == "latin1" || encoding == "latin-1" || encoding == "iso-8859-1")
      if (auto latin1 = latin1_of_utf8(t_[from].text)) return out_.owned.emplace_back(std::move(*latin1));
  }
  t_.refuse(id, "what should be bytes is none", in_quotes(name), kAgain);
}

}  // namespace graft
