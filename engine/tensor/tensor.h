// Tensor: a strided window on shared storage, with the handle that autograd needs. Copying a Tensor copies the handle, not the data.
// Everything here is free of autograd (views made by these methods do not record); the differentiable functions are in engine/ops/ops.h.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/base/context.h"
#include "engine/tensor/shape.h"
#include "kernels/core/dtype.h"
#include "kernels/core/view.h"

namespace graft {

struct Node;  // engine/autograd/tape.h

// A block of device memory, or borrowed bytes that `keeper` keeps alive (a mapped checkpoint).
struct Storage {
  Storage(std::int64_t bytes, Device device);
  Storage(void* borrowed, std::int64_t bytes, std::shared_ptr<const void> keeper);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data;
  std::int64_t bytes;
  Device device;
  std::shared_ptr<const void> keeper;
  std::uint64_t version = 0;  // bumped by every write in place: a saved tensor that changed is an error in backward
};

class Tensor;
struct TensorImpl;

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  // ---- making ----
  // On the device of this thread's queue, as all that follow.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32);
  static Tensor empty(const Shape& shape, DType dtype, Device device);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
  static Tensor ones(const Shape& shape, DType dtype = DType::f32);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
  static Tensor arange(double start, double stop, double step = 1, DType dtype = DType::i64);
  static Tensor eye(std::int64_t n, DType dtype = DType::f32);
  static Tensor scalar(double value, DType dtype = DType::f32) { return full({}, value, dtype); }
  // Copies `values` (row-major). Throws Error(usage) when their number is not shape.numel().
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape);
  static Tensor borrowed(void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> keeper);

  // ---- asking ----
  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const;
  const Shape& strides() const;  // elements
  int rank() const { return shape().rank(); }
  std::int64_t size(int axis) const;  // negative counts from the end
  std::int64_t numel() const { return shape().numel(); }
  DType dtype() const;
  Device device() const;
  std::int64_t bytes() const { return numel() * static_cast<std::int64_t>(size_of(dtype())); }
  bool is_contiguous() const;
  bool same_storage(const Tensor& o) const;
  const std::shared_ptr<Storage>& storage() const;
  std::int64_t offset() const;  // elements into the storage
  std::string str() const;      // "f32[8,1024]"

  // ---- data ----
  View view() const;  // for kernels of this thread's queue; Error(usage) when the tensor is on another device
  // The host's own memory: Error(usage) on another dtype, and for a tensor that is not on the CPU (use to() first).
  template <class T>
  T* data() const {
    return static_cast<T*>(raw_data(dtype_of<T>));
  }
  void* raw() const;  // first element, whatever the dtype
  // The same values there, no history; itself when it is there already. A copy to the CPU waits for the queue's work: a bad index that an
  // operation met on the device is thrown here, Error(usage), as are values(), host() and item(), which copy.
  Tensor to(Device device) const;
  template <class T>
  std::vector<T> host() const;                          // row-major copy in its own dtype, from any device
  void set_values(const std::vector<double>& v) const;  // row-major, rounded to the dtype; the tensor must be dense
  double item() const;                                  // the one element, as double; Error(usage) when there is not exactly one
  std::vector<double> values() const;                   // row-major, as doubles
  void written() const;                                 // call after writing in place: bumps the storage's version

  // ---- views (share storage, do not record) ----
  Tensor alias(const Shape& shape, const Shape& strides, std::int64_t offset) const;
  Tensor detach() const;  // same data, no history

  // ---- autograd ----
  bool requires_grad() const;
  Tensor& set_requires_grad(bool on = true);  // Error(usage) for integer dtypes and for results of operations
  bool is_leaf() const;
  Tensor grad() const;
  void set_grad(const Tensor& g) const;
  const std::shared_ptr<Node>& node() const;
  int output_index() const;
  const std::string& name() const;
  Tensor& set_name(const std::string& name);  // shown in errors, dumps and reports

  TensorImpl* impl() const { return impl_.get(); }
  const std::shared_ptr<TensorImpl>& handle() const { return impl_; }

 private:
  void* raw_data(DType wanted) const;
  void* address() const;  // as the device sees it
  View layout() const;
  std::shared_ptr<TensorImpl> impl_;
};

using Tensors = std::vector<Tensor>;

// What a tensor of this dtype makes of a number: rounded, and for integers cut to whole numbers and to their range (NaN: 0), as copies
// between dtypes do.
double held_by(DType dtype, double value);

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  Shape shape, strides;
  std::int64_t offset = 0;
  DType dtype = DType::f32;
  bool requires_grad = false;
  bool unit_seed = false;  // the 1 that backward() starts from: an op that has its gradient ready need not multiply by it
  int output_index = 0;
  std::shared_ptr<Node> node;  // what made it; empty for leaves
  Tensor grad;
  std::string name;
};

// The dtype in which two operands meet, as PyTorch's torch.promote_types: bool < integers < floats; u8 with i32 is i32; bf16 with f16 is
// f32.
DType promote(DType a, DType b);
// As torch.result_type: an operand without axes does not raise the dtype within its own kind (bool, integer, float).
DType promote(const Tensor& a, const Tensor& b);

// Shapes aligned at the last axis, size 1 stretches. Throws Error(usage) naming `op` and both shapes.
Shape broadcast(const Shape& a, const Shape& b, const char* op);
// Axis in [-rank, rank) to [0, rank). Throws Error(usage) naming `op`.
int normal_axis(int axis, int rank, const char* op);

}  // namespace graft
