// Attention, rotary positions, gates of transformers: composed of products, softmax and masks.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/autograd/tape.h"
#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

// [batch, length, heads * size] -> [batch, heads, length, size]
Tensor by_heads(const Call& c, const Tensor& x, std::int64_t heads) {
  if (heads < 1 || x.size(2) % heads) c.wrong("cuts " + x.str() + " into " + std::to_string(heads) + " heads");
  return permute(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), {0, 2, 1, 3});
}
Tensor repeated_heads(const Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const Shape s = x.shape();
  return reshape(expand(unsqueeze(x, 2), {s[0], s[1], times, s[2], s[3]}), {s[0], s[1] * times, s[2], s[3]});
}

// What is added to the scores: 0 or -infinity where a key may not be seen; undefined when all may.
Tensor bias_of(const Call& c, const Tensor& q, std::int64_t keys, std::int64_t past) {
  const double never = -std::numeric_limits<double>::infinity();
  const std::int64_t batch = q.size(0), queries = q.size(2);
  const Tensor zero = Tensor::scalar(0, q.dtype()), low = Tensor::scalar(never, q.dtype());
  Tensor bias;
  const auto also = [&](const Tensor& t) { bias = bias.defined() ? add(bias, t) : t; };
  if (c.has(std::size_t{3})) {
    Tensor mask = c.x(3);
    const bool boolean = c.type(3) == kBool;
    if (mask.rank() > 0 && mask.size(-1) < keys) {
      std::vector<std::pair<std::int64_t, std::int64_t>> around(static_cast<std::size_t>(mask.rank()), {0, 0});
      around.back().second = keys - mask.size(-1);
      mask = pad(mask, around, boolean ? 0 : never);
    }
    also(boolean ? where(mask, zero, low) : cast(mask, q.dtype()));
  }
  std::vector<std::int64_t> lengths;
  if (c.has(std::size_t{6})) {
    lengths = c.ints(6);
    if (static_cast<std::int64_t>(lengths.size()) != batch)
      c.wrong("has " + std::to_string(lengths.size()) + " lengths for a batch of " + std::to_string(batch));
  }
  const bool causal = c.attr("is_causal", 0) != 0;
  const std::int64_t left = c.attr("left_window_size", -1), right = c.attr("right_window_size", -1);
  if (causal || left >= 0 || right >= 0 || !lengths.empty()) {
    const std::int64_t rows = lengths.empty() ? 1 : batch;
    std::vector<std::int64_t> seen;
    for (std::int64_t b = 0; b < rows; ++b)
      for (std::int64_t i = 0; i < queries; ++i)
        for (std::int64_t j = 0; j < keys; ++j) {
          // Queries stand at the end of the keys that count.
          const std::int64_t at = i + (past >= 0 ? past : lengths.empty() ? 0 : lengths[static_cast<std::size_t>(b)] - queries);
          seen.push_back((!causal || j <= at) && (left < 0 || at - j <= left) && (right < 0 || j - at <= right) &&
                         (lengths.empty() || j < lengths[static_cast<std::size_t>(b)]));
        }
    also(where(here(from_ints(seen, lengths.empty() ? Shape{queries, keys} : Shape{rows, 1, queries, keys}, kBool).tensor), zero, low));
  }
  return bias;
}

