// Indexing, sorting and embedding. gather and scatter_add are each other's gradients.
#include <algorithm>

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"
#include "kernels/embed/embed.h"
#include "kernels/gather/gather.h"

namespace graft {
namespace {

Tensor fold(const Tensor& x, int axis) {  // [outer, axis, inner]
  std::int64_t outer = 1, inner = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.shape()[i];
  return raw::reshape(x, {outer, x.shape()[axis], inner});
}
struct AxisAttrs {
  int axis = 0;
  std::string_view called = {};  // the function in whose name an index is bad
  FaultKind outside = FaultKind::index;
  std::string str() const { return "axis=" + std::to_string(axis); }
};

// For indices that need no more looking at and no counting from the end.
Tensor gather_at(const AxisAttrs& a, const Tensor& x, const Tensor& index);
template <bool Add>
Tensor scatter_at(const AxisAttrs& a, const Tensor& x, const Tensor& index, const Tensor& src);

// All axes but `axis` of index equal those of x: the callers slice and stretch first.
struct Gather {
  static constexpr std::string_view name = "gather";
  using Attrs = AxisAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {
    Tensor out = Tensor::empty(in[1].shape(), in[0].dtype());
    const Tensor x = fold(in[0], a.axis), index = fold(in[1], a.axis), y = fold(out, a.axis);
    gather_family().run(current_queue(), {x.view(), index.view(), y.view(), a.outside});
    c.keep(in[1]);
    return {out};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    return {scatter_at<true>(a, Tensor::zeros(c.input_shape(0), dy[0].dtype()), c.saved(0), dy[0]), Tensor{}};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 4}}, [](const Tensors& t) { return gather(t[0], 1, Tensor::from<std::int64_t>({0, 3, 3, 1, 2, 0}, {3, 2})); }}};
  }
};
template <bool Add>
struct Scatter {
  static constexpr std::string_view name = Add ? "scatter_add" : "scatter";
  using Attrs = AxisAttrs;
  static Tensors forward(Context& c, const Attrs& a, const Tensors& in) {  // x, index, src
    Tensor out = raw::copy_of(in[0]);
    const Tensor src = fold(in[2], a.axis), index = fold(in[1], a.axis), y = fold(out, a.axis);
    scatter_family().run(current_queue(), {src.view(), index.view(), y.view(), Add, a.outside});
    c.keep(in[1]);
    return {out};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    const Tensor& index = c.saved(0);
    Tensors dx(3);
    if (Add) {
      dx[0] = dy[0];
      if (c.needs(2)) dx[2] = gather_at(a, dy[0], index);
      return dx;
    }
    // Overwritten places pass nothing to x; of several writers only the last one that stayed is heard.
    if (c.needs(0)) dx[0] = scatter_at<false>(a, dy[0], index, Tensor::zeros(index.shape(), dy[0].dtype()));
    if (c.needs(2)) {
      Shape order_shape = index.shape();
      for (int i = 0; i < order_shape.rank(); ++i)
        if (i != a.axis) order_shape[i] = 1;
      const Tensor order =
          raw::copy_of(raw::expand(raw::reshape(Tensor::arange(0, static_cast<double>(index.size(a.axis))), order_shape), index.shape()));
      const Tensor winner = scatter_at<false>(a, Tensor::full(c.input_shape(0), -1, DType::i64), index, order);
      dx[2] = mul(gather_at(a, dy[0], index), cast(eq(gather_at(a, winner, index), order), dy[0].dtype()));
    }
    return dx;
  }
  static std::vector<GradCase> cases() {
    const auto index = [] { return Tensor::from<std::int64_t>({0, 3, 3, 1, 2, 2}, {3, 2}); };
    return {{"", {{3, 4}, {3, 2}}, [=](const Tensors& t) {
               return Add ? scatter_add(t[0], 1, index(), t[1]) : scatter(t[0], 1, index(), t[1]);
             }}};
  }
};
Tensor gather_at(const AxisAttrs& a, const Tensor& x, const Tensor& index) { return record1<Gather>(a, {x, index}); }
template <bool Add>
Tensor scatter_at(const AxisAttrs& a, const Tensor& x, const Tensor& index, const Tensor& src) {
  return record1<Scatter<Add>>(a, {x, index, src});
}

