#include "kernels/simd/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains hide the latency of the multiply-add. Returns FLOPs done.
double multiply_adds(std::int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 0.001f);
  auto a = hn::Set(d, 1.0f), b = a, c = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a, m = a;
  for (std::int64_t r = 0; r < rounds; ++r) {
    a = hn::MulAdd(a, x, y), b = hn::MulAdd(b, x, y), c = hn::MulAdd(c, x, y), e = hn::MulAdd(e, x, y);
    f = hn::MulAdd(f, x, y), g = hn::MulAdd(g, x, y), h = hn::MulAdd(h, x, y), i = hn::MulAdd(i, x, y);
    j = hn::MulAdd(j, x, y), k = hn::MulAdd(k, x, y), l = hn::MulAdd(l, x, y), m = hn::MulAdd(m, x, y);
  }
  const auto sum = hn::Add(hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i))), hn::Add(hn::Add(j, k), hn::Add(l, m)));
  *sink = hn::GetLane(sum);
  return 24.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(multiply_adds);

Peak measure_peak(Queue& q) {
  const auto now = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  Peak best;
  const auto threads = static_cast<std::size_t>(q.threads());
  std::vector<float> sinks(threads * 16);
  std::vector<double> flops(threads * 8);
  std::vector<float> from(16 << 20, 1.0f), to(16 << 20);
  for (int repeat = 0; repeat < 5; ++repeat) {
    double begin = now();
    q.pool().run(q.threads(), [&](std::int64_t t, int) {
      flops[static_cast<std::size_t>(t) * 8] = HWY_DYNAMIC_DISPATCH(multiply_adds)(2000000, &sinks[static_cast<std::size_t>(t) * 16]);
    });
    double seconds = now() - begin, total = 0;
    for (std::size_t t = 0; t < threads; ++t) total += flops[t * 8];
    best.gflops = std::max(best.gflops, total / seconds * 1e-9);
    begin = now();
    parallel_ranges(q.pool(), static_cast<std::int64_t>(from.size()), 1 << 18, [&](std::int64_t b, std::int64_t e) { std::copy(from.begin() + b, from.begin() + e, to.begin() + b); });
    seconds = now() - begin;
    best.gbps = std::max(best.gbps, 2.0 * static_cast<double>(from.size()) * sizeof(float) / seconds * 1e-9);
  }
  return best;
}
}  // namespace graft
#endif
