// The one explicit list of operations, group by group: what gradient tests, `graft gradcheck` and the docs walk.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/autograd/tape.h"

namespace graft {

enum class Domain { any, positive, unit /* (0.05, 0.95) */, spread /* any, no two values closer than 0.05, none near 0 */ };

// Inputs and a function of them whose gradient is to be checked against central differences, with a random cotangent.
struct GradCase {
  std::string name;           // "axis=1"
  std::vector<Shape> shapes;  // of the float inputs
  std::function<Tensor(const Tensors&)> f;
  Domain domain = Domain::any;
  bool smooth = true;  // gradients of gradients are checked too
};

struct OpInfo {
  std::string_view name;
  std::string_view no_gradient;  // the reason, or empty
  bool fused = false;            // has a plain composition: f is compared with it as well
  std::vector<GradCase> cases;
};

template <class Op>
OpInfo info() {
  OpInfo i;
  i.name = Op::name;
  if constexpr (StatesNoGradient<Op>) i.no_gradient = Op::no_gradient;
  i.fused = Fused<Op>;
  if constexpr (HasBackward<Op>) i.cases = Op::cases();
  return i;
}

std::vector<OpInfo> pointwise_ops();
std::vector<OpInfo> view_ops();
std::vector<OpInfo> reduction_ops();
std::vector<OpInfo> indexing_ops();
std::vector<OpInfo> matmul_ops();
std::vector<OpInfo> softmax_ops();
std::vector<OpInfo> norm_ops();
std::vector<OpInfo> conv_ops();
std::vector<OpInfo> pool_ops();
std::vector<OpInfo> loss_ops();
std::vector<OpInfo> random_ops();
std::vector<OpInfo> bias_act_ops();
std::vector<OpInfo> all_ops();

// x[r, target[r]] of x [rows, classes]; on a device a target outside is reported in the name of `op`.
Tensor pick(const char* op, const Tensor& x, const Tensor& target);

// dy summed over the axes along which `shape` was stretched to dy's shape; differentiable. The backward of broadcasting.
Tensor reduce_to(const Tensor& dy, const Shape& shape);

}  // namespace graft
