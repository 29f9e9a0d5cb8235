// The optimisers' updates on dense tensors of one dtype, f32 or f64. The loops are plain; compiled once per Highway target, the compiler
// vectorises them for it (sqrt and division included). Bound by memory: AdamW reads four streams and writes three, 28 bytes an f32 element.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optim/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// Absent states are read and written in `spare`, which is as long as a block.
constexpr std::int64_t kBlock = 512;

template <OptimKind kind, class A>
void update_block(const OptimStep<A>& shared, std::int64_t n, A* HWY_RESTRICT p, const A* HWY_RESTRICT g, A* HWY_RESTRICT m, A* HWY_RESTRICT v, A* HWY_RESTRICT v2) {
  const OptimStep<A> s = shared;  // a local copy: its members stay in registers
  for (std::int64_t i = 0; i < n; ++i) optim_update<kind, A>(s, p[i], g[i], m[i], v[i], v2[i]);
}

template <class A>
void update_range(const OptimArgs& a, std::int64_t begin, std::int64_t end) {
  const OptimStep<A> s(a);
  visit_optim(a.kind, [&]<OptimKind kind>() {
    A spare[3][kBlock];
    for (std::int64_t i = begin; i < end; i += kBlock) {
      const std::int64_t n = end - i < kBlock ? end - i : kBlock;
      const auto state = [&](const View& view, int k) {
        if (view.data) return view.as<A>() + i;
        for (std::int64_t j = 0; j < n; ++j) spare[k][j] = 0;
        return spare[k];
      };
      update_block<kind, A>(s, n, a.param.as<A>() + i, a.grad.as<const A>() + i, state(a.m, 0), state(a.v, 1), state(a.v2, 2));
    }
  });
}
void update_any(const OptimArgs& a, std::int64_t begin, std::int64_t end) {
  if (a.param.dtype == DType::f64) update_range<double>(a, begin, end);
  else update_range<float>(a, begin, end);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(update_any);

void optim_simd(Queue& q, const OptimArgs& a) {
  const auto update = HWY_DYNAMIC_DISPATCH(update_any);
  parallel_ranges(q.pool(), a.param.shape[0], 16384, [&](std::int64_t b, std::int64_t e) { update(a, b, e); });
}
}  // namespace graft
#endif
