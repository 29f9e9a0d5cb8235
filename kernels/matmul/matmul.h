// matmul: C = alpha * op(A) op(B) (+ bias) (+ C), batched. Transposition is a matter of strides, so there are no flags.
// A: [batch, m, k], B: [batch, k, n], C: [batch, m, n]; a batch stride of 0 broadcasts. Sums are kept in Accum<dtype>.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class Epilogue { none, relu, gelu };  // applied after bias; gelu is the exact (erf) one

struct MatmulArgs {
  View a, b, c;  // rank 3 each, one float dtype
  View bias;     // [n] dense, or data == nullptr
  double alpha = 1;
  bool accumulate = false;  // C += instead of C =; a residual that lies in C: it is added before bias and epilogue
  Epilogue epilogue = Epilogue::none;
};

const Family<MatmulArgs>& matmul_family();

}  // namespace graft
