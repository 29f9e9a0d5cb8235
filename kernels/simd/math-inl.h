// exp, log, tanh, erf and sigmoid on f32 vectors: range reduction and minimax polynomials in the manner of Moshier's Cephes library, within
// 2 ulp of the exact value; NaN in, NaN out; infinities, zeros and subnormals as libm gives them. Included once per Highway target.
#if defined(GRAFT_SIMD_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_MATH_INL_H
#undef GRAFT_SIMD_MATH_INL_H
#else
#define GRAFT_SIMD_MATH_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/simd/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// c[0] x^n + ... + c[n]
template <std::size_t N>
HWY_INLINE F32Vec polynomial(F32 d, F32Vec x, const float (&c)[N]) {
  auto p = hn::Set(d, c[0]);
  for (std::size_t i = 1; i < N; ++i) p = hn::MulAdd(p, x, hn::Set(d, c[i]));
  return p;
}
HWY_INLINE F32Vec keep_nan(F32Vec x, F32Vec y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) by a polynomial of degree 7; 2^n in two halves, so that results may be subnormal.
HWY_INLINE F32Vec exp_f32(F32 d, F32Vec x) {
  const hn::RebindToSigned<F32> di;
  const auto clamped = hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f));
  const auto n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504088896341f)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), clamped);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  auto y = hn::MulAdd(polynomial(d, r, c), hn::Mul(r, r), r);
  y = hn::Add(y, hn::Set(d, 1.0f));
  const auto ni = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(ni);
  const auto bias = hn::Set(di, 127);
  const auto low = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto high = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(ni, half), bias)));
  y = hn::Mul(hn::Mul(y, low), high);
  y = hn::IfThenElse(hn::Lt(x, hn::Set(d, -104.0f)), hn::Zero(d), y);
  return keep_nan(x, y);
}

// x = m 2^e, sqrt(1/2) <= m < sqrt(2); log(m) by a polynomial in m - 1.
HWY_INLINE F32Vec log_f32(F32 d, F32Vec x) {
  const hn::RebindToSigned<F32> di;
  const auto tiny = hn::Lt(x, hn::Set(d, 0x1p-126f));
  const auto scaled = hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 0x1p23f)), x);
  const auto bits = hn::BitCast(di, scaled);
  auto e = hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 126));
  auto m = hn::BitCast(d, hn::Or(hn::And(bits, hn::Set(di, 0x007fffff)), hn::Set(di, 0x3f000000)));  // [1/2, 1)
  const auto small = hn::Lt(m, hn::Set(d, 0.707106781186547524f));
  e = hn::Sub(e, hn::IfThenElseZero(hn::RebindMask(di, small), hn::Set(di, 1)));
  m = hn::Sub(hn::IfThenElse(small, hn::Add(m, m), m), hn::Set(d, 1.0f));
  auto ef = hn::ConvertTo(d, e);
  ef = hn::IfThenElse(tiny, hn::Sub(ef, hn::Set(d, 23.0f)), ef);
  const float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f, 1.4249322787e-1f,
                     -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  const auto z = hn::Mul(m, m);
  auto y = hn::Mul(hn::Mul(polynomial(d, m, c), m), z);
  y = hn::MulAdd(ef, hn::Set(d, -2.12194440e-4f), y);
  y = hn::NegMulAdd(hn::Set(d, 0.5f), z, y);
  y = hn::MulAdd(ef, hn::Set(d, 0.693359375f), hn::Add(m, y));
  const auto inf = hn::Set(d, HUGE_VALF);
  y = hn::IfThenElse(hn::Eq(x, inf), inf, y);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(inf), y);
  y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::NaN(d), y);
  return keep_nan(x, y);
}

HWY_INLINE F32Vec sigmoid_f32(F32 d, F32Vec x) {
  const auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_f32(d, hn::Neg(x))));
}

HWY_INLINE F32Vec tanh_f32(F32 d, F32Vec x) {
  const auto a = hn::Abs(x);
  const auto z = hn::Mul(x, x);
  const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f};
  const auto small = hn::MulAdd(hn::Mul(polynomial(d, z, c), z), x, x);
  const auto one = hn::Set(d, 1.0f);
  const auto e = exp_f32(d, hn::Add(a, a));
  const auto large = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));
  return keep_nan(x, hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.625f)), small, hn::CopySign(large, x)));
}

// |x| < 1: odd polynomial; else 1 - exp(-x^2)/|x| times a polynomial in 1/x^2, one for [1, 2) and one beyond.
HWY_INLINE F32Vec erf_f32(F32 d, F32Vec x) {
  const auto a = hn::Min(hn::Abs(x), hn::Set(d, 4.5f));  // erf(4.5) rounds to 1
  const auto z = hn::Mul(a, a);
  const float t[] = {7.853861353153693e-5f, -8.010193625184903e-4f, 5.188327685732524e-3f, -2.685381193529856e-2f,
                     1.128358514861418e-1f, -3.761262582423300e-1f, 1.128379165726710e+0f};
  const auto inner = hn::Mul(x, polynomial(d, hn::Mul(x, x), t));
  const float p[] = {2.326819970068386e-2f,  -1.387039388740657e-1f, 3.687424674597105e-1f,  -5.824733027278666e-1f, 6.210004621745983e-1f,
                     -4.944515323274145e-1f, 3.404879937665872e-1f,  -2.741127028184656e-1f, 5.638259427386472e-1f};
  const float r[] = {-1.047766399936249e+1f, 1.297719955372516e+1f, -7.495518717768503e+0f, 2.921019019210786e+0f,
                     -1.015265279202700e+0f, 4.218463358204948e-1f, -2.820767439740514e-1f, 5.641895067754075e-1f};
  const auto one = hn::Set(d, 1.0f);
  const auto q = hn::Div(one, hn::Max(a, one));
  const auto y = hn::Mul(q, q);
  const auto tail = hn::IfThenElse(hn::Lt(a, hn::Set(d, 2.0f)), polynomial(d, y, p), polynomial(d, y, r));
  const auto outer = hn::CopySign(hn::NegMulAdd(hn::Mul(exp_f32(d, hn::Neg(z)), q), tail, one), x);
  return keep_nan(x, hn::IfThenElse(hn::Lt(a, one), inner, outer));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
