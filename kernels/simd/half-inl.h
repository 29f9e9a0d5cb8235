// f32 vectors from and to bf16 and f16 memory, round to nearest even, NaN stays NaN. Included once per Highway target.
#if defined(GRAFT_SIMD_HALF_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_HALF_INL_H
#undef GRAFT_SIMD_HALF_INL_H
#else
#define GRAFT_SIMD_HALF_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/core/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using F32Vec = hn::Vec<F32>;
using U32Vec = hn::Vec<hn::RebindToUnsigned<F32>>;

// magnitude < limit; both below 2^31, so the signed comparison that every target has will do
inline auto below(U32Vec magnitude, std::uint32_t limit) {
  const hn::RebindToSigned<F32> di;
  return hn::RebindMask(hn::RebindToUnsigned<F32>(), hn::Lt(hn::BitCast(di, magnitude), hn::Set(di, static_cast<std::int32_t>(limit))));
}

inline F32Vec load_f32(F32 d, const float* p) { return hn::LoadU(d, p); }
inline void store_f32(F32 d, F32Vec v, float* p) { hn::StoreU(v, d, p); }

inline F32Vec load_f32(F32 d, const bf16* p) {
  const hn::RebindToUnsigned<F32> du;
  const hn::Rebind<std::uint16_t, F32> dh;
  const auto h = hn::LoadU(dh, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, h)));
}
inline void store_f32(F32 d, F32Vec v, bf16* p) {
  const hn::RebindToUnsigned<F32> du;
  const hn::RebindToSigned<F32> di;
  const hn::Rebind<std::uint16_t, F32> dh;
  const auto u = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(u, hn::Add(odd, hn::Set(du, 0x7fffu))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(u), hn::Set(du, 0x40u));
  const auto bits = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  (void)d;
  hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, bits)), dh, reinterpret_cast<std::uint16_t*>(p));
}

inline F32Vec load_f32(F32 d, const f16* p) {
  const hn::RebindToUnsigned<F32> du;
  const hn::Rebind<std::uint16_t, F32> dh;
  const auto h = hn::PromoteTo(du, hn::LoadU(dh, reinterpret_cast<const std::uint16_t*>(p)));
  const auto sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000u)));
  const auto mag = hn::And(h, hn::Set(du, 0x7fffu));
  const auto normal = hn::Add(hn::ShiftLeft<13>(mag), hn::Set(du, 0x38000000u));
  const auto special = hn::Or(hn::ShiftLeft<13>(mag), hn::Set(du, 0x7f800000u));
  // subnormal: the magnitude as an integer times 2^-24
  const auto small = hn::BitCast(du, hn::Mul(hn::ConvertTo(d, hn::BitCast(hn::RebindToSigned<F32>(), mag)), hn::Set(d, 0x1p-24f)));
  auto bits = hn::IfThenElse(below(mag, 0x400u), small, normal);
  bits = hn::IfThenElse(below(mag, 0x7c00u), bits, special);
  return hn::BitCast(d, hn::Or(bits, sign));
}
inline void store_f32(F32 d, F32Vec v, f16* p) {
  const hn::RebindToUnsigned<F32> du;
  const hn::RebindToSigned<F32> di;
  const hn::Rebind<std::uint16_t, F32> dh;
  const auto u = hn::BitCast(du, v);
  const auto sign = hn::ShiftRight<16>(hn::And(u, hn::Set(du, 0x80000000u)));
  const auto mag = hn::And(u, hn::Set(du, 0x7fffffffu));
  // normal: rebias the exponent and round to even in integers
  const auto odd = hn::And(hn::ShiftRight<13>(mag), hn::Set(du, 1));
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(mag, odd), hn::Set(du, 0xfffu - 0x38000000u)));
  // subnormal: adding 0.5 lets the float adder round at 2^-24
  const auto small = hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(d, mag), hn::Set(d, 0.5f))), hn::Set(du, 0x3f000000u));
  const auto nan = hn::Or(hn::Set(du, 0x7e00u), hn::And(hn::ShiftRight<13>(mag), hn::Set(du, 0x3ffu)));
  auto bits = hn::IfThenElse(below(mag, 0x38800000u), small, normal);
  bits = hn::IfThenElse(below(mag, 0x477ff000u), bits, hn::Set(du, 0x7c00u));
  bits = hn::IfThenElse(below(mag, 0x7f800001u), bits, nan);
  hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, hn::Or(bits, sign))), dh, reinterpret_cast<std::uint16_t*>(p));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
