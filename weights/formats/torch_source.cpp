#include "weights/formats/torch_source.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/error.h"
#include "weights/formats/byte_window.h"
#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

bool row_major(const PickledTensor& t) {
  std::int64_t step = 1;
  for (std::size_t d = t.shape.size(); d-- > 0;) {
    if (t.shape[d] != 1 && t.strides[d] != step) return false;
    step *= t.shape[d];
  }
  return true;
}
std::uint64_t dense_size(const PickledTensor& t, std::string_view dtype) { return stored_bytes(*stored_type(dtype), t.shape).value_or(0); }

// Bytes of each number that is turned around: complex ones are two.
std::size_t swap_width(const std::string& dtype) {
  const auto width = static_cast<std::size_t>(stored_type(dtype)->bits) / 8;
  return dtype[0] == 'C' ? width / 2 : width;
}

template <class T>
T number_at(std::span<const std::byte> b, std::size_t i) {
  T v;
  std::memcpy(&v, b.data() + i * sizeof v, sizeof v);
  return v;
}

}  // namespace

std::uint64_t offset_in(std::span<const std::byte> file, std::span<const std::byte> part) {
  const std::less_equal<const std::byte*> before;
  if (part.empty() || !before(file.data(), part.data()) || !before(part.data() + part.size(), file.data() + file.size())) return 0;
  return static_cast<std::uint64_t>(part.data() - file.data());
}

TorchSource::TorchSource(std::string of, std::string kind, std::shared_ptr<const PickleTree> tree, PickledContents contents,
                         std::vector<StoragePlace> places, std::shared_ptr<const void> keeper, std::shared_ptr<const ZipView> archive)
    : tree_(std::move(tree)),
      contents_(std::move(contents)),
      places_(std::move(places)),
      keeper_(std::move(keeper)),
      archive_(std::move(archive)) {
  path = std::move(of);
  format = std::move(kind);
  files = {path};
  metadata = std::move(contents_.metadata);
  notes = std::move(contents_.notes);
  for (const PickledTensor& t : contents_.tensors) {
    const StoragePlace& place = places_[t.storage];
    StoredTensor s;
    s.name = t.name;
    s.dtype = t.quantised ? "F32" : t.dtype;
    s.shape = t.shape;
    const bool dense = t.range == 0 || row_major(t) || t.quantised;
    if (!dense) s.strides = t.strides;
    s.bytes = dense ? dense_size(t, s.dtype) : t.range;
    if (!t.quantised) {
      s.storage = static_cast<std::int64_t>(t.storage);
      if (t.range > 0 && place.offset > 0 && !place.swap) s.offset = place.offset + t.first;
    }
    tensors.push_back(std::move(s));
  }
  if (archive_ && !archive_->has_sums())
    notes.push_back(path + ": was saved without checksums, so that damage in its numbers cannot be seen");
  if (tensors.empty()) warnings.push_back(path + " holds no tensors");
}

KeptBytes TorchSource::storage(std::size_t s) const {
  const StoragePlace& place = places_[s];
  if (!place.member) return {place.data, keeper_};
  if (place.member->method == 0) return archive_->bytes(*place.member);
  const std::lock_guard hold(lock_);
  if (auto kept = inflated_[s].lock()) return {inflated_bytes_[s], kept};
  KeptBytes fresh = archive_->bytes(*place.member);
  inflated_[s] = fresh.keeper;
  inflated_bytes_[s] = fresh.data;
  return fresh;
}

KeptBytes TorchSource::range(const PickledTensor& t) const {
  if (t.range == 0) return {};
  KeptBytes all = storage(t.storage);
  // The tensor was placed against what the pickle says of its storage; this is what the storage is.
  if (t.first > all.data.size() || t.range > all.data.size() - t.first)
    throw Error(Code::input, path + ": tensor " + in_quotes(t.name) + " at byte " + std::to_string(places_[t.storage].offset + t.first) +
                                 " ends outside of its storage of " + std::to_string(all.data.size()) +
                                 " bytes; the file is damaged or made to mislead, get it again");
  all.data = all.data.subspan(t.first, t.range);
  if (const std::size_t width = swap_width(t.dtype); places_[t.storage].swap && width > 1) {
    const auto turned = other_byte_order(all.data, width);
    all = {*turned, turned};
  }
  return all;
}

KeptBytes TorchSource::dequantised(const PickledTensor& t) const {
  const PickledQuantisation& q = *t.quantised;
  const KeptBytes from = range(t);
  KeptBytes scales, zeros;
  if (q.axis >= 0) scales = range(q.scales), zeros = range(q.zeros);
  const auto n = static_cast<std::size_t>(dense_size(t, "F32") / 4);
  auto out = std::make_shared<std::vector<std::byte>>(n * 4);
  std::vector<std::int64_t> at(t.shape.size(), 0);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(offset);
    const std::int64_t v = t.dtype == "I8"   ? number_at<std::int8_t>(from.data, k)
                           : t.dtype == "U8" ? number_at<std::uint8_t>(from.data, k)
                                             : number_at<std::int32_t>(from.data, k);
    double scale = q.scale;
    std::int64_t zero = q.zero;
    if (q.axis >= 0) {
      const std::int64_t place = at[static_cast<std::size_t>(q.axis)];
      scale = number_at<double>(scales.data, static_cast<std::size_t>(place * q.scales.strides[0]));
      const auto z = static_cast<std::size_t>(place * q.zeros.strides[0]);
      zero = q.zeros.dtype == "I64" ? number_at<std::int64_t>(zeros.data, z) : number_at<std::int32_t>(zeros.data, z);
    }
    const float x = static_cast<float>(scale) * (static_cast<float>(v) - static_cast<float>(zero));
    std::memcpy(out->data() + i * 4, &x, 4);
    for (std::size_t d = t.shape.size(); d-- > 0;) {
      offset += t.strides[d];
      if (++at[d] < t.shape[d]) break;
      offset -= t.strides[d] * t.shape[d];
      at[d] = 0;
    }
  }
  return {*out, out};
}

KeptBytes TorchSource::bytes(std::size_t i) const {
  const PickledTensor& t = contents_.tensors[i];
  return t.quantised ? dequantised(t) : range(t);
}

}  // namespace graft
