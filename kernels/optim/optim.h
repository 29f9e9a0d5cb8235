// optim: one update of one parameter tensor, in one visit. All tensors dense [n]. The arithmetic is done in Accum<master>; where the model
// runs in bf16 or f16, `master` holds the f32 weights and `param` gets the rounded copy; otherwise master is param itself.
// Formulas and their order of operations follow PyTorch's optimisers (torch.optim, single-tensor path) so that 100 f64 steps agree.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class OptimKind { sgd, adam /* L2 into the gradient */, adamw /* decoupled decay */, rmsprop, adagrad, lion };

struct OptimArgs {
  OptimKind kind;
  View param;   // [n], updated in place (and rounded from master when master.data != nullptr)
  View master;  // [n] f32 or absent
  View grad;    // [n], param's dtype or f32
  View m;       // first state: momentum buffer (sgd, lion, rmsprop with momentum), exp_avg (adam); absent where not needed
  View v;       // second state: exp_avg_sq (adam), square_avg (rmsprop), sum (adagrad)
  View v2;      // max_exp_avg_sq (amsgrad), grad_avg (centered rmsprop); absent where not needed
  double lr = 1e-3, weight_decay = 0, grad_scale = 1;  // the gradient is multiplied by grad_scale first (clipping, loss scale)
  double momentum = 0, dampening = 0;                  // sgd, rmsprop
  bool nesterov = false, maximize = false, amsgrad = false, centered = false;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;       // rmsprop: alpha is beta2
  double lr_decay = 0;                                 // adagrad
  std::int64_t step = 1;                               // 1 for the first update
};
const Family<OptimArgs>& optim_family();

}  // namespace graft
