// scatter with vectors (Highway), f32, bf16 and f16, where it adds and one index names a whole row: rows are added as vectors, rounded to
// the dtype at each addition as the definition says. Bound by memory: each element of src is read once, out is read and written in chunks
// that stay near. A gather of whole rows is memcpy (rung 1); gathering loads for one with an index per element were 3.4 times slower than
// rung 1 on Zen 5.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gather/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/gather/plain.h"
#include "kernels/gather/rows.h"
#include "kernels/simd/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// to[j] += from[j]
template <class T>
void add_run(const T* from, T* to, std::int64_t count) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes) store_f32(d, hn::Add(load_f32(d, to + j), load_f32(d, from + j)), to + j);
  for (; j < count; ++j) to[j] = scatter_sum(to[j], from[j]);
}
void add_run_any(DType dtype, const std::byte* from, std::byte* to, std::int64_t count) {
  if (dtype == DType::f32) add_run(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to), count);
  else if (dtype == DType::bf16) add_run(reinterpret_cast<const bf16*>(from), reinterpret_cast<bf16*>(to), count);
  else add_run(reinterpret_cast<const f16*>(from), reinterpret_cast<f16*>(to), count);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(add_run_any);

void scatter_simd(Queue& q, const ScatterArgs& a) {
  constexpr std::int64_t kChunk = 512;
  const std::int64_t k = a.src.shape[1], inner = a.src.shape[2];
  if (a.src.numel() == 0) return;
  const std::int64_t chunks = (inner + kChunk - 1) / kChunk;
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype));
  const auto add = HWY_DYNAMIC_DISPATCH(add_run_any);
  const std::int64_t grain = std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, k * std::min(inner, kChunk)));
  parallel_ranges(q.pool(), a.src.shape[0] * chunks, grain, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t t = b; t < e; ++t) {
      const std::int64_t o = t / chunks, j0 = t % chunks * kChunk, count = std::min(inner, j0 + kChunk) - j0;
      for (std::int64_t i = 0; i < k; ++i) {
        const std::int64_t at = a.index.as<const std::int64_t>()[o * a.index.stride[0] + i * a.index.stride[1]];
        if (!index_inside(at, a.out.shape[1])) continue;
        add(a.out.dtype, a.src.as<const std::byte>() + (o * a.src.stride[0] + i * a.src.stride[1] + j0) * size,
            a.out.as<std::byte>() + (o * a.out.stride[0] + at * a.out.stride[1] + j0) * size, count);
      }
    }
  });
}
}  // namespace graft
#endif
