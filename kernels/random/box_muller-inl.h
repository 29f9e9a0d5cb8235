// box_muller.h with vectors, the same operations in the same order and so the same bits: as many pairs of normals as a vector has doubles.
// Included once per Highway target.
#if defined(GRAFT_RANDOM_BOX_MULLER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_RANDOM_BOX_MULLER_INL_H
#undef GRAFT_RANDOM_BOX_MULLER_INL_H
#else
#define GRAFT_RANDOM_BOX_MULLER_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/random/box_muller.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::ScalableTag<double>;
using F64V = hn::Vec<F64>;
using Words = hn::Rebind<std::uint32_t, F64>;  // half of a vector of words: one for each double
using WordsV = hn::Vec<Words>;

// c0 + x p
HWY_INLINE F64V step(double c0, F64V x, F64V p) { return hn::Add(hn::Set(F64(), c0), hn::Mul(x, p)); }

// integers below 2^52, exactly: put into the fraction of 2^52
HWY_INLINE F64V small_to_double(hn::Vec<hn::RebindToUnsigned<F64>> v) {
  const F64 d;
  const hn::RebindToUnsigned<F64> du;
  const auto two52 = hn::Set(d, 0x1p52);
  return hn::Sub(hn::BitCast(d, hn::Or(v, hn::BitCast(du, two52))), two52);
}

HWY_INLINE F64V log_of_words(WordsV w) {
  namespace co = fdlibm;
  const F64 d;
  const hn::RebindToUnsigned<F64> du;
  const hn::RebindToSigned<F64> di;
  const auto one = hn::Set(d, 1.0);
  const auto odd_number = hn::Or(hn::ShiftLeft<1>(hn::PromoteTo(du, w)), hn::Set(du, 1));
  const auto bits = hn::BitCast(du, small_to_double(odd_number));
  const auto fraction = hn::And(bits, hn::Set(du, 0xfffffffffffffull));
  const auto upper = hn::RebindMask(d, hn::Gt(hn::BitCast(di, fraction), hn::Set(di, static_cast<std::int64_t>(sqrt2_fraction))));
  const auto k =
      hn::Sub(small_to_double(hn::ShiftRight<52>(bits)), hn::IfThenElse(upper, hn::Set(d, 1023 + 33 - 1), hn::Set(d, 1023 + 33)));
  const auto scaled = hn::Or(hn::BitCast(d, fraction), one);  // [1, 2)
  const auto f = hn::Sub(hn::IfThenElse(upper, hn::Mul(scaled, hn::Set(d, 0.5)), scaled), one);
  const auto s = hn::Div(f, hn::Add(hn::Set(d, 2.0), f)), z = hn::Mul(s, s), y = hn::Mul(z, z);
  const auto half = hn::Mul(hn::Mul(hn::Set(d, 0.5), f), f);
  const auto even = hn::Mul(y, step(co::lg2, y, step(co::lg4, y, hn::Set(d, co::lg6))));
  const auto odd = hn::Mul(z, step(co::lg1, y, step(co::lg3, y, step(co::lg5, y, hn::Set(d, co::lg7)))));
  const auto near = hn::Add(hn::Mul(s, hn::Add(half, hn::Add(odd, even))), hn::Mul(k, hn::Set(d, co::ln2_low)));
  return hn::Sub(hn::Mul(k, hn::Set(d, co::ln2_high)), hn::Sub(hn::Sub(half, near), f));
}

HWY_INLINE void cos_sin_of_words(WordsV w, F64V& cos, F64V& sin) {
  namespace co = fdlibm;
  const F64 d;
  const Words dw;
  const hn::RebindToUnsigned<F64> du;
  const auto quadrant = hn::ShiftRight<30>(hn::Add(w, hn::Set(dw, 0x20000000u)));
  const auto rest_of_word = hn::BitCast(hn::RebindToSigned<Words>(), hn::Sub(w, hn::ShiftLeft<30>(quadrant)));
  const auto x = hn::Mul(hn::PromoteTo(d, rest_of_word), hn::Set(d, word_angle));
  const auto one = hn::Set(d, 1.0);
  const auto z = hn::Mul(x, x), half = hn::Mul(hn::Set(d, 0.5), z), rest = hn::Sub(one, half);
  const auto s_tail = step(co::sin1, z, step(co::sin2, z, step(co::sin3, z, step(co::sin4, z, step(co::sin5, z, hn::Set(d, co::sin6))))));
  const auto s = hn::Add(x, hn::Mul(hn::Mul(x, z), s_tail));
  const auto c_tail = step(co::cos1, z, step(co::cos2, z, step(co::cos3, z, step(co::cos4, z, step(co::cos5, z, hn::Set(d, co::cos6))))));
  const auto c = hn::Add(rest, hn::Add(hn::Sub(hn::Sub(one, rest), half), hn::Mul(z, hn::Mul(z, c_tail))));
  // quadrants 1 and 3 change places; the cosine is negative in 1 and 2, the sine in 2 and 3
  const auto q = hn::PromoteTo(du, quadrant), first = hn::Set(du, 1);
  const auto swapped = hn::RebindMask(d, hn::Eq(hn::And(q, first), first));
  const auto sign = [&](auto v) { return hn::BitCast(d, hn::ShiftLeft<63>(hn::ShiftRight<1>(v))); };  // of bit 1
  cos = hn::Xor(hn::IfThenElse(swapped, s, c), sign(hn::Add(q, first)));
  sin = hn::Xor(hn::IfThenElse(swapped, c, s), sign(q));
}

// mean + deviation * N(0, 1), twice
HWY_INLINE void box_muller(WordsV u, WordsV v, double mean, double deviation, F64V& first, F64V& second) {
  const F64 d;
  const auto root = hn::Sqrt(hn::Mul(hn::Set(d, -2.0), log_of_words(u)));
  const auto radius = hn::Mul(hn::Set(d, deviation), root);
  F64V cos, sin;
  cos_sin_of_words(v, cos, sin);
  first = hn::Add(hn::Set(d, mean), hn::Mul(radius, cos));
  second = hn::Add(hn::Set(d, mean), hn::Mul(radius, sin));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
