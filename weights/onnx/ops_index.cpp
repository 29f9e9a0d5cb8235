// Elements by index: gathered, and scattered into copies. Indices are read on the host, where they are checked and flattened; the data move
// by engine operations.
#include <algorithm>
#include <unordered_map>

#include "weights/formats/json_guard.h"
#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

Tensor index_tensor(const std::vector<std::int64_t>& v) { return here(from_ints(v, {static_cast<std::int64_t>(v.size())}, kInt64).tensor); }

void gather_axis(Call& c) {
  const Tensor x = c.x(0);
  const int a = c.axis(c.attr("axis", 0), x.rank());
  const Shape& wanted = c.in(1).tensor.shape();
  std::vector<std::int64_t> dims;
  for (int i = 0; i < a; ++i) dims.push_back(x.size(i));
  dims.insert(dims.end(), wanted.begin(), wanted.end());
  for (int i = a + 1; i < x.rank(); ++i) dims.push_back(x.size(i));
  c.out(reshape(index_select(x, a, index_tensor(c.ints(1))), shape_of(dims, c)), c.type(0));
}
void gather_elements(Call& c) {
  const Tensor x = c.x(0);
  c.out(gather(x, c.axis(c.attr("axis", 0), x.rank()), here(from_ints(c.ints(1), c.in(1).tensor.shape(), kInt64).tensor)), c.type(0));
}

// Rows of x, seen as [rows, rest] with the first `depth` axes behind `batch` as rows, that tuples of indices name.
std::vector<std::int64_t> rows_of(const Call& c, const Shape& x, const OnnxValue& indices, int batch) {
  const Shape& s = indices.tensor.shape();
  if (s.rank() < 1 || batch < 0 || batch >= s.rank() || batch > x.rank())
    c.wrong("has indices " + indices.tensor.str() + " and " + std::to_string(batch) + " batch axes");
  const std::int64_t depth = s[s.rank() - 1];
  if (depth < 1 || depth > x.rank() - batch) c.wrong("has indices of " + std::to_string(depth) + " parts for data " + x.str());
  std::int64_t per_batch = 1, batches = 1;
  for (int i = 0; i < batch; ++i) {
    if (s[i] != x[i]) c.wrong("has batch axes that differ");
    batches *= s[i];
  }
  for (int i = batch; i + 1 < s.rank(); ++i) per_batch *= s[i];
  const std::vector<std::int64_t> v = ints_of(indices);
  std::vector<std::int64_t> rows;
  for (std::int64_t b = 0, k = 0; b < batches; ++b)
    for (std::int64_t i = 0; i < per_batch; ++i) {
      std::int64_t row = b;
      for (std::int64_t d = 0; d < depth; ++d) {
        const std::int64_t n = x[batch + static_cast<int>(d)];
        std::int64_t at = v[static_cast<std::size_t>(k++)];
        if (at < -n || at >= n) c.wrong("has the index " + std::to_string(at) + " for an axis of " + std::to_string(n));
        row = row * n + (at < 0 ? at + n : at);
      }
      rows.push_back(row);
    }
  return rows;
}
void gather_nd(Call& c) {
  const Tensor x = c.x(0);
  const int batch = static_cast<int>(std::clamp<std::int64_t>(c.attr("batch_dims", 0), -1, kMaxRank));
  const std::vector<std::int64_t> rows = rows_of(c, x.shape(), c.in(1), batch);
  const Shape& s = c.in(1).tensor.shape();
  std::vector<std::int64_t> dims(s.begin(), s.end() - 1);
  std::int64_t rest = 1;
  for (int i = batch + static_cast<int>(s.back()); i < x.rank(); ++i) dims.push_back(x.size(i)), rest *= x.size(i);
  c.out(reshape(index_select(reshape(x, {x.numel() / std::max<std::int64_t>(1, rest), rest}), 0, index_tensor(rows)), shape_of(dims, c)),
        c.type(0));
}

using Combine = Tensor (*)(const Tensor&, const Tensor&);
Combine combine_of(const Call& c, const std::string& how) {
  if (how == "add") return add;
  if (how == "mul") return mul;
  if (how == "max") return maximum;
  if (how == "min") return minimum;
  if (how != "none") c.wrong("reduces by '" + how + "'");
  return nullptr;
}
// updates [m, rest] put into rows of x [n, rest]. One that comes to a row again waits for the next round, so that each round's rows are
// different.
Tensor scatter_rows(const Tensor& x, const std::vector<std::int64_t>& rows, const Tensor& updates, Combine combine) {
  std::vector<std::vector<std::int64_t>> rounds;  // positions in `rows`
  std::unordered_map<std::int64_t, std::size_t> seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t k = seen[rows[i]]++;
    if (k == rounds.size()) rounds.emplace_back();
    rounds[k].push_back(static_cast<std::int64_t>(i));
  }
  Tensor y = x;
  for (const auto& round : rounds) {
    std::vector<std::int64_t> to;
    for (const std::int64_t i : round) to.push_back(rows[static_cast<std::size_t>(i)]);
    Tensor in = rounds.size() == 1 ? updates : index_select(updates, 0, index_tensor(round));
    if (combine) in = cast(combine(index_select(y, 0, index_tensor(to)), in), x.dtype());
    const Tensor at = contiguous(expand(reshape(index_tensor(to), {static_cast<std::int64_t>(to.size()), 1}), in.shape()));
    y = scatter(y, 0, at, in);
  }
  return y;
}
OnnxValue again(const Tensor& t, int type) {
  return is_float_type(type) ? OnnxValue{t, type} : from_ints(ints_of(valued(t)), t.shape(), type);
}  // sums of integers wrap

