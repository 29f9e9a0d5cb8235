// elementwise: out[i] = f(in0[i], in1[i], in2[i]) over up to kMaxRank axes. Operands have out's rank; an axis of stride 0 broadcasts
// (shape is out's shape on every operand). Float types compute in Accum<dtype>, so bf16 and f16 round once, at the store.
#pragma once
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft {

enum class ElementwiseOp {
  // one operand; float unless said
  neg,
  abs,
  sign,
  square,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  expm1,
  log,
  log1p,
  sin,
  cos,
  tanh,
  sigmoid,
  erf,
  floor,
  ceil,
  round /* half to even */,
  relu,
  gelu /* erf */,
  gelu_tanh,
  silu,
  softplus,
  elu /* s0 = alpha */,
  leaky_relu /* s0 = slope */,
  hardswish,
  mish,
  logical_not /* any -> bool */,
  isnan,
  isinf /* float -> bool */,
  scale /* s0 * x + s1 */,
  clamp /* to [s0, s1], NaN stays */,
  pow_scalar /* x^s0 */,
  fill /* s0, no operand read */,
  // two operands of one dtype (abs, neg, sign, square, add..max also on integers)
  add,
  sub,
  mul,
  div /* float */,
  floor_div,
  mod /* Python's: sign of the divisor */,
  pow,
  max,
  min /* NaN wins */,
  atan2,
  eq,
  ne,
  lt,
  le,
  gt,
  ge /* -> bool */,
  logical_and,
  logical_or,
  logical_xor /* bool */,
  axpby /* s0 * a + s1 * b */,
  // gradients that want one visit: (dy, x) unless said
  relu_grad,
  gelu_grad,
  gelu_tanh_grad,
  silu_grad,
  tanh_grad /* dy, y */,
  sigmoid_grad /* dy, y */,
  softplus_grad,
  elu_grad,
  leaky_relu_grad,
  hardswish_grad,
  mish_grad,
  abs_grad,
  clamp_grad,
  // three operands
  where /* bool, a, b */,
  fma /* a * b + c */,
  kCount,
};
std::string_view name_of(ElementwiseOp op);
constexpr int arity(ElementwiseOp op) {
  if (op == ElementwiseOp::fill) return 0;
  return op < ElementwiseOp::add ? 1 : op < ElementwiseOp::where ? 2 : 3;
}

struct ElementwiseArgs {
  ElementwiseOp op;
  View in[3];
  View out;
  double s0 = 0, s1 = 0;
};

const Family<ElementwiseArgs>& elementwise_family();

}  // namespace graft
