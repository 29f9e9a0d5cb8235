// Operations that move the window rather than the data: results share storage wherever strides can say it. The adjoint of a window writes
// into zeros (SliceAdjoint, DiagonalAdjoint), and its adjoint is the window again, so gradients of any order stay in this file.
#include <algorithm>
#include <numeric>

#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

std::string list(const std::vector<int>& v) {
  std::string s = "[";
  for (std::size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + std::to_string(v[i]);
  return s + "]";
}

struct Reshape {
  static constexpr std::string_view name = "reshape";
  struct Attrs {
    Shape shape;
    std::string str() const { return shape.str(); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::reshape(in[0], a.shape)}; }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) { return {reshape(dy[0], c.input_shape(0))}; }
  static std::vector<GradCase> cases() {
    return {{"view",
             {{2, 6}},
             [](const Tensors& t) {
               return reshape(t[0], {3, -1});
             }},
            {"copy", {{2, 6}}, [](const Tensors& t) {
               return reshape(transpose(t[0]), {4, 3});
             }}};
  }
};

struct Permute {
  static constexpr std::string_view name = "permute";
  struct Attrs {
    std::vector<int> axes;
    std::string str() const { return list(axes); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    Shape shape, stride;
    for (int i : a.axes) {
      shape.push_back(in[0].shape()[i]);
      stride.push_back(in[0].strides()[i]);
    }
    return {in[0].alias(shape, stride, 0)};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& dy) {
    std::vector<int> back(a.axes.size());
    for (std::size_t i = 0; i < back.size(); ++i) back[static_cast<std::size_t>(a.axes[i])] = static_cast<int>(i);
    return {permute(dy[0], back)};
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3, 4}}, [](const Tensors& t) { return permute(t[0], {2, 0, 1}); }}};
  }
};

struct Expand {
  static constexpr std::string_view name = "expand";
  struct Attrs {
    Shape shape;
    std::string str() const { return shape.str(); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {raw::expand(in[0], a.shape)}; }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) { return {reduce_to(dy[0], c.input_shape(0))}; }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 1}}, [](const Tensors& t) { return expand(t[0], {2, 3, 4}); }}};
  }
};

// x[start : : step] of `count` elements along one axis, step already normal; its adjoint writes dy into zeros.
struct SliceAttrs {
  int axis = 0;
  std::int64_t start = 0, count = 0, step = 1;
  std::string str() const {
    return "axis=" + std::to_string(axis) + ", start=" + std::to_string(start) + ", count=" + std::to_string(count) +
           ", step=" + std::to_string(step);
  }
};
Tensor window(const Tensor& x, const SliceAttrs& a) {
  Shape shape = x.shape(), stride = x.strides();
  shape[a.axis] = a.count;
  const std::int64_t offset = a.count ? a.start * stride[a.axis] : 0;
  stride[a.axis] *= a.step;
  return x.alias(shape, stride, offset);
}
struct Slice {
  static constexpr std::string_view name = "slice";
  using Attrs = SliceAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {window(in[0], a)}; }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy);
  static std::vector<GradCase> cases() {
    return {{"step", {{3, 7}}, [](const Tensors& t) { return slice(t[0], 1, 1, 6, 2); }},
            {"reverse", {{3, 7}}, [](const Tensors& t) { return slice(t[0], 1, -1, INT64_MIN, -3); }}};
  }
};
struct SliceAdjoint {  // zeros of the input's shape with dy in the window
  static constexpr std::string_view name = "slice_adjoint";
  struct Attrs {
    Shape shape;
    SliceAttrs slice;
    std::string str() const { return shape.str() + ", " + slice.str(); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    Tensor out = Tensor::zeros(a.shape, in[0].dtype());
    raw::copy(window(out, a.slice), in[0]);
    return {out};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& dy) { return record<Slice>(a.slice, {dy[0]}); }
  static std::vector<GradCase> cases() {
    return {{"", {{3, 2}}, [](const Tensors& t) { return record1<SliceAdjoint>({{3, 7}, {1, 1, 2, 3}}, {t[0]}); }}};
  }
};
Tensors Slice::backward(const Context& c, const Attrs& a, const Tensors& dy) {
  return record<SliceAdjoint>({c.input_shape(0), a}, {dy[0]});
}

struct DiagonalAttrs {
  int a = 0, b = 1;
  std::string str() const { return std::to_string(a) + "," + std::to_string(b); }
};
Tensor diagonal_window(const Tensor& x, const DiagonalAttrs& d) {
  Shape shape, stride;
  for (int i = 0; i < x.rank(); ++i)
    if (i != d.a && i != d.b) {
      shape.push_back(x.shape()[i]);
      stride.push_back(x.strides()[i]);
    }
  shape.push_back(std::min(x.shape()[d.a], x.shape()[d.b]));
  stride.push_back(x.strides()[d.a] + x.strides()[d.b]);
  return x.alias(shape, stride, 0);
}
struct Diagonal {
  static constexpr std::string_view name = "diagonal";
  using Attrs = DiagonalAttrs;
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) { return {diagonal_window(in[0], a)}; }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy);
  static std::vector<GradCase> cases() {
    return {{"", {{3, 4, 2}}, [](const Tensors& t) { return diagonal(t[0], 0, 1); }}};
  }
};
struct DiagonalAdjoint {
  static constexpr std::string_view name = "diagonal_adjoint";
  struct Attrs {
    Shape shape;
    DiagonalAttrs d;
    std::string str() const { return shape.str() + ", " + d.str(); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    Tensor out = Tensor::zeros(a.shape, in[0].dtype());
    raw::copy(diagonal_window(out, a.d), in[0]);
    return {out};
  }
  static Tensors backward(const Context&, const Attrs& a, const Tensors& dy) { return record<Diagonal>(a.d, {dy[0]}); }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return record1<DiagonalAdjoint>({{3, 4, 2}, {0, 1}}, {t[0]}); }}};
  }
};
Tensors Diagonal::backward(const Context& c, const Attrs& a, const Tensors& dy) {
  return record<DiagonalAdjoint>({c.input_shape(0), a}, {dy[0]});
}

