// kernels/core/activations.h on f32 vectors. Included once per Highway target.
#if defined(GRAFT_SIMD_ACTIVATIONS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_ACTIVATIONS_INL_H
#undef GRAFT_SIMD_ACTIVATIONS_INL_H
#else
#define GRAFT_SIMD_ACTIVATIONS_INL_H
#endif

#include "kernels/core/activations.h"
#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

HWY_INLINE F32Vec relu_f32(F32 d, F32Vec x) { return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x); }
HWY_INLINE F32Vec relu_grad_f32(F32 d, F32Vec dy, F32Vec x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), dy));
}
HWY_INLINE F32Vec gelu_f32(F32 d, F32Vec x) {
  const auto one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  return hn::Mul(hn::Mul(half, x), hn::Add(one, erf_f32(d, hn::Mul(x, hn::Set(d, static_cast<float>(kSqrtHalf))))));
}
HWY_INLINE F32Vec gelu_grad_f32(F32 d, F32Vec dy, F32Vec x) {
  const auto one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  const auto phi = hn::Mul(half, hn::Add(one, erf_f32(d, hn::Mul(x, hn::Set(d, static_cast<float>(kSqrtHalf))))));
  const auto density = hn::Mul(hn::Set(d, static_cast<float>(kInvSqrt2Pi)), exp_f32(d, hn::Mul(hn::Mul(hn::Neg(half), x), x)));
  return hn::Mul(dy, hn::MulAdd(x, density, phi));
}
HWY_INLINE F32Vec silu_f32(F32 d, F32Vec x) { return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_f32(d, hn::Neg(x)))); }
HWY_INLINE F32Vec silu_grad_f32(F32 d, F32Vec dy, F32Vec x) {
  const auto one = hn::Set(d, 1.0f), s = sigmoid_f32(d, x);
  return hn::Mul(dy, hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one)));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
