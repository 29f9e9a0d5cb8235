#include "kernels/lab/roofline.h"

#include <algorithm>
#include <memory>

#include "kernels/copy/copy.h"
#include "kernels/core/device.h"
#include "kernels/lab/machine.h"
#include "kernels/matmul/matmul.h"
#include "kernels/simd/peak.h"

namespace graft::lab {
namespace {

struct Block {  // device memory
  DeviceMemory& memory;
  void* p;
  Block(DeviceMemory& m, std::size_t bytes) : memory(m), p(m.allocate(bytes)) {
    if (!p)
      throw Error(Code::memory, "the roofline needs " + std::to_string(bytes) + " bytes on the device; free some or choose another GPU");
  }
  ~Block() { memory.release(p); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
};

// Least seconds of `call` by marks in the stream.
template <class F>
double best_time(Queue& q, int repeats, F&& call) {
  DeviceMemory& m = device_memory(q.device());
  void *a = m.make_mark(), *b = m.make_mark();
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    m.head_start(q.stream());
    m.set_mark(a, q.stream());
    call();
    m.set_mark(b, q.stream());
    const double t = m.seconds_between(a, b);
    if (i) best = std::min(best, t);
  }
  m.end_mark(a);
  m.end_mark(b);
  return best;
}

}  // namespace

Roofline::Roofline(Queue& q) : q_(q) { measure(); }

void Roofline::measure() {
  if (q_.device().kind == DeviceKind::cpu) measure_host();
  if (q_.device().kind == DeviceKind::cuda) measure_cuda();
}

void Roofline::measure_host() {
  const Peak peak = measure_peak(q_);
  vectors_ = std::max(vectors_, peak.gflops * 1e9);
  tiles_ = std::max(tiles_, peak.tiles * 1e9);
  f32_ = std::max(vectors_, tiles_ / 6);  // six products of bf16 make one of f32 (kernels/simd/amx_tile.h)
  f64_ = vectors_ / 2;
  half_ = std::max(vectors_, tiles_);  // without tiles computed in f32
  const auto caches = cache_sizes();
  const auto threads = static_cast<std::size_t>(q_.threads());
  if (ladder_.empty())
    for (std::size_t bytes = std::size_t{8} << 10; bytes * threads <= caches.back(); bytes *= 2) ladder_.push_back({bytes * threads, 0});
  double below = peak.gbps * 1e9;
  for (std::size_t i = ladder_.size(); i-- > 0;) {
    Rung& r = ladder_[i];
    r.rate = std::max({r.rate, below, measure_cache(q_, r.bytes / threads) * 1e9});
    below = r.rate;
  }
  if (levels_.empty()) {
    for (std::size_t i = 0; i < caches.size(); ++i)
      levels_.push_back({"L" + std::to_string(i + 1), i < 2 ? caches[i] * threads : caches[i], 0});
    levels_.push_back({"memory", ~std::size_t{0}, 0});
  }
  levels_.back().rate = std::max(levels_.back().rate, peak.gbps * 1e9);
  for (std::size_t i = 0; i < caches.size(); ++i) levels_[i].rate = rate(levels_[i].holds / 2);
}

// Of the largest working set measured that is no larger.
double Roofline::rate(std::size_t working_set) const {
  if (ladder_.empty() || working_set > 2 * ladder_.back().bytes) return levels_.back().rate;
  double rate = ladder_.front().rate;
  for (const Rung& r : ladder_)
    if (r.bytes <= working_set) rate = r.rate;
  return rate;
}

void Roofline::measure_cuda() {
  DeviceMemory& m = device_memory(q_.device());
  constexpr std::int64_t kSide = 4096, kCopied = 64 << 20;
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(kSide * kSide));
  std::uint64_t s = 1;
  for (auto& b : bits) {  // +-[1, 2) in bf16 (0x3f80) and as f16 [1.9, 2): switching power as of real data, sums that stay finite
    s = s * 6364136223846793005ull + 1442695040888963407ull;
    b = static_cast<std::uint16_t>(0x3f80u | (s >> 57) | (s >> 63 << 15));
  }
  Block a(m, sizeof(float) * kCopied), b(m, sizeof(float) * kCopied);
  if (levels_.empty()) levels_ = {{"memory", ~std::size_t{0}, 0}};
  m.fill(a.p, 0x3f, sizeof(float) * kCopied, q_.stream());
  const CopyArgs copy{dense_view(a.p, DType::f32, {kCopied}), dense_view(b.p, DType::f32, {kCopied})};
  levels_[0].rate = std::max(levels_[0].rate, 2.0 * sizeof(float) * kCopied / best_time(q_, 6, [&] { copy_family().run(q_, copy); }));
  Block c(m, sizeof(float) * kSide * kSide);
  const auto product = [&](DType t) {
    for (void* to : {a.p, b.p})
      for (std::size_t half = 0; half < (t == DType::f32 ? 2u : 1u); ++half)
        m.upload(static_cast<std::byte*>(to) + half * bits.size() * 2, bits.data(), bits.size() * 2, q_.stream());
    MatmulArgs args;
    args.a = dense_view(a.p, t, {1, kSide, kSide});
    args.b = dense_view(b.p, t, {1, kSide, kSide});
    args.c = dense_view(c.p, t, {1, kSide, kSide});
    return 2.0 * kSide * kSide * kSide / best_time(q_, 4, [&] { matmul_family().run(q_, args); });
  };
  f32_ = std::max(f32_, product(DType::f32));
  half_ = std::max(half_, product(DType::bf16));
  f64_ = f32_ / 2;
}

double Roofline::flops(DType t) const { return t == DType::f64 ? f64_ : t == DType::bf16 || t == DType::f16 ? half_ : f32_; }

Bound Roofline::bound(const Work& w, bool cold) const {
  if (!known()) return {};
  const auto level = std::find_if(levels_.begin(), levels_.end(),
                                  [&](const Level& l) { return (!cold || &l == &levels_.back()) && w.working_set <= l.holds; });
  const double compute = w.flops / flops(w.dtype), move = w.bytes / (cold ? level->rate : rate(w.working_set));
  return compute > move ? Bound{compute, "flops"} : Bound{move, level->name};
}

double Roofline::floor(const Work& w) const {
  if (!known()) return 0;
  const bool half = w.dtype == DType::bf16 || w.dtype == DType::f16;
  if (q_.device().kind == DeviceKind::cpu)
    return std::max(w.flops * w.least_flops / (2 * (half ? std::max(4 * vectors_, tiles_) : flops(w.dtype))),
                    w.bytes / (2 * rate(w.working_set / 4)));
  const DeviceFacts f = device_memory(q_.device()).facts();
  const double ticks = f.multiprocessors * f.clock_hz;
  if (ticks <= 0 || f.memory_bytes_per_s <= 0) return 0;
  // FLOPs a multiprocessor does per tick: twice the largest tensor core that is known to be sold; bytes from its caches per tick: a line.
  const double per_tick = half ? 16384 : w.dtype == DType::f64 ? 512 : 8192;
  const double rate = w.working_set <= 2 * f.cache_bytes ? ticks * 128 : 1.1 * f.memory_bytes_per_s;
  return std::max(w.flops * w.least_flops / (ticks * per_tick), w.bytes / rate);
}

}  // namespace graft::lab
