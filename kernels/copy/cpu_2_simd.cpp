// copy between f32 and bf16 or f16 with vectors (Highway): the conversions are integer arithmetic on whole vectors, so the run is bound by
// memory, 6 bytes an element. Runs as in cpu_1_runs.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/copy/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"
#include "kernels/simd/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

template <class From, class To>
void convert_run(const void* from, void* to, std::int64_t n) {
  const F32 d;
  const auto* in = static_cast<const From*>(from);
  auto* out = static_cast<To*>(to);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_f32(d, load_f32(d, in + i), out + i);
  for (; i < n; ++i) out[i] = convert<To>(in[i]);
}
void convert_run_any(DType from, DType to, const void* in, void* out, std::int64_t n) {
  if (from == DType::f32 && to == DType::bf16) convert_run<float, bf16>(in, out, n);
  else if (from == DType::f32) convert_run<float, f16>(in, out, n);
  else if (from == DType::bf16) convert_run<bf16, float>(in, out, n);
  else convert_run<f16, float>(in, out, n);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(convert_run_any);

void copy_simd(Queue& q, const CopyArgs& a) {
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  const auto run = HWY_DYNAMIC_DISPATCH(convert_run_any);
  const auto in_size = static_cast<std::int64_t>(size_of(a.in.dtype)), out_size = static_cast<std::int64_t>(size_of(a.out.dtype));
  each_run(q.pool(), r, 16384, [&](const std::array<std::int64_t, 2>& o, std::int64_t n) {
    run(a.in.dtype, a.out.dtype, a.in.as<const std::byte>() + o[1] * in_size, a.out.as<std::byte>() + o[0] * out_size, n);
  });
}
}  // namespace graft
#endif