struct Copy {  // contiguous and clone
  static constexpr std::string_view name = "copy";
  struct Attrs {};
  static Tensors forward(Context&, const Attrs&, const Tensors& in) { return {raw::copy_of(in[0])}; }
  static Tensors backward(const Context&, const Attrs&, const Tensors& dy) { return {dy[0]}; }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}}, [](const Tensors& t) { return contiguous(transpose(t[0])); }}};
  }
};

struct Cat {
  static constexpr std::string_view name = "cat";
  struct Attrs {
    int axis = 0;
    std::string str() const { return "axis=" + std::to_string(axis); }
  };
  static Tensors forward(Context&, const Attrs& a, const Tensors& in) {
    Shape shape = in[0].shape();
    shape[a.axis] = 0;
    for (const Tensor& t : in) shape[a.axis] += t.shape()[a.axis];
    Tensor out = Tensor::empty(shape, in[0].dtype());
    std::int64_t at = 0;
    for (const Tensor& t : in) {
      raw::copy(window(out, {a.axis, at, t.shape()[a.axis], 1}), t);
      at += t.shape()[a.axis];
    }
    return {out};
  }
  static Tensors backward(const Context& c, const Attrs& a, const Tensors& dy) {
    Tensors dx;
    std::int64_t at = 0;
    for (int i = 0; i < c.input_count(); ++i) {
      const std::int64_t n = c.input_shape(i)[a.axis];
      dx.push_back(c.needs(i) ? record1<Slice>({a.axis, at, n, 1}, {dy[0]}) : Tensor{});
      at += n;
    }
    return dx;
  }
  static std::vector<GradCase> cases() {
    return {{"", {{2, 3}, {2, 1}, {2, 0}}, [](const Tensors& t) { return cat({t[0], t[1], t[2], t[0]}, 1); }}};
  }
};

}  // namespace

