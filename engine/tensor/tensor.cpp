#include "engine/tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/core/device.h"
#include "kernels/elementwise/elementwise.h"

namespace graft {

Storage::Storage(std::int64_t n, Device d) : data(Allocator::of(d).allocate(n)), bytes(n), device(d) {}
Storage::Storage(void* borrowed, std::int64_t n, std::shared_ptr<const void> k) : data(borrowed), bytes(n), keeper(std::move(k)) {}
Storage::~Storage() {
  if (!keeper) Allocator::of(device).free(data, bytes);
}

namespace {
TensorImpl& get(const Tensor& t) {
  if (!t.defined()) throw Error(Code::usage, "an undefined tensor was used; give it a value first");
  return *t.impl();
}
void* stream_of(Device d) { return d == current_queue().device() ? current_queue().stream() : nullptr; }

template <class T>
T rounded(double v) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return T(static_cast<float>(v));
  else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {  // saturates, and NaN is 0, as copies between dtypes do
    using L = std::numeric_limits<T>;
    if (v != v) return 0;
    return v <= static_cast<double>(L::min()) ? L::min() : v >= static_cast<double>(L::max()) ? L::max() : static_cast<T>(v);
  } else return static_cast<T>(v);
}
// A new dense tensor on this thread's device, written on the host: f(T* elements).
template <class F>
Tensor made(const Shape& shape, DType dtype, F&& f) {
  Tensor host = Tensor::empty(shape, dtype, Device{});
  visit(dtype, [&]<class T>() { f(host.data<T>()); });
  return host.to(current_queue().device());
}
}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype) { return empty(shape, dtype, current_queue().device()); }
Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  std::int64_t n = static_cast<std::int64_t>(size_of(dtype));
  for (auto d : shape) {
    if (d < 0) throw Error(Code::usage, "a tensor of shape " + shape.str() + " cannot be made: sizes are never negative");
    if (__builtin_mul_overflow(n, d, &n))
      throw Error(Code::memory, "a tensor of shape " + shape.str() + " has more bytes than can be addressed");
  }
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(n, device);
  impl->shape = shape;
  impl->strides = dense_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}
double held_by(DType dtype, double value) {
  if (dtype == DType::i64) return std::isnan(value) ? 0 : std::clamp(std::trunc(value), -0x1p63, 0x1.fffffffffffffp62);
  return visit(dtype, [&]<class T>() { return static_cast<double>(rounded<T>(value)); });
}
Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  if (value == 0) {
    Tensor t = empty(shape, dtype);
    device_memory(t.device()).fill(t.address(), 0, static_cast<std::size_t>(t.bytes()), stream_of(t.device()));
    return t;
  }
  if (current_queue().device().kind != DeviceKind::cpu) {
    const Tensor t = empty(shape, dtype);
    ElementwiseArgs a{};
    a.op = ElementwiseOp::fill;
    a.out = t.view();
    a.s0 = held_by(dtype, value);
    elementwise_family().run(current_queue(), a);
    return t;
  }
  return made(shape, dtype, [&]<class T>(T* p) {
    const std::int64_t n = shape.numel();
    const T x = rounded<T>(value);
    for (std::int64_t i = 0; i < n; ++i) p[i] = x;
  });
}
Tensor Tensor::zeros(const Shape& shape, DType dtype) { return full(shape, 0, dtype); }
Tensor Tensor::ones(const Shape& shape, DType dtype) { return full(shape, 1, dtype); }

Tensor Tensor::arange(double start, double stop, double step, DType dtype) {
  if (step == 0 || !std::isfinite(start) || !std::isfinite(stop) || !std::isfinite(step))
    throw Error(Code::usage, "arange: start, stop and step must be finite and step not 0");
  const auto n = static_cast<std::int64_t>(std::max(0.0, std::ceil((stop - start) / step)));
  return made({n}, dtype, [&]<class T>(T* p) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = rounded<T>(start + static_cast<double>(i) * step);
  });
}
Tensor Tensor::eye(std::int64_t n, DType dtype) {
  return made({n, n}, dtype, [&]<class T>(T* p) {
    for (std::int64_t i = 0; i < n * n; ++i) p[i] = rounded<T>(i % (n + 1) == 0 ? 1 : 0);
  });
}

template <class T>
Tensor Tensor::from(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<std::int64_t>(values.size()) != shape.numel())
    throw Error(Code::usage, "from: " + std::to_string(values.size()) + " values do not fill shape " + shape.str());
  Tensor t = empty(shape, dtype_of<T>, Device{});
  T* p = t.data<T>();
  for (std::size_t i = 0; i < values.size(); ++i) p[i] = values[i];
  return t.to(current_queue().device());
}
template Tensor Tensor::from(const std::vector<double>&, const Shape&);
template Tensor Tensor::from(const std::vector<float>&, const Shape&);
template Tensor Tensor::from(const std::vector<bf16>&, const Shape&);
template Tensor Tensor::from(const std::vector<f16>&, const Shape&);
template Tensor Tensor::from(const std::vector<std::int64_t>&, const Shape&);
template Tensor Tensor::from(const std::vector<std::int32_t>&, const Shape&);
template Tensor Tensor::from(const std::vector<std::uint8_t>&, const Shape&);
template Tensor Tensor::from(const std::vector<bool>&, const Shape&);

