#include "engine/ops/raw.h"

#include <algorithm>

#include "engine/base/flops.h"
#include "kernels/copy/copy.h"
#include "kernels/matmul/matmul.h"

namespace graft::raw {

DType accum(DType t) { return t == DType::bf16 || t == DType::f16 ? DType::f32 : t; }
View maybe(const Tensor& t) { return t.defined() ? t.view() : View{}; }

void want_float(const char* op, const char* argument, const Tensor& x) {
  if (!is_float(x.dtype()))
    throw Error(Code::usage, std::string(op) + ": " + argument + " is " + x.str() + " but wants a float dtype; cast it first");
}

Tensor expand(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape stride;
  const int lead = shape.rank() - x.rank();
  for (int i = 0; i < shape.rank(); ++i) {
    const int j = i - lead;
    if (j < 0 || (x.shape()[j] == 1 && shape[i] != 1)) stride.push_back(0);
    else if (x.shape()[j] == shape[i]) stride.push_back(x.strides()[j]);
    else
      throw Error(Code::usage,
                  "expand: " + x.str() + " does not stretch to " + shape.str() + ": axis " + std::to_string(i) + " must be 1 or equal");
  }
  if (lead < 0) throw Error(Code::usage, "expand: " + x.str() + " has more axes than " + shape.str());
  return x.alias(shape, stride, 0);
}

void copy(const Tensor& dst, const Tensor& src) {
  if (!(dst.shape() == src.shape())) throw Error(Code::usage, "copy: " + src.str() + " into " + dst.str() + ": shapes must be equal");
  copy_family().run(current_queue(), {src.view(), dst.view()});
  dst.written();
}
Tensor copy_of(const Tensor& x) {
  Tensor out = Tensor::empty(x.shape(), x.dtype());
  copy_family().run(current_queue(), {x.view(), out.view()});
  return out;
}
Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : copy_of(x); }
bool channels_last(const Tensor& x) { return x.rank() == 4 && x.size(1) > 1 && x.strides()[1] == 1 && !x.is_contiguous(); }
Tensor empty_in_order(const Shape& s, DType dtype, bool last) {
  if (!last) return Tensor::empty(s, dtype);
  return Tensor::empty({s[0], s[2], s[3], s[1]}, dtype).alias(s, {s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]}, 0);
}
Tensor in_order(const Tensor& x, bool last) {
  if (last == channels_last(x)) return x;
  Tensor out = empty_in_order(x.shape(), x.dtype(), last);
  copy_family().run(current_queue(), {x.view(), out.view()});
  return out;
}
Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor out = Tensor::empty(x.shape(), dtype);
  copy_family().run(current_queue(), {x.view(), out.view()});
  return out;
}

// The strides of `shape` over x's memory, if some exist: each new axis must lie inside a run of old axes that are dense among themselves.
static bool view_strides(const Tensor& x, const Shape& shape, Shape& out) {
  out = dense_strides(shape);
  if (x.numel() == 0) return true;
  int n = shape.rank() - 1;
  const int r = x.rank();
  int i = r - 1;
  while (i >= 0) {
    if (x.shape()[i] == 1) {
      --i;
      continue;
    }
    std::int64_t run = x.shape()[i], base = x.strides()[i];
    int j = i - 1;
    while (j >= 0 && (x.shape()[j] == 1 || x.strides()[j] == base * run)) run *= x.shape()[j--];
    std::int64_t filled = 1;
    while (n >= 0 && (filled < run || shape[n] == 1)) {
      out[n] = base * filled;
      filled *= shape[n--];
    }
    if (filled != run) return false;
    i = j;
  }
  return true;
}
Tensor reshape(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape strides;
  if (view_strides(x, shape, strides)) return x.alias(shape, strides, 0);
  const Tensor c = copy_of(x);
  return c.alias(shape, dense_strides(shape), 0);
}

namespace {
DType result_dtype(ElementwiseOp op, DType in) {
  switch (op) {
    case ElementwiseOp::eq:
    case ElementwiseOp::ne:
    case ElementwiseOp::lt:
    case ElementwiseOp::le:
    case ElementwiseOp::gt:
    case ElementwiseOp::ge:
    case ElementwiseOp::logical_and:
    case ElementwiseOp::logical_or:
    case ElementwiseOp::logical_xor:
    case ElementwiseOp::logical_not:
    case ElementwiseOp::isnan:
    case ElementwiseOp::isinf: return DType::b8;
    default: return in;
  }
}
}  // namespace

void into(const Tensor& out, ElementwiseOp op, const Tensors& in, double s0, double s1) {
  ElementwiseArgs a{};
  a.op = op;
  for (std::size_t i = 0; i < in.size(); ++i) a.in[i] = raw::expand(in[i], out.shape()).view();
  a.out = out.view();
  a.s0 = s0;
  a.s1 = s1;
  elementwise_family().run(current_queue(), a);
}

namespace {
// Results keep the memory order of a dense permuted operand (channels last stays channels last).
Tensor empty_like_order(const Tensor& x, const Shape& shape, DType dtype) {
  Tensor out = Tensor::empty(shape, dtype);
  if (!(x.shape() == shape) || x.is_contiguous() || shape.rank() < 2) return out;
  std::vector<int> order(static_cast<std::size_t>(shape.rank()));
  for (int i = 0; i < shape.rank(); ++i) order[static_cast<std::size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x.strides()[a] > x.strides()[b]; });
  Shape strides = shape;
  std::int64_t step = 1;
  for (int k = shape.rank() - 1; k >= 0; --k) {
    const int axis = order[static_cast<std::size_t>(k)];
    if (shape[axis] != 1 && x.strides()[axis] != step) return out;  // x has holes: row-major it is
    strides[axis] = step;
    step *= shape[axis];
  }
  return out.alias(shape, strides, 0);
}
}  // namespace

