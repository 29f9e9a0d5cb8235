// bias_act: y = residual + dropout(act(x + bias)) in one pass, what follows a product in a transformer or a convolution; every part may be
// absent. Tensors are dense [outer, channels, inner]; the bias goes along channels (inner is 1 for a bias of the last axis). Computed in
// the accumulation type and rounded once. Dropout keeps what kernels/random's dropout keeps: the word of element i, in row-major order, at
// (seed, stream, position + i/4).
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class ActKind { none, relu, gelu /* by erf */, silu };

struct BiasActArgs {
  ActKind act = ActKind::none;
  View x = {};         // [outer, channels, inner]
  View bias = {};      // [channels] in x's dtype, or absent
  View residual = {};  // as x, or absent
  View y = {};         // as x; may be x or residual
  double p = 0;        // in [0, 1]: what is kept is multiplied by 1 / (1 - p)
  std::uint64_t seed = 0, stream = 0, position = 0;
  View offset = {};  // i64 [2] on the queue's device, added to stream and position when the kernel runs; or absent
};
const Family<BiasActArgs>& bias_act_family();

// dx = act'(x + bias) * dropout(dy), the gradient of x; summed over outer and inner (the reduce family's part) that of the bias. The
// residual's is dy.
struct BiasActGradArgs {
  ActKind act = ActKind::none;
  View x = {};            // [outer, channels, inner]; absent for ActKind::none
  View bias = {};         // [channels] or absent
  View dy = {}, dx = {};  // as x; may be the same
  double p = 0;
  std::uint64_t seed = 0, stream = 0, position = 0;
  View offset = {};
};
const Family<BiasActGradArgs>& bias_act_grad_family();

}  // namespace graft
