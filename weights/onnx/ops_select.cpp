// Which elements: the largest, the true ones, the different ones; and their marks.
#include <algorithm>
#include <map>
#include <numeric>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

Tensor index_tensor(const std::vector<std::int64_t>& v) { return here(from_ints(v, {static_cast<std::int64_t>(v.size())}, kInt64).tensor); }

template <bool Largest>
void arg_extreme(Call& c) {
  const Tensor x = c.x(0);
  const int a = c.axis(c.attr("axis", 0), x.rank());
  const bool keep = c.attr("keepdims", 1) != 0, last = c.attr("select_last_index", 0) != 0;
  const Tensor from = last ? flip(x, {a}) : x;
  Tensor y = Largest ? argmax(from, a, keep) : argmin(from, a, keep);
  if (last) y = sub(x.size(a) - 1, y);
  c.out(y, kInt64);
}

void hard_max(Call& c) {
  Tensor x = c.x(0);
  const Shape shape = x.shape();
  int a = c.axis(c.attr("axis", c.opset < 13 ? 1 : -1), x.rank());
  if (c.opset < 13) {  // all from the axis on is one
    std::int64_t rows = 1;
    for (int i = 0; i < a; ++i) rows *= shape[i];
    x = reshape(x, {rows, -1});
    a = 1;
  }
  const Tensor best = argmax(x, a, true);
  Shape along;
  for (int i = 0; i < x.rank(); ++i) along.push_back(i == a ? x.size(a) : 1);
  c.out(reshape(cast(eq(reshape(Tensor::arange(0, static_cast<double>(x.size(a))), along), best), x.dtype()), shape), c.type(0));
}

void top_k(Call& c) {
  const Tensor x = c.x(0);
  const std::int64_t k = c.opset < 10 ? c.attr("k", 0) : c.integer(1);
  const int a = c.axis(c.attr("axis", -1), x.rank());
  if (k < 0 || k > x.size(a)) c.wrong("asks for " + std::to_string(k) + " of " + std::to_string(x.size(a)));
  const Sorted s = topk(x, k, a, c.attr("largest", 1) != 0);
  c.out(s.values, c.type(0));
  c.out(s.indices, kInt64);
}

void one_hot_of(Call& c) {
  const OnnxValue& where_hot = c.in(0);
  std::vector<std::int64_t> ids;
  if (is_float_type(where_hot.type))
    for (const double d : where_hot.tensor.values()) ids.push_back(static_cast<std::int64_t>(std::clamp(d, -0x1p62, 0x1p62)));
  else ids = ints_of(where_hot);
  const double wide = c.number(1);
  if (!(wide >= 1 && wide < 0x1p31)) c.wrong("has the depth " + std::to_string(wide));
  const auto depth = static_cast<std::int64_t>(wide);
  const Tensor values = c.x(2);
  if (values.numel() != 2) c.wrong("wants two values, not " + values.str());
  const int rank = where_hot.tensor.rank() + 1, a = c.axis(c.attr("axis", -1), rank);
  std::vector<std::int64_t> dims(where_hot.tensor.shape().begin(), where_hot.tensor.shape().end());
  std::vector<std::int64_t> along(static_cast<std::size_t>(rank), 1), classes(static_cast<std::size_t>(depth));
  dims.insert(dims.begin() + a, 1);
  along[static_cast<std::size_t>(a)] = depth;
  std::iota(classes.begin(), classes.end(), 0);
  for (std::int64_t& i : ids)
    if (i < 0) i += depth;
  shape_of(
      [&] {
        auto d = dims;
        d[static_cast<std::size_t>(a)] = depth;
        return d;
      }(),
      c);
  const OnnxValue hot = map_ints(from_ints(ids, shape_of(dims, c), kInt64), from_ints(classes, Shape(along), kInt64), kBool,
                                 [](std::int64_t x, std::int64_t y) { return std::int64_t{x == y}; });
  const Tensor flat = reshape(values, {2});
  c.out(where(here(hot.tensor), select(flat, 0, 1), select(flat, 0, 0)), c.type(2));
}

