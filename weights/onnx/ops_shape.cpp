// Shapes: changed, asked for, made; and tensors that are made from shapes alone.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

std::vector<std::int64_t> dims_of(const Tensor& t) { return {t.shape().begin(), t.shape().end()}; }
Tensor data(const Call& c) { return c.x(0); }
void moved(Call& c, const Tensor& t) { c.out(t, c.type(0)); }

void reshape_to(Call& c) {
  std::vector<std::int64_t> want;
  if (!list_or_input(c, "shape", 1, want)) c.wrong("has no shape");
  const Tensor x = data(c);
  const bool zero = c.attr("allowzero", 0) != 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    if (want[i] == 0 && !zero) {
      if (static_cast<int>(i) >= x.rank()) c.wrong("copies size " + std::to_string(i) + " of " + x.str() + ", which has no such axis");
      want[i] = x.size(static_cast<int>(i));
    }
  std::vector<std::int64_t> fixed = want;
  for (std::int64_t& d : fixed)
    if (d == -1) d = 1;
  const std::int64_t known = shape_of(fixed, c).numel();
  // An empty tensor with a free size: it is what makes the product zero again.
  if (known == 0 && x.numel() == 0)
    for (std::int64_t& d : want)
      if (d == -1) d = 0;
  moved(c, reshape(x, Shape(want)));
}
void flatten_at(Call& c) {
  const Tensor x = data(c);
  const std::int64_t a = c.attr("axis", 1), rank = x.rank();
  if (a < -rank || a > rank) c.wrong("flattens at axis " + std::to_string(a) + " of " + x.str());
  const std::int64_t at = a < 0 ? a + rank : a;
  std::int64_t rows = 1, cols = 1;
  for (int i = 0; i < x.rank(); ++i) (i < at ? rows : cols) *= x.size(i);
  moved(c, reshape(x, {rows, cols}));
}
void transpose_by(Call& c) {
  const Tensor x = data(c);
  std::vector<int> perm;
  for (const std::int64_t a : c.list("perm")) perm.push_back(c.axis(a, x.rank()));
  if (!c.has("perm"))
    for (int i = x.rank(); i-- > 0;) perm.push_back(i);
  moved(c, permute(x, perm));
}
void squeeze_axes(Call& c) {
  const Tensor x = data(c);
  std::vector<std::int64_t> axes;
  Shape shape;
  if (list_or_input(c, "axes", 1, axes)) {
    const std::vector<int> gone = axes_of(c, axes, x.rank());
    for (const int a : gone)
      if (x.size(a) != 1) c.wrong("squeezes axis " + std::to_string(a) + " of " + x.str() + ", which is not 1");
    for (int i = 0; i < x.rank(); ++i)
      if (std::find(gone.begin(), gone.end(), i) == gone.end()) shape.push_back(x.size(i));
  } else {
    for (const std::int64_t d : x.shape())
      if (d != 1) shape.push_back(d);
  }
  moved(c, reshape(x, shape));
}
void unsqueeze_axes(Call& c) {
  const Tensor x = data(c);
  std::vector<std::int64_t> axes, dims;
  if (!list_or_input(c, "axes", 1, axes)) c.wrong("has no axes");
  const int rank = x.rank() + static_cast<int>(axes.size());
  const std::vector<int> fresh = axes_of(c, axes, rank);
  int from = 0;
  for (int i = 0; i < rank; ++i) dims.push_back(std::find(fresh.begin(), fresh.end(), i) != fresh.end() ? 1 : x.size(from++));
  moved(c, reshape(x, shape_of(dims, c)));
}
void expand_to(Call& c) {
  const Tensor x = data(c);
  const Shape shape = broadcast(x.shape(), shape_of(c.ints(1), c), "Expand");
  shape_of({shape.begin(), shape.end()}, c);
  moved(c, expand(c.x(0), shape));
}
Tensor repeated(const Call& c, Tensor x, const std::vector<std::int64_t>& times) {
  std::vector<std::int64_t> size = dims_of(x);
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (times[i] < 0) c.wrong("repeats " + std::to_string(times[i]) + " times");
    if (times[i] && size[i] > (std::int64_t{1} << 40) / times[i]) c.wrong("repeats more than memory holds");
    size[i] *= times[i];
  }
  shape_of(size, c);
  for (int i = 0; i < x.rank(); ++i) {
    const std::int64_t n = times[static_cast<std::size_t>(i)];
    if (n == 1) continue;
    if (x.rank() < kMaxRank) {
      Shape wide = x.shape(), flat = x.shape();
      wide.insert(i, n);
      flat[i] *= n;
      x = reshape(expand(unsqueeze(x, i), wide), flat);
    } else {
      x = n == 0 ? slice(x, i, 0, 0) : cat(Tensors(static_cast<std::size_t>(n), x), i);
    }
  }
  return x;
}
void tile(Call& c) {
  const Tensor x = c.x(0);
  if (c.opset < 6) {  // tiles, axis
    std::vector<std::int64_t> times(static_cast<std::size_t>(x.rank()), 1);
    times[static_cast<std::size_t>(c.axis(static_cast<std::int64_t>(c.number(2)), x.rank()))] = static_cast<std::int64_t>(c.number(1));
    return moved(c, repeated(c, x, times));
  }
  const std::vector<std::int64_t> times = c.ints(1);
  if (static_cast<int>(times.size()) != x.rank()) c.wrong("has " + std::to_string(times.size()) + " repeats for " + x.str());
  moved(c, repeated(c, x, times));
}
void concat(Call& c) {
  Tensors parts;
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    if (c.type(i) != c.type(0)) c.wrong("joins " + type_name(c.type(0)) + " and " + type_name(c.type(i)));
    parts.push_back(c.x(i));
  }
  if (parts.empty()) c.wrong("joins nothing");
  moved(c, cat(parts, c.axis(c.attr("axis", 1), parts[0].rank())));
}

