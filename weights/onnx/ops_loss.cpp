// Losses, for graphs that were exported with them.
#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

// log_p [n, classes, ...], target [n, ...]: -weight[target] * log_p at the target; its mean is over the weights.
Tensor likelihood(const Call& c, const Tensor& log_p, std::size_t target, std::size_t weight) {
  const Shape& s = c.in(target).tensor.shape();
  if (log_p.rank() < 2 || s.rank() != log_p.rank() - 1) c.wrong("has scores " + log_p.str() + " and targets " + c.in(target).tensor.str());
  const std::int64_t classes = log_p.size(1);
  const bool ignoring = c.has("ignore_index");
  const std::int64_t ignored = c.attr("ignore_index", 0);
  std::vector<std::int64_t> at = c.ints(target);
  std::vector<double> counts;
  for (std::int64_t& t : at) {
    const bool skip = ignoring && t == ignored;
    counts.push_back(skip ? 0 : 1);
    if (skip) t = 0;
    if (t < 0 || t >= classes) c.wrong("has the target " + std::to_string(t) + " among " + std::to_string(classes) + " classes");
  }
  std::vector<std::int64_t> dims(s.begin(), s.end());
  dims.insert(dims.begin() + 1, 1);
  const auto n = static_cast<std::int64_t>(at.size());
  const Tensor index = here(from_ints(at, {n}, kInt64).tensor), own = reshape(gather(log_p, 1, reshape(index, Shape(dims))), s);
  Tensor w = from_doubles(counts, s, type_of(log_p.dtype())).tensor;
  if (c.has(weight)) w = mul(w, reshape(index_select(cast(c.x(weight), log_p.dtype()), 0, index), s));
  const Tensor each = neg(mul(own, w));
  const std::string how = c.attr("reduction", "mean");
  if (how == "none") return each;
  if (how == "sum") return sum(each);
  if (how != "mean") c.wrong("reduces by '" + how + "'");
  return div(sum(each), sum(w));
}

void negative_log_likelihood(Call& c) { c.out(likelihood(c, c.x(0), 1, 2), c.type(0)); }
void softmax_cross_entropy(Call& c) {
  const Tensor log_p = log_softmax(c.x(0), 1);
  c.out(likelihood(c, log_p, 1, 2), c.type(0));
  c.out(log_p, c.type(0));
}

constexpr Operator kTable[] = {{"NegativeLogLikelihoodLoss", negative_log_likelihood}, {"SoftmaxCrossEntropyLoss", softmax_cross_entropy}};

}  // namespace

std::span<const Operator> loss_operators() { return kTable; }

}  // namespace graft::onnx