void non_zero(Call& c) {
  const OnnxValue& v = c.in(0);
  const Shape& s = v.tensor.shape();
  const std::vector<double> all = v.tensor.values();
  std::vector<std::int64_t> hits;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i] != 0) hits.push_back(static_cast<std::int64_t>(i));
  const Shape step = dense_strides(s);
  std::vector<std::int64_t> out;
  for (int d = 0; d < s.rank(); ++d)
    for (const std::int64_t h : hits) out.push_back(h / step[d] % s[d]);
  c.out(from_ints(out, {s.rank(), static_cast<std::int64_t>(hits.size())}, kInt64));
}

void compress(Call& c) {
  Tensor x = c.x(0);
  int a = 0;
  if (c.has("axis")) a = c.axis(c.attr("axis", 0), x.rank());
  else x = reshape(x, {x.numel()});
  const std::vector<std::int64_t> keep = c.ints(1);
  std::vector<std::int64_t> at;
  for (std::size_t i = 0; i < keep.size(); ++i)
    if (keep[i]) at.push_back(static_cast<std::int64_t>(i));
  if (!at.empty() && at.back() >= x.size(a)) c.wrong("keeps place " + std::to_string(at.back()) + " of " + std::to_string(x.size(a)));
  c.out(index_select(x, a, index_tensor(at)), c.type(0));
}

// Slices of an axis (or single elements) that are equal are one; each is told by the place where it first stands.
void unique(Call& c) {
  Tensor x = c.x(0);
  int a = 0;
  if (c.has("axis")) a = c.axis(c.attr("axis", 0), x.rank());
  else x = reshape(x, {x.numel()});
  const std::int64_t n = x.size(a);
  std::vector<int> order{a};
  for (int i = 0; i < x.rank(); ++i)
    if (i != a) order.push_back(i);
  const OnnxValue rows{contiguous(permute(x, order)), c.type(0)};
  const std::size_t width = n ? static_cast<std::size_t>(x.numel() / n) : 0;
  std::vector<std::vector<double>> reals;
  std::vector<std::vector<std::int64_t>> wholes;
  const auto cut = [&](const auto& all, auto& into) {
    for (std::int64_t i = 0; i < n; ++i) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * width);
      into.emplace_back(first, first + static_cast<std::ptrdiff_t>(width));
    }
  };
  if (is_float_type(rows.type)) {
    cut(rows.tensor.values(), reals);
  } else {
    std::vector<std::int64_t> v = ints_of(rows);
    if (is_unsigned64(rows.type))
      for (std::int64_t& e : v) e ^= std::numeric_limits<std::int64_t>::min();
    cut(v, wholes);
  }
  std::vector<std::int64_t> first, inverse(static_cast<std::size_t>(n)), counts;
  const auto collect = [&](const auto& keys) {
    std::map<std::remove_cvref_t<decltype(keys[0])>, std::vector<std::int64_t>> groups;
    for (std::int64_t i = 0; i < n; ++i) groups[keys[static_cast<std::size_t>(i)]].push_back(i);
    std::vector<const std::vector<std::int64_t>*> ordered;
    for (const auto& g : groups) ordered.push_back(&g.second);
    if (c.attr("sorted", 1) == 0) std::sort(ordered.begin(), ordered.end(), [](auto* p, auto* q) { return p->front() < q->front(); });
    for (const auto* g : ordered) {
      for (const std::int64_t i : *g) inverse[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(first.size());
      first.push_back(g->front());
      counts.push_back(static_cast<std::int64_t>(g->size()));
    }
  };
  if (is_float_type(rows.type)) collect(reals);
  else collect(wholes);
  const auto m = static_cast<std::int64_t>(first.size());
  c.out(index_select(x, a, index_tensor(first)), c.type(0));
  c.out(from_ints(first, {m}, kInt64));
  c.out(from_ints(inverse, {n}, kInt64));
  c.out(from_ints(counts, {m}, kInt64));
}

constexpr Operator kTable[] = {
    {"ArgMax", arg_extreme<true>}, {"ArgMin", arg_extreme<false>}, {"Hardmax", hard_max},  {"TopK", top_k},
    {"OneHot", one_hot_of},        {"NonZero", non_zero},          {"Compress", compress}, {"Unique", unique},
};

}  // namespace

std::span<const Operator> select_operators() { return kTable; }

}  // namespace graft::onnx
