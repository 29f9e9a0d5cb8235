// optim: one update of one parameter tensor, in one visit. All tensors dense [n]. The arithmetic is done in Accum<master>; where the model
// runs in bf16 or f16, `master` holds the f32 weights and `param` gets the rounded copy; otherwise master is param itself.
// Formulas and their order of operations follow PyTorch's optimisers (torch.optim, single-tensor path) so that 100 f64 steps agree.
#pragma once
#include <array>
#include <cmath>
#include <vector>

#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class OptimKind { sgd, adam /* L2 into the gradient */, adamw /* decoupled decay */, rmsprop, adagrad, lion };

struct OptimTensors {
  View param;   // [n], updated in place (and rounded from master when master.data != nullptr)
  View master;  // [n] f32 or absent
  View grad;    // [n], param's dtype or f32
  View m;       // first state: momentum buffer (sgd, lion, rmsprop with momentum), exp_avg (adam); absent where not needed
  View v;       // second state: exp_avg_sq (adam), square_avg (rmsprop), sum (adagrad)
  View v2;      // max_exp_avg_sq (amsgrad), grad_avg (centered rmsprop); absent where not needed
};
struct OptimRule {
  OptimKind kind;
  double lr = 1e-3, weight_decay = 0, grad_scale = 1;  // the gradient is multiplied by grad_scale first (clipping, loss scale)
  double momentum = 0, dampening = 0;                  // sgd, rmsprop
  bool nesterov = false, maximize = false, amsgrad = false, centered = false;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  // rmsprop: alpha is beta2
  double lr_decay = 0;                            // adagrad
  std::int64_t step = 1;                          // 1 for the first update
};
struct OptimArgs : OptimTensors, OptimRule {};
const Family<OptimArgs>& optim_family();

// What changes from step to step, as the six numbers that the update needs of it; computed on the host, so that a device repeats no pow().
inline constexpr std::int64_t kOptimScalars = 6;
enum OptimScalar {
  kLr /* adagrad: decayed */,
  kKeepWeight /* 1 - lr * weight_decay */,
  kGradScale,
  kStepSize /* adam: lr / (1 - beta1^step) */,
  kBias2Sqrt /* sqrt(1 - beta2^step) */,
  kFirstStep /* 1 when step == 1, else 0 */
};
inline std::array<double, kOptimScalars> optim_scalars(const OptimRule& r) {
  const auto step = static_cast<double>(r.step);
  return {r.kind == OptimKind::adagrad ? r.lr / (1 + (step - 1) * r.lr_decay) : r.lr,
          1 - r.lr * r.weight_decay,
          r.grad_scale,
          r.lr / (1 - std::pow(r.beta1, step)),
          std::sqrt(1 - std::pow(r.beta2, step)),
          r.step == 1 ? 1.0 : 0.0};
}

// optim_multi: the same update of many tensors, bit for bit that of optim on each. All tensors have the dtypes and the absent operands of
// the first.
struct OptimMultiArgs : OptimRule {
  std::vector<OptimTensors> tensors;
  // [6] f64 on the queue's device, optim_scalars(rule), or absent. Read by the kernel in place of lr, grad_scale and step above, so that a
  // captured launch is replayed with the next step's numbers.
  View scalars;
};
const Family<OptimMultiArgs>& optim_multi_family();

// sum_squares_multi: out[0] = the sum of all squares of many tensors, in double: what clipping by the norm of all gradients needs, with one
// read by the host.
struct SumSquaresMultiArgs {
  std::vector<View> x;  // [n] dense each, one float dtype
  View out;             // [1] f64
};
const Family<SumSquaresMultiArgs>& sum_squares_multi_family();

}  // namespace graft