struct Embedding {
  static constexpr std::string_view name = "embedding";
  struct Attrs {
    std::int64_t padding_index = -1;
    std::string str() const { return padding_index < 0 ? "" : "padding_index=" + std::to_string(padding_index); }
  };
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {  // table [vocab, dim], ids [n]
    Tensor out = Tensor::empty({in[1].size(0), in[0].size(1)}, in[0].dtype());
    embed_family().run(current_queue(), {in[1].view(), in[0].view(), out.view()});
    c.keep(in[1]);
    return {out};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    Tensor d = Tensor::empty(c.input_shape(0), dy[0].dtype());
    embed_grad_family().run(current_queue(), {c.saved(0).view(), dy[0].view(), d.view(), a.padding_index});
    return {d, Tensor{}};
  }
  static Tensors plain(const Attrs& a, const Tensors& in) {
    Tensor table = in[0];
    if (a.padding_index >= 0) {  // that row is a constant
      const Tensor pad = reshape(
          eq(Tensor::arange(0, static_cast<double>(table.size(0))), Tensor::scalar(static_cast<double>(a.padding_index), DType::i64)),
          {table.size(0), 1});
      table = where(pad, table.detach(), table);
    }
    return {index_select(table, 0, in[1])};
  }
  static std::vector<GradCase> cases() {
    const auto ids = [] { return Tensor::from<std::int64_t>({4, 0, 0, 2, 4, 0}, {2, 3}); };
    return {{"", {{5, 3}}, [=](const Tensors& t) { return embedding(t[0], ids()); }}};
  }
};

// Indices, i64, negative ones counted from the end. On the host they are looked at; on a device the kernels look, and report (Queue::look).
Tensor checked(const char* op, const Tensor& index, std::int64_t n) {
  if (index.dtype() != DType::i64) throw Error(Code::usage, std::string(op) + ": index " + index.str() + " must be i64");
  if (index.device().kind != DeviceKind::cpu) return where(lt(index, Tensor::scalar(0, DType::i64)), add(index, n), raw::contiguous(index));
  std::vector<std::int64_t> p = index.host<std::int64_t>();
  bool negative = false;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] < -n || p[i] >= n) throw Error(Code::usage, fault_sentence(FaultKind::index, op, static_cast<std::int64_t>(i), p[i], n));
    negative |= p[i] < 0;
  }
  if (!negative) return raw::contiguous(index);
  for (std::int64_t& v : p) v += v < 0 ? n : 0;
  return Tensor::from(p, index.shape());
}
// How an op with checked() indices is called.
AxisAttrs indexed(int axis, const char* op, const Tensor& index) {
  return {axis, op, index.device().kind == DeviceKind::cpu ? FaultKind::index : FaultKind::wrapped_index};
}
int check_axes(const char* op, const Tensor& x, int axis, const Tensor& index) {
  const int a = normal_axis(axis, x.rank(), op);
  if (x.rank() == 0 || index.rank() != x.rank())
    throw Error(Code::usage,
                std::string(op) + ": " + x.str() + " and index " + index.str() + " must have the same number of axes, at least one");
  for (int i = 0; i < x.rank(); ++i)
    if (i != a && index.shape()[i] > x.shape()[i])
      throw Error(Code::usage, std::string(op) + ": index " + index.str() + " is larger than " + x.str() + " on axis " + std::to_string(i));
  return a;
}
// x cut to the index's extent on every axis but `axis`.
Tensor cut(Tensor x, int axis, const Shape& index) {
  for (int i = 0; i < x.rank(); ++i)
    if (i != axis && index[i] < x.shape()[i]) x = slice(x, i, 0, index[i]);
  return x;
}

template <bool Add>
Tensor scatter_any(const char* op, const Tensor& x, int axis, const Tensor& index, const Tensor& src) {
  const int a = check_axes(op, x, axis, index);
  if (!(src.shape() == index.shape()) || src.dtype() != x.dtype())
    throw Error(Code::usage, std::string(op) + ": src " + src.str() + " must have the index's shape " + index.shape().str() +
                                 " and dtype " + std::string(name_of(x.dtype())));
  const Tensor i = checked(op, index, x.size(a));
  bool whole = true;
  for (int d = 0; d < x.rank(); ++d) whole &= d == a || index.shape()[d] == x.shape()[d];
  const AxisAttrs attrs = indexed(a, op, i);
  if (whole) return record1<Scatter<Add>>(attrs, {x, i, src});
  // A smaller index touches a corner: that corner is scattered and the rest put back around it.
  Tensor corner = record1<Scatter<Add>>(attrs, {cut(x, a, index.shape()), i, src});
  for (int d = x.rank() - 1; d >= 0; --d) {
    if (d == a || index.shape()[d] == x.shape()[d]) continue;
    Tensor rest = x;
    for (int e = 0; e < d; ++e)
      if (e != a) rest = slice(rest, e, 0, index.shape()[e]);
    corner = cat({corner, slice(rest, d, index.shape()[d])}, d);
  }
  return corner;
}

}  // namespace

