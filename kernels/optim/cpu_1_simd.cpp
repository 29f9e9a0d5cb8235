// The optimisers' updates on dense tensors of one dtype, f32 or f64. The loops are plain; compiled once per Highway target, the compiler
// vectorises them for it (sqrt and division included). Bound by memory: AdamW reads four streams and writes three, 28 bytes an f32 element.
// optim_multi: one parallel region over the elements of all tensors; sum_squares_multi: one over chunks of 8192 elements, whose sums meet
// in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optim/cpu_1_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/optim/rows.h"
#include "kernels/optim/update.h"

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

// Absent states are read and written in `spare`, which is as long as a block.
constexpr std::int64_t kBlock = 512;

template <OptimKind kind, class A>
void update_block(const OptimStep<A>& shared, std::int64_t n, A* HWY_RESTRICT p, const A* HWY_RESTRICT g, A* HWY_RESTRICT m,
                  A* HWY_RESTRICT v, A* HWY_RESTRICT v2) {
  const OptimStep<A> s = shared;  // a local copy: its members stay in registers
  for (std::int64_t i = 0; i < n; ++i) optim_update<kind, A>(s, p[i], g[i], m[i], v[i], v2[i]);
}

template <class A>
void update_range(OptimKind kind, const OptimTensors& a, const OptimStep<A>& s, std::int64_t begin, std::int64_t end) {
  visit_optim(kind, [&]<OptimKind k>() {
    A spare[3][kBlock];
    for (std::int64_t i = begin; i < end; i += kBlock) {
      const std::int64_t n = end - i < kBlock ? end - i : kBlock;
      const auto state = [&](const View& view, int which) {
        if (view.data) return view.as<A>() + i;
        for (std::int64_t j = 0; j < n; ++j) spare[which][j] = 0;
        return spare[which];
      };
      update_block<k, A>(s, n, a.param.as<A>() + i, a.grad.as<const A>() + i, state(a.m, 0), state(a.v, 1), state(a.v2, 2));
    }
  });
}
void update_narrow(OptimKind kind, const OptimTensors& a, const OptimStep<float>& s, std::int64_t begin, std::int64_t end) {
  update_range<float>(kind, a, s, begin, end);
}
void update_wide(OptimKind kind, const OptimTensors& a, const OptimStep<double>& s, std::int64_t begin, std::int64_t end) {
  update_range<double>(kind, a, s, begin, end);
}

// Lane l sums elements l, l + 16, ...: the same bits for vectors of any width.
template <class T>
double squares_of(const T* x, std::int64_t n) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const auto v = static_cast<double>(static_cast<Accum<T>>(x[i + l]));
      lanes[l] += v * v;
    }
  for (int l = 0; i < n; ++i, ++l) {
    const auto v = static_cast<double>(static_cast<Accum<T>>(x[i]));
    lanes[l] += v * v;
  }
  double sum = 0;
  for (double v : lanes) sum += v;
  return sum;
}
double squares_range(const View& x, std::int64_t begin, std::int64_t end) {
  return visit_float(x.dtype, [&]<class T>() { return squares_of(x.as<const T>() + begin, end - begin); });
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(update_narrow);
HWY_EXPORT(update_wide);
HWY_EXPORT(squares_range);

namespace {

constexpr std::int64_t kGrain = 16384;

// All tensors are one range of elements, so that many small ones make one task.
template <class A, class Update>
void update_all(Queue& q, const OptimMultiArgs& a, Update&& update) {
  const OptimStep<A> s = host_step<A>(a);
  std::vector<std::int64_t> first{0};  // element, of all, that each tensor begins with
  for (const OptimTensors& t : a.tensors) first.push_back(first.back() + t.param.shape[0]);
  parallel_ranges(q.pool(), first.back(), kGrain, [&](std::int64_t b, std::int64_t e) {
    for (auto k = static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), b) - first.begin()) - 1; b < e; b = first[++k])
      update(a.kind, a.tensors[k], s, b - first[k], std::min(e, first[k + 1]) - first[k]);
  });
}

}  // namespace

void optim_simd(Queue& q, const OptimArgs& a) {
  const auto run = [&]<class A>(const OptimStep<A>& s, auto update) {
    parallel_ranges(q.pool(), a.param.shape[0], kGrain, [&](std::int64_t b, std::int64_t e) { update(a.kind, a, s, b, e); });
  };
  if (a.param.dtype == DType::f64) run(OptimStep<double>(a), HWY_DYNAMIC_DISPATCH(update_wide));
  else run(OptimStep<float>(a), HWY_DYNAMIC_DISPATCH(update_narrow));
}
void optim_multi_simd(Queue& q, const OptimMultiArgs& a) {
  if (a.tensors.empty()) return;
  if (a.tensors.front().param.dtype == DType::f64) update_all<double>(q, a, HWY_DYNAMIC_DISPATCH(update_wide));
  else update_all<float>(q, a, HWY_DYNAMIC_DISPATCH(update_narrow));
}
void sum_squares_multi_simd(Queue& q, const SumSquaresMultiArgs& a) {
  const auto squares = HWY_DYNAMIC_DISPATCH(squares_range);
  auto* partial = reinterpret_cast<double*>(q.scratch(0));
  std::vector<std::int64_t> first{0};  // chunk, of all, that each tensor begins with
  for (const View& x : a.x) first.push_back(first.back() + (x.shape[0] + kSquaresChunk - 1) / kSquaresChunk);
  parallel_ranges(q.pool(), first.back(), 4, [&](std::int64_t b, std::int64_t e) {
    auto k = static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), b) - first.begin()) - 1;
    for (; b < e; ++b) {
      while (b >= first[k + 1]) ++k;
      const std::int64_t begin = (b - first[k]) * kSquaresChunk;
      partial[b] = squares(a.x[k], begin, std::min(begin + kSquaresChunk, a.x[k].shape[0]));
    }
  });
  double sum = 0;
  for (std::int64_t i = 0; i < first.back(); ++i) sum += partial[i];
  *a.out.as<double>() = sum;
}
}  // namespace graft
#endif