Tensor reshape(const Tensor& x, const Shape& wanted) {
  Shape shape = wanted;
  int unknown = -1;
  std::int64_t known = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      if (unknown >= 0) throw Error(Code::usage, "reshape: " + wanted.str() + " has more than one -1");
      unknown = i;
    } else {
      if (shape[i] < 0) throw Error(Code::usage, "reshape: " + wanted.str() + " has a negative size");
      known *= shape[i];
    }
  }
  if (unknown >= 0) {
    if (known == 0 || x.numel() % known) throw Error(Code::usage, "reshape: " + x.str() + " does not divide into " + wanted.str());
    shape[unknown] = x.numel() / known;
  }
  if (shape.numel() != x.numel())
    throw Error(Code::usage, "reshape: " + x.str() + " has " + std::to_string(x.numel()) + " elements, " + wanted.str() + " has " +
                                 std::to_string(shape.numel()));
  if (shape == x.shape()) return x;
  return record1<Reshape>({shape}, {x});
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  if (static_cast<int>(axes.size()) != x.rank())
    throw Error(Code::usage, "permute: " + list(axes) + " names " + std::to_string(axes.size()) + " axes, " + x.str() + " has " +
                                 std::to_string(x.rank()));
  std::vector<int> normal, seen(axes.size(), 0);
  for (int a : axes) {
    normal.push_back(normal_axis(a, x.rank(), "permute"));
    if (seen[static_cast<std::size_t>(normal.back())]++) throw Error(Code::usage, "permute: " + list(axes) + " names an axis twice");
  }
  return record1<Permute>({normal}, {x});
}
Tensor transpose(const Tensor& x, int a, int b) {
  const int from = normal_axis(a, x.rank(), "transpose"), to = normal_axis(b, x.rank(), "transpose");
  if (from == to) return x;
  std::vector<int> axes(static_cast<std::size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<std::size_t>(from)], axes[static_cast<std::size_t>(to)]);
  return record1<Permute>({axes}, {x});
}
Tensor expand(const Tensor& x, const Shape& shape) { return x.shape() == shape ? x : record1<Expand>({shape}, {x}); }
Tensor squeeze(const Tensor& x, int axis) {
  const int a = normal_axis(axis, x.rank(), "squeeze");
  if (x.rank() == 0 || x.shape()[a] != 1) return x;
  Shape s = x.shape();
  s.erase(a);
  return reshape(x, s);
}
Tensor unsqueeze(const Tensor& x, int axis) {
  Shape s = x.shape();
  s.insert(normal_axis(axis, x.rank() + 1, "unsqueeze"), 1);
  return reshape(x, s);
}
Tensor flatten(const Tensor& x, int first, int last) {
  if (x.rank() == 0) return reshape(x, {1});
  const int f = normal_axis(first, x.rank(), "flatten"), l = normal_axis(last, x.rank(), "flatten");
  if (f > l) throw Error(Code::usage, "flatten: axis " + std::to_string(first) + " comes after " + std::to_string(last));
  Shape s;
  for (int i = 0; i < x.rank(); ++i) {
    if (i > f && i <= l) s[f] *= x.shape()[i];
    else s.push_back(x.shape()[i]);
  }
  return reshape(x, s);
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
  if (x.rank() == 0) throw Error(Code::usage, "slice: " + x.str() + " has no axis to slice");
  if (step == 0) throw Error(Code::usage, "slice: step is 0");
  SliceAttrs s;
  s.axis = normal_axis(axis, x.rank(), "slice");
  const std::int64_t n = x.shape()[s.axis], low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  const auto place = [&](std::int64_t i) { return std::clamp(i < 0 ? (i < -n ? low : i + n) : i, low, high); };
  const std::int64_t b = place(start);
  // An end of INT64_MIN means "to the very beginning" for a negative step, as Python's empty slot does.
  const std::int64_t e = stop == INT64_MIN ? low : place(stop);
  step = std::clamp(step, -n - 1, n + 1);  // any longer one takes the same single element
  s.start = b;
  s.step = step;
  s.count = step > 0 ? std::max<std::int64_t>(0, (e - b + step - 1) / step) : std::max<std::int64_t>(0, (b - e - step - 1) / -step);
  if (s.start == 0 && s.count == n && step == 1) return x;
  return record1<Slice>(s, {x});
}
Tensor select(const Tensor& x, int axis, std::int64_t index) {
  const int a = normal_axis(axis, x.rank(), "select");
  const std::int64_t n = x.rank() ? x.shape()[a] : 0;
  if (index < -n || index >= n)
    throw Error(Code::usage,
                "select: index " + std::to_string(index) + " is out of range for axis " + std::to_string(axis) + " of " + x.str());
  if (index < 0) index += n;
  Tensor s = record1<Slice>({a, index, 1, 1}, {x});
  Shape shape = s.shape();
  shape.erase(a);
  return reshape(s, shape);
}
Tensor flip(const Tensor& x, const std::vector<int>& axes) {
  Tensor y = x;
  for (int a : raw::normal_axes(axes, x.rank(), "flip"))
    if (x.shape()[a] > 1) y = record1<Slice>({a, x.shape()[a] - 1, x.shape()[a], -1}, {y});
  return y;
}
Tensor diagonal(const Tensor& x, int a, int b) {
  if (x.rank() < 2) throw Error(Code::usage, "diagonal: " + x.str() + " has fewer than two axes");
  const int na = normal_axis(a, x.rank(), "diagonal"), nb = normal_axis(b, x.rank(), "diagonal");
  if (na == nb) throw Error(Code::usage, "diagonal: the two axes are the same");
  return record1<Diagonal>({na, nb}, {x});
}
Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : record1<Copy>({}, {x}); }
Tensor clone(const Tensor& x) { return record1<Copy>({}, {x}); }

