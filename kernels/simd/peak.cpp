#include "kernels/simd/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/peak.cpp"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/simd/amx_tile.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains hide the latency of the multiply-add. They begin at different values: equal chains are one to the compiler, and
// the peak came out three times too high. Returns FLOPs done.
double multiply_adds(std::int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 0.001f);
  auto a = hn::Set(d, 1.0f), b = hn::Set(d, 1.1f), c = hn::Set(d, 1.2f), e = hn::Set(d, 1.3f), f = hn::Set(d, 1.4f), g = hn::Set(d, 1.5f);
  auto h = hn::Set(d, 1.6f), i = hn::Set(d, 1.7f), j = hn::Set(d, 1.8f), k = hn::Set(d, 1.9f), l = hn::Set(d, 2.0f), m = hn::Set(d, 2.1f);
  for (std::int64_t r = 0; r < rounds; ++r) {
    a = hn::MulAdd(a, x, y), b = hn::MulAdd(b, x, y), c = hn::MulAdd(c, x, y), e = hn::MulAdd(e, x, y);
    f = hn::MulAdd(f, x, y), g = hn::MulAdd(g, x, y), h = hn::MulAdd(h, x, y), i = hn::MulAdd(i, x, y);
    j = hn::MulAdd(j, x, y), k = hn::MulAdd(k, x, y), l = hn::MulAdd(l, x, y), m = hn::MulAdd(m, x, y);
  }
  const auto sum =
      hn::Add(hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i))), hn::Add(hn::Add(j, k), hn::Add(l, m)));
  *sink = hn::GetLane(sum);
  return 24.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

// from, to: n floats, n a multiple of eight vectors. Each round reads all of `from`, and writes `to` where `copy`.
void walk_cache(const float* from, float* to, std::size_t n, std::int64_t rounds, bool copy, float* sink) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::int64_t r = 0; r < rounds; ++r)
    for (std::size_t i = 0; i + 4 * lanes <= n; i += 4 * lanes) {
      const auto p = hn::Load(d, from + i), q = hn::Load(d, from + i + lanes), s = hn::Load(d, from + i + 2 * lanes),
                 t = hn::Load(d, from + i + 3 * lanes);
      if (copy) {
        hn::Store(p, d, to + i), hn::Store(q, d, to + i + lanes), hn::Store(s, d, to + i + 2 * lanes), hn::Store(t, d, to + i + 3 * lanes);
      } else {
        a = hn::Add(a, p), b = hn::Add(b, q), c = hn::Add(c, s), e = hn::Add(e, t);
      }
    }
  *sink = hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#ifdef GRAFT_HAVE_AMX
HWY_PUSH_ATTRIBUTES(GRAFT_AMX_TARGETS)
namespace graft {
// Four independent sums from tiles of numbers of both signs in [1, 2): processors draw more power, and run slower, than for zeros. Returns
// FLOPs done.
double tile_products(std::int64_t rounds) {
  alignas(64) std::uint16_t numbers[4 * amx::kTileBytes / 2];
  std::uint64_t s = 1;
  for (auto& b : numbers) {
    s = s * 6364136223846793005ull + 1442695040888963407ull;
    b = static_cast<std::uint16_t>(0x3f80u | (s >> 57) | (s >> 63 << 15));
  }
  const amx::Tiles tiles;
  const auto* from = reinterpret_cast<const std::byte*>(numbers);
  __asm__ volatile("" ::: "memory");
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, from, 64);
  _tile_loadd(5, from + amx::kTileBytes, 64);
  _tile_loadd(6, from + 2 * amx::kTileBytes, 64);
  _tile_loadd(7, from + 3 * amx::kTileBytes, 64);
  for (std::int64_t r = 0; r < rounds; ++r) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return 4.0 * 2 * 16 * 16 * 32 * static_cast<double>(rounds);
}
}  // namespace graft
HWY_POP_ATTRIBUTES
#endif

namespace graft {
HWY_EXPORT(multiply_adds);
HWY_EXPORT(walk_cache);

Peak measure_peak(Queue& q) {
  const auto now = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  Peak best;
  const auto threads = static_cast<std::size_t>(q.threads());
  std::vector<float> sinks(threads * 16);
  std::vector<double> flops(threads * 8);
  std::vector<float> from(16 << 20, 1.0f), to(16 << 20);
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto all_threads = [&](auto&& products) {  // GFLOP/s
      const double begin = now();
      q.pool().run(q.threads(),
                   [&](std::int64_t t, int) { flops[static_cast<std::size_t>(t) * 8] = products(static_cast<std::size_t>(t)); });
      const double seconds = now() - begin;
      double total = 0;
      for (std::size_t t = 0; t < threads; ++t) total += flops[t * 8];
      return total / seconds * 1e-9;
    };
    best.gflops =
        std::max(best.gflops, all_threads([&](std::size_t t) { return HWY_DYNAMIC_DISPATCH(multiply_adds)(2000000, &sinks[t * 16]); }));
#ifdef GRAFT_HAVE_AMX
    if (why_no_amx().empty()) best.tiles = std::max(best.tiles, all_threads([](std::size_t) { return tile_products(500000); }));
#endif
    const double begin = now();
    parallel_ranges(q.pool(), static_cast<std::int64_t>(from.size()), 1 << 18,
                    [&](std::int64_t b, std::int64_t e) { std::copy(from.begin() + b, from.begin() + e, to.begin() + b); });
    const double seconds = now() - begin;
    best.gbps = std::max(best.gbps, 2.0 * static_cast<double>(from.size()) * sizeof(float) / seconds * 1e-9);
  }
  return best;
}

double measure_cache(Queue& q, std::size_t bytes) {
  const auto threads = static_cast<std::size_t>(q.threads());
  const std::size_t n = std::max<std::size_t>(bytes / 2 / sizeof(float) / 256, 1) * 256;  // whole groups of vectors, whatever their length
  std::vector<hwy::AlignedFreeUniquePtr<float[]>> memory(threads);
  for (auto& m : memory) {
    m = hwy::AllocateAligned<float>(2 * n);
    std::fill(m.get(), m.get() + 2 * n, 1.0f);
  }
  std::vector<float> sinks(threads * 16);
  const auto rounds = static_cast<std::int64_t>(std::max<std::size_t>(1, (std::size_t{32} << 20) / (2 * n * sizeof(float))));
  double best = 0;
  for (int repeat = 0; repeat < 4; ++repeat)
    for (const bool copy : {false, true}) {
      const auto begin = std::chrono::steady_clock::now();
      q.pool().run(q.threads(), [&](std::int64_t t, int) {
        const auto i = static_cast<std::size_t>(t);
        HWY_DYNAMIC_DISPATCH(walk_cache)(memory[i].get(), memory[i].get() + n, copy ? n : 2 * n, rounds, copy, &sinks[i * 16]);
      });
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      best = std::max(
          best, static_cast<double>(threads) * 2.0 * static_cast<double>(n) * sizeof(float) * static_cast<double>(rounds) / seconds * 1e-9);
    }
  return best;
}
}  // namespace graft
#endif