Tensor unary(ElementwiseOp op, const Tensor& x, double s0, double s1) {
  Tensor out = empty_like_order(x, x.shape(), result_dtype(op, x.dtype()));
  into(out, op, {x}, s0, s1);
  return out;
}
Tensor binary(ElementwiseOp op, const Tensor& a, const Tensor& b, double s0, double s1) {
  const Shape shape = broadcast(a.shape(), b.shape(), std::string(name_of(op)).c_str());
  Tensor out = empty_like_order(a.numel() >= b.numel() ? a : b, shape, result_dtype(op, a.dtype()));
  into(out, op, {a, b}, s0, s1);
  return out;
}
Tensor ternary(ElementwiseOp op, const Tensor& a, const Tensor& b, const Tensor& c) {
  const std::string name(name_of(op));
  const Shape shape = broadcast(broadcast(a.shape(), b.shape(), name.c_str()), c.shape(), name.c_str());
  Tensor out = empty_like_order(b, shape, c.dtype());
  into(out, op, {a, b, c});
  return out;
}

std::vector<int> normal_axes(const Axes& axes, int rank, const char* op) {
  std::vector<int> out;
  if (axes.empty())
    for (int i = 0; i < rank; ++i) out.push_back(i);
  for (int a : axes) out.push_back(normal_axis(a, rank, op));
  std::sort(out.begin(), out.end());
  for (std::size_t i = 1; i < out.size(); ++i)
    if (out[i] == out[i - 1]) throw Error(Code::usage, std::string(op) + ": axis " + std::to_string(out[i]) + " is named twice");
  if (rank == 0) out.clear();
  return out;
}
Shape reduced_shape(const Shape& s, const std::vector<int>& axes, bool keep) {
  Shape out;
  for (int i = 0; i < s.rank(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) out.push_back(s[i]);
    else if (keep) out.push_back(1);
  }
  return out;
}

namespace {
// [outer, axis, inner] where `axes` are one contiguous run; else they are moved to the end and copied.
Tensor fold(const Tensor& x, const std::vector<int>& axes) {
  const int first = axes.front(), last = axes.back();
  if (last - first + 1 == static_cast<int>(axes.size())) {
    std::int64_t outer = 1, mid = 1, inner = 1;
    for (int i = 0; i < x.rank(); ++i) (i < first ? outer : i <= last ? mid : inner) *= x.shape()[i];
    return raw::reshape(x, {outer, mid, inner});
  }
  Shape shape, stride;
  std::int64_t outer = 1, mid = 1;
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < x.rank(); ++i) {
      const bool in = std::find(axes.begin(), axes.end(), i) != axes.end();
      if (in != (pass == 1)) continue;
      shape.push_back(x.shape()[i]);
      stride.push_back(x.strides()[i]);
      (in ? mid : outer) *= x.shape()[i];
    }
  return raw::reshape(x.alias(shape, stride, 0), {outer, mid, 1});
}
}  // namespace

Tensor reduce(ReduceOp op, const Tensor& x, const Axes& wanted, bool keep) {
  const std::string name(name_of(op));
  const std::vector<int> axes = normal_axes(wanted, x.rank(), name.c_str());
  const bool extreme = op == ReduceOp::max || op == ReduceOp::min || op == ReduceOp::argmax || op == ReduceOp::argmin;
  const bool index = op == ReduceOp::argmax || op == ReduceOp::argmin;
  for (int a : axes)
    if (extreme && x.shape()[a] == 0)
      throw Error(Code::usage, name + ": axis " + std::to_string(a) + " of " + x.str() + " is empty and has no extreme");
  DType out_dtype = index ? DType::i64 : x.dtype();
  Tensor in = x;
  if (!is_float(x.dtype()) && (op == ReduceOp::sum || op == ReduceOp::prod)) {
    in = raw::cast(x, DType::i64);
    out_dtype = DType::i64;
  }
  if (op == ReduceOp::any || op == ReduceOp::all) out_dtype = DType::b8;
  Tensor folded = axes.empty() ? raw::reshape(in, {in.numel(), 1, 1}) : fold(in, axes);
  Tensor out = Tensor::empty({folded.size(0), folded.size(2)}, out_dtype);
  reduce_family().run(current_queue(), {op, folded.view(), out.view()});
  return raw::reshape(out, reduced_shape(x.shape(), axes, keep));
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  Shape shape = a.shape();
  shape[shape.rank() - 1] = b.size(-1);
  Tensor out = Tensor::empty(shape, a.dtype());
  std::int64_t batch = 1;
  for (int i = 0; i + 2 < a.rank(); ++i) batch *= a.shape()[i];
  const auto three = [&](const Tensor& t) { return raw::reshape(t, {batch, t.size(-2), t.size(-1)}); };
  MatmulArgs args;
  const Tensor ta = three(a), tb = three(b);  // reshape may have copied: keep both alive over the call
  args.a = ta.view();
  args.b = tb.view();
  args.c = three(out).view();
  counted_flops() += 2.0 * static_cast<double>(out.numel() * a.size(-1));
  matmul_family().run(current_queue(), args);
  return out;
}

Tensor rows(const Tensor& x) {
  std::int64_t count = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) count *= x.shape()[i];
  return raw::reshape(x, {count, x.rank() ? x.size(-1) : 1});
}

}  // namespace graft::raw
