// embed_grad with vectors (Highway), f32, bf16 and f16: positions sorted by id as in cpu_1_rows.cpp; the sums of four vectors of columns
// stay in registers while the row's positions go by, in their order, so the bits are those of rung 1. Bound by memory: dout is read once,
// the table's gradient written once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embed/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/embed/by_id.h"
#include "kernels/embed/rows.h"
#include "kernels/simd/half-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// rows [b, e) of dtable
template <class T>
void sum_rows(const EmbedGradArgs& a, const PositionsById& positions, std::int64_t b, std::int64_t e) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t dim = a.dtable.shape[1];
  for (std::int64_t row = b; row < e; ++row) {
    const auto own = positions.of(row, a);
    const T* dout = a.dout.as<const T>();
    T* out = a.dtable.as<T>() + row * a.dtable.stride[0];
    std::int64_t j = 0;
    for (; j + 4 * lanes <= dim; j += 4 * lanes) {
      F32Vec s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      for (const std::int64_t* at = own.begin; at != own.end; ++at) {
        const T* g = dout + *at * a.dout.stride[0] + j;
        s0 = hn::Add(s0, load_f32(d, g));
        s1 = hn::Add(s1, load_f32(d, g + lanes));
        s2 = hn::Add(s2, load_f32(d, g + 2 * lanes));
        s3 = hn::Add(s3, load_f32(d, g + 3 * lanes));
      }
      store_f32(d, s0, out + j);
      store_f32(d, s1, out + j + lanes);
      store_f32(d, s2, out + j + 2 * lanes);
      store_f32(d, s3, out + j + 3 * lanes);
    }
    for (; j < dim; j += lanes) {
      const std::int64_t count = std::min(lanes, dim - j);
      F32Vec sum = hn::Zero(d);
      for (const std::int64_t* at = own.begin; at != own.end; ++at) {
        const T* g = dout + *at * a.dout.stride[0] + j;
        sum = hn::Add(sum, count == lanes ? load_f32(d, g) : load_part(d, g, count, 0));
      }
      if (count == lanes) store_f32(d, sum, out + j);
      else store_part(d, sum, out + j, count);
    }
  }
}
void sum_rows_any(const EmbedGradArgs& a, const PositionsById& positions, std::int64_t b, std::int64_t e) {
  if (a.dtable.dtype == DType::f32) sum_rows<float>(a, positions, b, e);
  else if (a.dtable.dtype == DType::bf16) sum_rows<bf16>(a, positions, b, e);
  else sum_rows<f16>(a, positions, b, e);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(sum_rows_any);

void embed_grad_simd(Queue& q, const EmbedGradArgs& a) {
  const PositionsById positions(a);
  const auto sum = HWY_DYNAMIC_DISPATCH(sum_rows_any);
  parallel_ranges(q.pool(), a.dtable.shape[0], std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, a.dtable.shape[1])),
                  [&](std::int64_t b, std::int64_t e) { sum(a, positions, b, e); });
}
}  // namespace graft
#endif