void scatter_nd(Call& c) {
  const Tensor x = c.x(0);
  const std::vector<std::int64_t> rows = rows_of(c, x.shape(), c.in(1), 0);
  std::int64_t rest = 1;
  for (int i = static_cast<int>(c.in(1).tensor.shape().back()); i < x.rank(); ++i) rest *= x.size(i);
  const Tensor updates = c.x(2);
  if (updates.numel() != static_cast<std::int64_t>(rows.size()) * rest || c.type(2) != c.type(0))
    c.wrong("has updates " + updates.str() + " for " + std::to_string(rows.size()) + " places");
  if (x.numel() == 0 || updates.numel() == 0) return c.out(x, c.type(0));
  const Tensor y =
      scatter_rows(reshape(x, {x.numel() / rest, rest}), rows, reshape(updates, {static_cast<std::int64_t>(rows.size()), rest}),
                   combine_of(c, c.attr("reduction", "none")));
  c.out(again(reshape(y, x.shape()), c.type(0)));
}
void scatter_elements(Call& c) {
  const Tensor x = c.x(0), updates = c.x(2);
  const int a = c.axis(c.attr("axis", 0), x.rank());
  const Shape& s = c.in(1).tensor.shape();
  std::vector<std::int64_t> index = c.ints(1);
  if (s.rank() != x.rank() || !(updates.shape() == s) || c.type(2) != c.type(0))
    c.wrong("has indices " + c.in(1).tensor.str() + " and updates " + updates.str() + " for " + x.str());
  // Flat positions in x.
  const Shape step = dense_strides(x.shape());
  std::vector<std::int64_t> at(static_cast<std::size_t>(x.rank()), 0), flat;
  for (const std::int64_t i : index) {
    const std::int64_t n = x.size(a);
    if (i < -n || i >= n) c.wrong("has the index " + std::to_string(i) + " for an axis of " + std::to_string(n));
    std::int64_t p = 0;
    for (int d = 0; d < x.rank(); ++d) {
      if (d != a && at[static_cast<std::size_t>(d)] >= x.size(d))
        c.wrong("has indices " + c.in(1).tensor.str() + ", larger than " + x.str());
      p += step[d] * (d == a ? (i < 0 ? i + n : i) : at[static_cast<std::size_t>(d)]);
    }
    flat.push_back(p);
    for (int d = x.rank() - 1; d >= 0; --d) {
      if (++at[static_cast<std::size_t>(d)] < s[d]) break;
      at[static_cast<std::size_t>(d)] = 0;
    }
  }
  if (flat.empty()) return c.out(x, c.type(0));
  const auto m = static_cast<std::int64_t>(flat.size());
  const Tensor y = scatter_rows(reshape(x, {x.numel(), 1}), flat, reshape(updates, {m, 1}), combine_of(c, c.attr("reduction", "none")));
  c.out(again(reshape(y, x.shape()), c.type(0)));
}

// A cache of keys or values [batch, ..., length, ...] with new ones written behind each batch's own position.
void tensor_scatter(Call& c) {
  const Tensor x = c.x(0), updates = c.x(1);
  const int a = c.axis(c.attr("axis", -2), x.rank());
  if (a == 0 || updates.rank() != x.rank()) c.wrong("cannot write " + updates.str() + " into " + x.str());
  const std::string mode = c.attr("mode", "linear");
  const std::int64_t batch = x.size(0), n = x.size(a), m = updates.size(a);
  const std::vector<std::int64_t> first = c.has(std::size_t{2}) ? c.ints(2) : std::vector<std::int64_t>(static_cast<std::size_t>(batch), 0);
  if (mode != "linear" && mode != "circular") c.wrong("has the mode " + in_quotes(mode) + ", which is neither linear nor circular");
  if (mode == "circular" && n == 0) c.wrong("writes around an axis of no places");
  if (static_cast<std::int64_t>(first.size()) != batch)
    c.wrong("has " + std::to_string(first.size()) + " positions for " + std::to_string(batch) + " rows");
  Shape small;
  for (int i = 0; i < x.rank(); ++i) small.push_back(i == 0 ? batch : i == a ? m : 1);
  std::vector<std::int64_t> to;
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t i = 0; i < m; ++i) {
      std::int64_t p = first[static_cast<std::size_t>(b)] + i;
      if (mode == "circular") p = ((p % n) + n) % n;
      if (p < 0 || p >= n) c.wrong("writes at position " + std::to_string(p) + " of " + std::to_string(n));
      to.push_back(p);
    }
  c.out(scatter(x, a, contiguous(expand(here(from_ints(to, small, kInt64).tensor), updates.shape())), updates), c.type(0));
}

constexpr Operator kTable[] = {
    {"Gather", gather_axis},           {"GatherElements", gather_elements},   {"GatherND", gather_nd},
    {"Scatter", scatter_elements},     {"ScatterElements", scatter_elements}, {"ScatterND", scatter_nd},
    {"TensorScatter", tensor_scatter},
};

}  // namespace

std::span<const Operator> index_operators() { return kTable; }

}  // namespace graft::onnx