void shape(Call& c) {
  const Tensor& x = c.in(0).tensor;
  const std::int64_t rank = x.rank();
  const auto place = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const std::int64_t from = place(c.attr("start", 0)), to = place(c.attr("end", rank));
  std::vector<std::int64_t> dims = dims_of(x);
  dims = from < to ? std::vector<std::int64_t>(dims.begin() + from, dims.begin() + to) : std::vector<std::int64_t>{};
  c.out(from_ints(dims, {static_cast<std::int64_t>(dims.size())}, kInt64));
}
void size(Call& c) { c.out(from_ints({c.in(0).tensor.numel()}, {}, kInt64)); }

OnnxValue attribute_tensor(const Call& c, const char* name) {
  const OnnxAttribute* a = c.node.find(name);
  if (a->kind != OnnxAttribute::Kind::tensor) c.wrong(std::string("wants ") + name + " to be a tensor");
  return value_of(*a->tensors[0], "node " + c.node.str());
}
void constant(Call& c) {
  if (c.has("value")) {
    OnnxValue v = attribute_tensor(c, "value");
    if (is_float_type(v.type)) v.tensor = here(v.tensor);
    return c.out(v);
  }
  if (c.has("value_float")) return c.out(from_doubles({c.attr("value_float", 0.0)}, {}, kFloat));
  if (c.has("value_int")) return c.out(from_ints({c.attr("value_int", 0)}, {}, kInt64));
  if (c.has("value_floats")) {
    const auto v = c.reals("value_floats");
    return c.out(from_doubles(v, {static_cast<std::int64_t>(v.size())}, kFloat));
  }
  if (c.has("value_ints")) {
    const auto v = c.list("value_ints");
    return c.out(from_ints(v, {static_cast<std::int64_t>(v.size())}, kInt64));
  }
  c.refuse("is a constant of text or of a sparse tensor");
}
void constant_of_shape(Call& c) {
  const Shape shape = shape_of(c.ints(0), c);
  if (!c.has("value")) return c.out(Tensor::zeros(shape), kFloat);
  const OnnxValue v = attribute_tensor(c, "value");
  if (v.tensor.numel() != 1) c.wrong("fills with " + v.tensor.str() + ", not with one number");
  c.out(clone(expand(reshape(here(v.tensor), Shape{}), shape)), v.type);
}
void range(Call& c) {
  const int type = c.type(0);
  if (c.type(1) != type || c.type(2) != type) c.wrong("mixes types");
  if (is_float_type(type)) {
    const double from = c.number(0), to = c.number(1), step = c.number(2);
    if (step == 0 || !std::isfinite(step) || !std::isfinite(from) || !std::isfinite(to)) c.wrong("has no end");
    const double n = std::max(0.0, std::ceil((to - from) / step));
    if (n > 0x1p40) c.wrong("makes more than 2^40 numbers");
    std::vector<double> v(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = from + static_cast<double>(i) * step;
    return c.out(from_doubles(v, {static_cast<std::int64_t>(v.size())}, type));
  }
  const std::int64_t from = c.integer(0), to = c.integer(1), step = c.integer(2);
  if (step == 0) c.wrong("has no end");
  const double n = std::max(0.0, std::ceil((static_cast<double>(to) - static_cast<double>(from)) / static_cast<double>(step)));
  if (n > 0x1p40) c.wrong("makes more than 2^40 numbers");
  std::vector<std::int64_t> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = from + static_cast<std::int64_t>(i) * step;
  c.out(from_ints(v, {static_cast<std::int64_t>(v.size())}, type));
}
void eye_like(Call& c) {
  const Tensor x = data(c);
  if (x.rank() != 2) c.wrong("wants a matrix, not " + x.str());
  const int type = static_cast<int>(c.attr("dtype", c.type(0)));
  const std::int64_t k = c.attr("k", 0), rows = x.size(0), cols = x.size(1);
  std::vector<std::int64_t> v(static_cast<std::size_t>(x.numel()), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    if (k > -rows && k < cols && r + k >= 0 && r + k < cols) v[static_cast<std::size_t>(r * cols + r + k)] = 1;
  c.out(cast_value(from_ints(v, x.shape(), kInt64), type, c));
}
void triangle(Call& c) {
  const Tensor x = c.x(0);
  if (x.rank() < 2) c.wrong("wants matrices, not " + x.str());
  const std::int64_t rows = x.size(-2), cols = x.size(-1),
                     k = c.has(std::size_t{1}) ? std::clamp(c.integer(1), -rows - cols, rows + cols) : 0;
  const bool upper = c.attr("upper", 1) != 0;
  std::vector<std::int64_t> keep(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t q = 0; q < cols; ++q) keep[static_cast<std::size_t>(r * cols + q)] = upper ? q - r >= k : q - r <= k;
  moved(c, where(here(from_ints(keep, {rows, cols}, kBool).tensor), x, Tensor::scalar(0, x.dtype())));
}

void depth_to_space(Call& c) {
  const Tensor x = data(c);
  const std::int64_t b = c.attr("blocksize", 0);
  const std::string mode = c.attr("mode", "DCR");
  if (x.rank() != 4 || b < 1 || b > 1 << 15 || x.size(1) % (b * b))
    c.wrong("cannot cut " + x.str() + " into blocks of " + std::to_string(b));
  const std::int64_t n = x.size(0), ch = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
  if (mode != "DCR" && mode != "CRD") c.wrong("has the mode '" + mode + "'");
  const Tensor y = mode == "DCR" ? permute(reshape(x, {n, b, b, ch, h, w}), {0, 3, 4, 1, 5, 2})
                                 : permute(reshape(x, {n, ch, b, b, h, w}), {0, 1, 4, 2, 5, 3});
  moved(c, reshape(y, {n, ch, h * b, w * b}));
}
void space_to_depth(Call& c) {
  const Tensor x = data(c);
  const std::int64_t b = c.attr("blocksize", 0);
  if (x.rank() != 4 || b < 1 || x.size(2) % b || x.size(3) % b) c.wrong("cannot cut " + x.str() + " into blocks of " + std::to_string(b));
  const std::int64_t n = x.size(0), ch = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
  const std::string mode = c.attr("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") c.wrong("has the mode '" + mode + "'");
  const std::vector<int> order = mode == "DCR" ? std::vector<int>{0, 3, 5, 1, 2, 4} : std::vector<int>{0, 1, 3, 5, 2, 4};
  moved(c, reshape(permute(reshape(x, {n, ch, h, b, w, b}), order), {n, ch * b * b, h, w}));
}

constexpr Operator kTable[] = {
    {"Reshape", reshape_to},
    {"Flatten", flatten_at},
    {"Transpose", transpose_by},
    {"Squeeze", squeeze_axes},
    {"Unsqueeze", unsqueeze_axes},
    {"Expand", expand_to},
    {"Tile", tile},
    {"Concat", concat},
    {"Shape", shape},
    {"Size", size},
    {"Constant", constant},
    {"ConstantOfShape", constant_of_shape},
    {"Range", range},
    {"EyeLike", eye_like},
    {"Trilu", triangle},
    {"DepthToSpace", depth_to_space},
    {"SpaceToDepth", space_to_depth},
};

}  // namespace

std::span<const Operator> shape_operators() { return kTable; }

}  // namespace graft::onnx
