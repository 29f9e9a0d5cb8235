// What the device rungs over merged runs share: which operations have a form without a stack frame, and the runs of all operands.
#pragma once
#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"

namespace graft {

// Cheap enough to be bound by memory, and without the tables and local arrays that sin, cos, pow and fmod bring along. Results are of the
// operands' dtype.
constexpr bool is_streamed(E op) {
  switch (op) {
    // clang-format off
    case E::neg: case E::abs: case E::sign: case E::square: case E::sqrt: case E::rsqrt: case E::reciprocal: case E::exp: case E::log: case E::tanh:
    case E::sigmoid: case E::relu: case E::gelu: case E::gelu_tanh: case E::silu: case E::softplus: case E::elu: case E::leaky_relu: case E::hardswish:
    case E::scale: case E::clamp: case E::fill: case E::add: case E::sub: case E::mul: case E::div: case E::max: case E::min: case E::axpby:
    case E::relu_grad: case E::gelu_grad: case E::gelu_tanh_grad: case E::silu_grad: case E::tanh_grad: case E::sigmoid_grad: case E::softplus_grad:
    case E::elu_grad: case E::leaky_relu_grad: case E::hardswish_grad: case E::abs_grad: case E::clamp_grad: case E::fma:
      // clang-format on
      return true;
    default: return false;
  }
}

inline Runs<4> operand_runs(const ElementwiseArgs& a) {
  const int n = arity(a.op);
  return runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
}

}  // namespace graft