Tensor cat(const Tensors& xs, int axis) {
  if (xs.empty()) throw Error(Code::usage, "cat: no tensors");
  const int a = normal_axis(axis, xs[0].rank(), "cat");
  if (xs[0].rank() == 0) throw Error(Code::usage, "cat: " + xs[0].str() + " has no axes; use stack");
  DType t = xs[0].dtype();
  for (const Tensor& x : xs) {
    if (x.rank() != xs[0].rank()) throw Error(Code::usage, "cat: " + x.str() + " and " + xs[0].str() + " differ in their number of axes");
    for (int i = 0; i < x.rank(); ++i)
      if (i != a && x.shape()[i] != xs[0].shape()[i])
        throw Error(Code::usage, "cat: " + x.str() + " and " + xs[0].str() + " differ on axis " + std::to_string(i) + "; only axis " +
                                     std::to_string(a) + " may");
    t = promote(t, x.dtype());
  }
  Tensors in;
  for (const Tensor& x : xs) in.push_back(cast(x, t));
  return record1<Cat>({a}, in);
}
Tensor stack(const Tensors& xs, int axis) {
  if (xs.empty()) throw Error(Code::usage, "stack: no tensors");
  Tensors in;
  for (const Tensor& x : xs) {
    if (!(x.shape() == xs[0].shape())) throw Error(Code::usage, "stack: " + x.str() + " and " + xs[0].str() + " differ in shape");
    in.push_back(unsqueeze(x, axis));
  }
  return cat(in, axis < 0 ? axis + xs[0].rank() + 1 : axis);
}
Tensors split(const Tensor& x, std::int64_t size, int axis) {
  if (size < 1) throw Error(Code::usage, "split: size " + std::to_string(size) + " is below 1");
  const int a = normal_axis(axis, x.rank(), "split");
  Tensors out;
  for (std::int64_t at = 0; at < x.shape()[a]; at += size) out.push_back(slice(x, a, at, at + size));
  return out;
}
Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts, double value) {
  if (static_cast<int>(amounts.size()) != x.rank())
    throw Error(Code::usage,
                "pad: " + std::to_string(amounts.size()) + " pairs for the " + std::to_string(x.rank()) + " axes of " + x.str());
  Tensor y = x;
  for (int i = 0; i < x.rank(); ++i) {
    const auto [before, after] = amounts[static_cast<std::size_t>(i)];
    if (before < 0 || after < 0) throw Error(Code::usage, "pad: axis " + std::to_string(i) + " has a negative amount; use slice");
    Tensors parts;
    const auto block = [&](std::int64_t n) {
      Shape s = y.shape();
      s[i] = n;
      return Tensor::full(s, value, x.dtype());
    };
    if (before) parts.push_back(block(before));
    parts.push_back(y);
    if (after) parts.push_back(block(after));
    if (parts.size() > 1) y = cat(parts, i);
  }
  return y;
}

std::vector<OpInfo> view_ops() {
  return {info<Reshape>(),  info<Permute>(),         info<Expand>(), info<Slice>(), info<SliceAdjoint>(),
          info<Diagonal>(), info<DiagonalAdjoint>(), info<Copy>(),   info<Cat>()};
}

}  // namespace graft