Tensor Tensor::borrowed(void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> keeper) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(data, shape.numel() * static_cast<std::int64_t>(size_of(dtype)), std::move(keeper));
  impl->shape = shape;
  impl->strides = dense_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

const Shape& Tensor::shape() const { return get(*this).shape; }
const Shape& Tensor::strides() const { return get(*this).strides; }
std::int64_t Tensor::size(int axis) const { return shape()[normal_axis(axis, rank(), "size")]; }
DType Tensor::dtype() const { return get(*this).dtype; }
Device Tensor::device() const { return get(*this).storage->device; }
bool Tensor::is_contiguous() const { return is_dense(layout()); }
bool Tensor::same_storage(const Tensor& o) const { return get(*this).storage == get(o).storage; }
const std::shared_ptr<Storage>& Tensor::storage() const { return get(*this).storage; }
std::int64_t Tensor::offset() const { return get(*this).offset; }
std::string Tensor::str() const { return std::string(name_of(dtype())) + shape().str(); }

void* Tensor::raw() const {
  if (device().kind != DeviceKind::cpu)
    throw Error(Code::usage, "tensor " + str() + " is on " + name_of(device()) + " and the host cannot read it there; use to() first");
  return address();
}
void* Tensor::address() const {
  const TensorImpl& t = get(*this);
  return static_cast<std::byte*>(t.storage->data) + t.offset * static_cast<std::int64_t>(size_of(t.dtype));
}
void* Tensor::raw_data(DType wanted) const {
  if (dtype() != wanted)
    throw Error(Code::usage, "tensor " + str() + " was read as " + std::string(name_of(wanted)) + "; convert it first");
  return raw();
}
View Tensor::view() const {
  if (const Device at = current_queue().device(); !(device() == at))
    throw Error(Code::usage, "tensor " + str() + (name().empty() ? "" : " '" + name() + "'") + " is on " + name_of(device()) +
                                 " but the operation runs on " + name_of(at) + "; move it with to()");
  return layout();
}
View Tensor::layout() const {
  const TensorImpl& t = get(*this);
  View v;
  v.data = address();
  v.dtype = t.dtype;
  v.rank = t.shape.rank();
  for (int i = 0; i < v.rank; ++i) {
    v.shape[static_cast<std::size_t>(i)] = t.shape[i];
    v.stride[static_cast<std::size_t>(i)] = t.strides[i];
  }
  return v;
}

// Only the bytes between the view's first and last element move; strides stay.
Tensor Tensor::to(Device there) const {
  const TensorImpl& t = get(*this);
  const Device here = t.storage->device;
  if (here == there) return *this;
  std::int64_t low = 0, high = 0;  // elements, from the first one of the view
  for (int d = 0; d < t.shape.rank(); ++d) {
    const std::int64_t reach = (t.shape[d] - 1) * t.strides[d];
    (reach < 0 ? low : high) += reach;
  }
  const bool none = numel() == 0;
  const auto size = static_cast<std::int64_t>(size_of(t.dtype));
  const std::int64_t bytes = none ? 0 : (high - low + 1) * size;
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(bytes, there);
  impl->shape = t.shape;
  impl->strides = t.strides;
  impl->offset = none ? 0 : -low;
  impl->dtype = t.dtype;
  impl->name = t.name;
  const auto* from = static_cast<const std::byte*>(address()) + (none ? 0 : low * size);
  const auto n = static_cast<std::size_t>(bytes);
  if (here.kind == DeviceKind::cpu) {
    device_memory(there).upload(impl->storage->data, from, n, stream_of(there));
  } else if (there.kind == DeviceKind::cpu) {
    device_memory(here).download(impl->storage->data, from, n, stream_of(here));
    if (here == current_queue().device()) current_queue().look();
  } else {
    std::vector<std::byte> between(n);
    device_memory(here).download(between.data(), from, n, stream_of(here));
    device_memory(there).upload(impl->storage->data, between.data(), n, stream_of(there));
  }
  return Tensor(std::move(impl));
}

namespace {
// f(element) in row-major order; t is on the host
template <class T, class F>
void each_element(const Tensor& t, F&& f) {
  const Shape &shape = t.shape(), &strides = t.strides();
  const T* p = t.data<T>();
  const std::int64_t n = t.numel();
  std::int64_t at[kMaxRank] = {}, off = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    f(p[off]);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      off += strides[d];
      if (++at[d] < shape[d]) break;
      off -= strides[d] * shape[d];
      at[d] = 0;
    }
  }
}
}  // namespace

