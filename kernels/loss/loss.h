// cross_entropy: fused log-softmax + negative log likelihood over logits [rows, classes] with i64 targets [rows], forward and gradient.
// loss[row] = -sum_c q_c * w_c * log p_c, q = (1 - smoothing) * onehot + smoothing / classes, as PyTorch's cross_entropy(reduction='none').
// A row whose target is ignore_index gives loss 0 and gradient 0. Reduction (mean over the weights of the kept rows, sum) is the engine's.
// A target outside [0, classes) that is not ignore_index: the kernel writes NaN to that row and never reads outside. On the host the engine
// checks before; the forward's device rows report it to the queue's fault word.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

struct CrossEntropyArgs {
  View logits;        // [rows, classes]
  View target;        // [rows] i64
  View class_weight;  // [classes] in the logits' dtype, or absent
  View loss;          // [rows], accumulation type
  View lse;           // [rows], accumulation type: log(sum(exp(logits))), saved for the gradient
  double smoothing = 0;
  std::int64_t ignore_index = -100;
};
const Family<CrossEntropyArgs>& cross_entropy_family();

// dlogits[row, c] = dloss[row] * (p_c * sum_k(q_k w_k) - q_c w_c), p = exp(logits - lse). dlogits may be logits.
struct CrossEntropyGradArgs {
  View logits, target, class_weight, lse;
  View dloss;    // [rows], accumulation type, stride 0 allowed
  View dlogits;  // [rows, classes]
  double smoothing = 0;
  std::int64_t ignore_index = -100;
};
const Family<CrossEntropyGradArgs>& cross_entropy_grad_family();

// cross_entropy_fused: loss, lse and the gradient of scale * sum(loss) in one visit of the logits, for training by a sum or mean, where
// every row's cotangent is known beforehand: dlogits[row, c] = scale * (p_c * sum_k(q_k w_k) - q_c w_c), in the logits' dtype. dlogits may
// be logits.
struct CrossEntropyFusedArgs : CrossEntropyArgs {
  View dlogits;  // [rows, classes]
  View scale;    // [1], accumulation type, or absent: 1. In memory, so that a mean needs no number on the host
};
const Family<CrossEntropyFusedArgs>& cross_entropy_fused_family();

}  // namespace graft