Tensor pick(const char* op, const Tensor& x, const Tensor& target) {
  return squeeze(gather_at({1, op, FaultKind::target}, x, raw::contiguous(raw::reshape(target, {target.numel(), 1}))), 1);
}
Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  const int a = check_axes("gather", x, axis, index);
  return record1<Gather>(indexed(a, "gather", index), {cut(x, a, index.shape()), checked("gather", index, x.size(a))});
}
Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& src) {
  return scatter_any<false>("scatter", x, axis, index, src);
}
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& src) {
  return scatter_any<true>("scatter_add", x, axis, index, src);
}
Tensor index_select(const Tensor& x, int axis, const Tensor& index) {
  if (index.rank() != 1) throw Error(Code::usage, "index_select: index " + index.str() + " must have one axis");
  const int a = normal_axis(axis, x.rank(), "index_select");
  if (x.rank() == 0) throw Error(Code::usage, "index_select: " + x.str() + " has no axis to select from");
  Shape one, full = x.shape();
  for (int i = 0; i < x.rank(); ++i) one.push_back(i == a ? index.size(0) : 1);
  full[a] = index.size(0);
  return record1<Gather>(indexed(a, "index_select", index),
                         {x, raw::expand(raw::reshape(checked("index_select", index, x.size(a)), one), full)});
}
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  if (mask.dtype() != DType::b8) throw Error(Code::usage, "masked_fill: mask " + mask.str() + " must be bool");
  return where(mask, Tensor::scalar(value, x.dtype()), x);
}
Tensor masked_select(const Tensor& x, const Tensor& mask) {
  if (mask.dtype() != DType::b8) throw Error(Code::usage, "masked_select: mask " + mask.str() + " must be bool");
  const Shape s = broadcast(x.shape(), mask.shape(), "masked_select");
  const std::vector<bool> p = raw::expand(mask, s).host<bool>();
  std::vector<std::int64_t> hits;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i]) hits.push_back(static_cast<std::int64_t>(i));
  const auto n = static_cast<std::int64_t>(hits.size());
  return index_select(reshape(expand(x, s), {s.numel()}), 0, Tensor::from(hits, {n}));
}
Tensor embedding(const Tensor& table, const Tensor& ids, std::int64_t padding_index) {
  if (table.rank() != 2) throw Error(Code::usage, "embedding: table " + table.str() + " must be [vocab, dim]");
  raw::want_float("embedding", "table", table);
  if (ids.dtype() != DType::i64) throw Error(Code::usage, "embedding: ids " + ids.str() + " must be i64");
  const Tensor flat = raw::reshape(raw::contiguous(ids), {ids.numel()});
  if (flat.device().kind == DeviceKind::cpu) {
    const std::vector<std::int64_t> p = flat.host<std::int64_t>();
    for (std::size_t i = 0; i < p.size(); ++i)
      if (p[i] < 0 || p[i] >= table.size(0))
        throw Error(Code::usage, fault_sentence(FaultKind::id, "embedding", static_cast<std::int64_t>(i), p[i], table.size(0)));
  }
  if (padding_index >= table.size(0))
    throw Error(Code::usage, "embedding: padding_index " + std::to_string(padding_index) + " is outside the table " + table.str());
  Shape out = ids.shape();
  out.push_back(table.size(1));
  return reshape(record1<Embedding>({padding_index}, {table, flat}), out);
}
Tensor one_hot(const Tensor& ids, std::int64_t classes, DType dtype) {
  Shape s = ids.shape();
  s.push_back(1);
  return cast(eq(reshape(ids, s), Tensor::arange(0, static_cast<double>(classes))), dtype);
}

namespace {
Sorted sorted(const char* op, const Tensor& x, std::int64_t k, int axis, bool descending) {
  if (x.rank() == 0) return {x, Tensor::zeros({}, DType::i64)};
  const int a = normal_axis(axis, x.rank(), op);
  if (k < 0 || k > x.size(a))
    throw Error(Code::usage,
                std::string(op) + ": k " + std::to_string(k) + " is out of range for axis " + std::to_string(axis) + " of " + x.str());
  Tensor last = x.detach();
  if (a != x.rank() - 1) {
    NoGrad off;
    last = contiguous(transpose(last, a, -1));
  }
  Shape s = last.shape();
  s[s.rank() - 1] = k;
  Tensor values = Tensor::empty(s, x.dtype()), indices = Tensor::empty(s, DType::i64);
  const Tensor rows = raw::rows(last);
  sort_family().run(current_queue(), {rows.view(), raw::rows(values).view(), raw::rows(indices).view(), descending});
  if (a != x.rank() - 1) {
    NoGrad off;
    indices = contiguous(transpose(indices, a, -1));
    values = contiguous(transpose(values, a, -1));
  }
  return {x.requires_grad() && recording() ? gather_at({a, op}, x, indices) : values, indices};
}
}  // namespace
Sorted sort(const Tensor& x, int axis, bool descending) { return sorted("sort", x, x.rank() ? x.size(axis) : 1, axis, descending); }
Sorted topk(const Tensor& x, std::int64_t k, int axis, bool largest) { return sorted("topk", x, k, axis, largest); }

std::vector<OpInfo> indexing_ops() {
  OpInfo s;
  s.name = "sort";
  s.cases = {{"", {{3, 5}}, [](const Tensors& t) { return sort(t[0], 1).values; }, Domain::spread},
             {"topk", {{4, 3}}, [](const Tensors& t) { return topk(t[0], 2, 0).values; }, Domain::spread}};
  return {info<Gather>(), info<Scatter<true>>(), info<Scatter<false>>(), info<Embedding>(), s};
}

}  // namespace graft
