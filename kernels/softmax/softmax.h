// softmax and log-softmax over the last axis of [rows, cols], the maximum subtracted first. A row that is all -inf, or that
// holds +inf or NaN, gives NaN everywhere, as the mathematics does (0/0, inf/inf) and as PyTorch does.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct SoftmaxArgs {
  View x, y;  // [rows, cols], may be the same memory
  bool log = false;
};
const Family<SoftmaxArgs>& softmax_family();

// softmax: dx = y * (dy - sum(y * dy)); log-softmax (y = log p): dx = dy - exp(y) * sum(dy).
struct SoftmaxGradArgs {
  View y, dy, dx;  // [rows, cols]; dx may be dy
  bool log = false;
};
const Family<SoftmaxGradArgs>& softmax_grad_family();

}  // namespace graft