std::vector<double> Tensor::values() const {
  const Tensor here = to(Device{});
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(numel()));
  visit(dtype(), [&]<class T>() {
    each_element<T>(here, [&](T v) {
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) out.push_back(static_cast<float>(v));
      else out.push_back(static_cast<double>(v));
    });
  });
  return out;
}
template <class T>
std::vector<T> Tensor::host() const {
  const Tensor here = to(Device{});
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(numel()));
  each_element<T>(here, [&](T v) { out.push_back(v); });
  return out;
}
template std::vector<std::int64_t> Tensor::host() const;
template std::vector<std::uint8_t> Tensor::host() const;
template std::vector<float> Tensor::host() const;
template std::vector<double> Tensor::host() const;
template std::vector<bool> Tensor::host() const;

void Tensor::set_values(const std::vector<double>& v) const {
  if (!is_contiguous() || static_cast<std::int64_t>(v.size()) != numel())
    throw Error(Code::usage, "set_values: " + std::to_string(v.size()) + " values do not fill a dense " + str());
  const auto write = [&](const Tensor& t) {
    visit(dtype(), [&]<class T>() {
      T* p = t.data<T>();
      for (std::size_t i = 0; i < v.size(); ++i) p[i] = rounded<T>(v[i]);
    });
  };
  if (device().kind == DeviceKind::cpu) {
    write(*this);
  } else {
    const Tensor here = empty(shape(), dtype(), Device{});
    write(here);
    device_memory(device()).upload(address(), here.raw(), static_cast<std::size_t>(bytes()), stream_of(device()));
  }
  written();
}
double Tensor::item() const {
  if (numel() != 1) throw Error(Code::usage, "item: tensor " + str() + " has " + std::to_string(numel()) + " elements, wants exactly 1");
  return values()[0];
}
void Tensor::written() const { ++get(*this).storage->version; }

Tensor Tensor::alias(const Shape& shape, const Shape& strides, std::int64_t offset) const {
  const TensorImpl& t = get(*this);
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = t.storage;
  impl->shape = shape;
  impl->strides = strides;
  impl->offset = t.offset + offset;
  impl->dtype = t.dtype;
  return Tensor(std::move(impl));
}
Tensor Tensor::detach() const {
  Tensor d = alias(shape(), strides(), 0);
  d.impl_->name = name();
  return d;
}

bool Tensor::requires_grad() const { return impl_ && (impl_->requires_grad || impl_->node); }
Tensor& Tensor::set_requires_grad(bool on) {
  TensorImpl& t = get(*this);
  if (t.node) throw Error(Code::usage, "set_requires_grad: " + str() + " is the result of an operation; detach() it first");
  if (on && !is_float(t.dtype))
    throw Error(Code::usage, "set_requires_grad: " + str() + " is not a float tensor; only floats have gradients");
  t.requires_grad = on;
  return *this;
}
bool Tensor::is_leaf() const { return !get(*this).node; }
Tensor Tensor::grad() const { return get(*this).grad; }
void Tensor::set_grad(const Tensor& g) const { get(*this).grad = g; }
const std::shared_ptr<Node>& Tensor::node() const { return get(*this).node; }
int Tensor::output_index() const { return get(*this).output_index; }
const std::string& Tensor::name() const { return get(*this).name; }
Tensor& Tensor::set_name(const std::string& name) {
  TensorImpl& t = get(*this);
  t.name = name;
  if (!t.storage->keeper) Allocator::of(t.storage->device).label(t.storage->data, name);
  return *this;
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  const bool fa = is_float(a), fb = is_float(b);
  if (fa && fb) {
    if (a == DType::f64 || b == DType::f64) return DType::f64;
    return DType::f32;  // f32 with a half, or the two halves together
  }
  if (fa) return a;
  if (fb) return b;
  if (a == DType::b8) return b;
  if (b == DType::b8) return a;
  return size_of(a) >= size_of(b) ? a : b;  // u8 < i32 < i64
}
DType promote(const Tensor& a, const Tensor& b) {
  const auto kind = [](DType t) { return is_float(t) ? 2 : t == DType::b8 ? 0 : 1; };
  const DType ta = a.dtype(), tb = b.dtype();
  const bool sa = a.rank() == 0, sb = b.rank() == 0;
  if (sa != sb) {
    const DType full = sa ? tb : ta, one = sa ? ta : tb;
    if (kind(one) <= kind(full)) return full;
  }
  return promote(ta, tb);
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  const int r = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < r; ++i) {
    const int ia = i - (r - a.rank()), ib = i - (r - b.rank());
    const std::int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1)
      throw Error(Code::usage, std::string(op) + ": shapes " + a.str() + " and " + b.str() + " do not broadcast: axis " +
                                   std::to_string(i) + " is " + std::to_string(da) + " and " + std::to_string(db) +
                                   "; sizes must be equal or 1");
    out.push_back(da == 1 ? db : da);
  }
  return out;
}

int normal_axis(int axis, int rank, const char* op) {
  const int r = std::max(rank, 1);
  if (axis < -r || axis >= r)
    throw Error(Code::usage, std::string(op) + ": axis " + std::to_string(axis) + " is out of range for " + std::to_string(rank) + " axes");
  return axis < 0 ? axis + r : axis;
}

}  // namespace graft
