// Are the gradients that backward gives the derivatives of the function? Checked in f64 against central differences.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/autograd/tape.h"

namespace graft {

struct GradCheckOptions {
  std::uint64_t seed = 1;
  std::int64_t jacobian_limit = 400;  // the full Jacobian where inputs * outputs are at most this many, else random directions
  int directions = 4;
  double step = 1e-3;  // of the differences; models with kinks (ReLU, max) want 1e-6, so that few are crossed
};
struct GradCheckResult {
  bool ok = true;
  double worst = 0;     // the largest error in units of its tolerance
  std::string message;  // the first failure: input, element, both values
};

// f is called many times; `inputs` are f64 leaves that want a gradient and are changed and restored in place. The cotangent is random:
// sum() would be blind to softmax and normalisation. The tolerance is derived: differences of fourth order at h and 2h tell their own
// truncation error, rounding is 64 eps * |f| / h.
GradCheckResult check_gradients(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
                                const GradCheckOptions& options = {});

}  // namespace graft