void attention(Call& c) {
  if (!c.floats(0)) c.wrong("wants floats, not " + type_name(c.type(0)));
  Tensor q = c.x(0), k = c.x(1), v = c.x(2);
  const bool flat = q.rank() == 3;
  if ((q.rank() != 3 && q.rank() != 4) || k.rank() != q.rank() || v.rank() != q.rank())
    c.wrong("has queries " + q.str() + ", keys " + k.str() + " and values " + v.str());
  if (flat) {
    const std::int64_t heads = c.attr("q_num_heads", 0), shared = c.attr("kv_num_heads", 0);
    q = by_heads(c, q, heads), k = by_heads(c, k, shared), v = by_heads(c, v, shared);
  }
  if (c.has(std::size_t{4}) != c.has(std::size_t{5})) c.wrong("has past keys without past values, or the other way round");
  std::int64_t past = -1;
  if (c.has(std::size_t{4})) {
    past = c.x(4).size(2);
    k = cat({c.x(4), k}, 2), v = cat({c.x(5), v}, 2);
  }
  const Tensor present_key = k, present_value = v;
  if (k.size(1) < 1 || q.size(1) % k.size(1))
    c.wrong("shares " + std::to_string(k.size(1)) + " heads of keys among " + std::to_string(q.size(1)));
  if (v.size(1) != k.size(1))
    c.wrong("has " + std::to_string(k.size(1)) + " heads of keys and " + std::to_string(v.size(1)) + " of values");
  k = repeated_heads(k, q.size(1) / k.size(1)), v = repeated_heads(v, q.size(1) / v.size(1));
  const double scale = std::sqrt(c.attr("scale", 1 / std::sqrt(static_cast<double>(q.size(3)))));
  const std::int64_t mode = c.attr("qk_matmul_output_mode", 0);
  Tensor scores = matmul(mul(q, scale), transpose(mul(k, scale))), shown = scores;
  if (const double cap = c.attr("softcap", 0.0); cap > 0) scores = mul(tanh(div(scores, cap)), cap);
  if (mode == 1) shown = scores;
  Tensor bias = bias_of(c, q, k.size(2), past), blind;
  if (bias.defined()) {
    // A query that may see nothing attends to nothing, and its row must not become NaN on the way.
    if (bias.rank() > 0) {
      NoGrad off;
      const Tensor most = amax(bias, {-1}, true);
      blind = logical_and(isinf(most), lt(most, Tensor::scalar(0, most.dtype())));
    }
    if (mode == 2) shown = add(scores, bias);
    if (blind.defined()) bias = where(blind, Tensor::scalar(0, bias.dtype()), bias);
    scores = add(scores, bias);
  } else if (mode == 2) {
    shown = scores;
  }
  const std::int64_t precise = c.attr("softmax_precision", c.type(0));
  const TypeInfo* as = type_info(static_cast<int>(std::clamp<std::int64_t>(precise, 0, 100)));
  if (!as || !is_float_type(as->type)) c.wrong("has the softmax precision " + std::to_string(precise));
  Tensor p = cast(softmax(cast(scores, as->held), -1), q.dtype());
  if (blind.defined()) p = where(blind, Tensor::scalar(0, p.dtype()), p);
  if (mode == 3) shown = p;
  Tensor y = matmul(p, v);
  if (flat) y = reshape(permute(y, {0, 2, 1, 3}), {y.size(0), y.size(2), y.size(1) * y.size(3)});
  c.out(y, c.type(0));
  c.out(present_key, c.type(1));
  c.out(present_value, c.type(2));
  c.out(shown, c.type(0));
}

void rotary(Call& c) {
  Tensor x = c.x(0);
  const Shape shape = x.shape();
  if (x.rank() == 4) {
    x = permute(x, {0, 2, 1, 3});
  } else {
    const std::int64_t heads = c.attr("num_heads", 0);
    if (x.rank() != 3 || heads < 1 || x.size(2) % heads) c.wrong("cuts " + x.str() + " into " + std::to_string(heads) + " heads");
    x = reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads});
  }
  const std::int64_t size = x.size(3), turned = c.attr("rotary_embedding_dim", 0) ? c.attr("rotary_embedding_dim", 0) : size,
                     half = turned / 2;
  if (turned < 2 || turned % 2 || turned > size) c.wrong("turns " + std::to_string(turned) + " of " + std::to_string(size));
  const auto cache = [&](std::size_t i) {
    Tensor t = cast(c.x(i), x.dtype());
    if (c.has(std::size_t{3})) {
      const Shape ids = c.in(3).tensor.shape();
      const std::vector<std::int64_t> at = c.ints(3);
      t = reshape(index_select(t, 0, here(from_ints(at, {static_cast<std::int64_t>(at.size())}, kInt64).tensor)),
                  {ids[0], ids.rank() > 1 ? ids[1] : 1, t.size(-1)});
    }
    if (t.rank() != 3 || t.size(2) != half) c.wrong("has the cache " + t.str() + " for " + std::to_string(half) + " pairs");
    return unsqueeze(t, 2);
  };
  const Tensor cosine = cache(1), sine = cache(2), part = slice(x, 3, 0, turned), rest = slice(x, 3, turned);
  const bool interleaved = c.attr("interleaved", 0) != 0;
  const Tensor a = interleaved ? slice(part, 3, 0, kEnd, 2) : slice(part, 3, 0, half),
               b = interleaved ? slice(part, 3, 1, kEnd, 2) : slice(part, 3, half);
  const Tensor real = sub(mul(cosine, a), mul(sine, b)), imaginary = add(mul(sine, a), mul(cosine, b));
  Tensor y = interleaved ? reshape(stack({real, imaginary}, 4), part.shape()) : cat({real, imaginary}, 3);
  if (turned < size) y = cat({y, rest}, 3);
  c.out(shape.rank() == 4 ? permute(y, {0, 2, 1, 3}) : reshape(y, shape), c.type(0));
}

void swiglu(Call& c) {
  const Tensor a = c.x(0), b = c.x(1);
  if (!(a.shape() == b.shape()) || c.type(0) != c.type(1)) c.wrong("gates " + a.str() + " with " + b.str());
  const double alpha = c.attr("alpha", 1.0);
  c.out(mul(alpha == 1 ? silu(a) : mul(a, sigmoid(mul(a, alpha))), b), c.type(0));
}

constexpr Operator kTable[] = {{"Attention", attention}, {"RotaryEmbedding", rotary}, {"SwiGLU", swiglu}};

}  // namespace

std::span<const Operator> attention_operators() { return kTable; }

}  // namespace graft::onnx
