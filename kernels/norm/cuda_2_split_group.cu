// group_norm and batch_norm for few groups of many elements: a group is cut into parts of at least 1024 elements (cut_group), a block each.
// Three launches: sums of x - shift, squared deviations, result; partial sums lie in scratch, every block folds those of its group in the
// same tree. Gradient of batch_norm: sums of dy and dy * xhat are dbias and dweight, and all that dx needs: two launches. Forward 3 reads
// and 1 write per element, gradient 4 and 1.
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

// Part y of group x, for this thread.
__device__ __forceinline__ Span part(std::int64_t count, std::int64_t length) {
  const std::int64_t begin = std::int64_t{blockIdx.y} * length, end = begin + length < count ? begin + length : count;
  return {begin + threadIdx.x, end, blockDim.x};
}
// The sum of a group's partial sums [gridDim.y <= 128]; every warp folds them alike.
template <class A>
__device__ __forceinline__ A fold(const A* parts) {
  A sum = 0;
  for (unsigned k = threadIdx.x % 32; k < gridDim.y; k += 32) sum += parts[k];
  return warp_sum(sum);
}
template <class T, class Kind>
__device__ __forceinline__ Stats<Accum<T>> centre(const Forward<Kind>& f, std::int64_t t, const Accum<T>* sums) {
  Stats<Accum<T>> s;
  s.shift = at<T>(f.x, f.kind.line(f.x, t).first);
  s.delta = fold(sums + t * gridDim.y) / static_cast<Accum<T>>(f.count());
  return s;
}

// sums, squares: [groups, parts]
template <class T, class Kind>
__global__ void split_sums(Forward<Kind> f, Accum<T>* sums, std::int64_t length) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  const std::int64_t t = blockIdx.x;
  const Line x = f.kind.line(f.x, t);
  const Accum<T> sum = block_sum(part_of_sum<T>(f, x, part(f.count(), length), at<T>(f.x, x.first)), lines);
  if (threadIdx.x == 0) sums[t * gridDim.y + blockIdx.y] = sum;
}
template <class T, class Kind>
__global__ void split_squares(Forward<Kind> f, const Accum<T>* sums, Accum<T>* squares, std::int64_t length) {
  GRAFT_SHARED(Accum<T>, lines, [32]);
  const std::int64_t t = blockIdx.x;
  const Stats<Accum<T>> s = centre<T>(f, t, sums);
  const Accum<T> sum = block_sum(part_of_squares<T>(f, f.kind.line(f.x, t), part(f.count(), length), s), lines);
  if (threadIdx.x == 0) squares[t * gridDim.y + blockIdx.y] = sum;
}
template <class T, class Kind>
__global__ void split_write(Forward<Kind> f, const Accum<T>* sums, const Accum<T>* squares, std::int64_t length) {
  using A = Accum<T>;
  const std::int64_t t = blockIdx.x;
  Stats<A> s;
  if (f.given) {
    s = given_stats<T>(f, t);
  } else {
    s = centre<T>(f, t, sums);
    s.rstd = 1 / std::sqrt(fold(squares + t * gridDim.y) / static_cast<A>(f.count()) + static_cast<A>(f.eps));
    if (blockIdx.y == 0 && threadIdx.x == 0) save_stats(f, t, s);
  }
  write<T>(f, t, f.kind.line(f.x, t), part(f.count(), length), s);
}

// sums: [2, channels, parts], of dy and of dy * xhat
template <class T>
__global__ void split_grad_sums(Backward<BatchKind> b, Accum<T>* sums, std::int64_t length) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  const std::int64_t t = blockIdx.x, parts = gridDim.y;
  const Line x = b.kind.line(b.x, t), dy = b.kind.line(b.dy, t);
  const A mean = stat<A>(b.mean, b.kind.stat(b.mean, t)), rstd = stat<A>(b.rstd, b.kind.stat(b.rstd, t));
  A sum = 0, sum_xhat = 0;
  each(b.kind, part(b.count(), length), [&](std::int64_t o, std::int64_t i) {
    const A g = at<T>(b.dy, dy.at(o, i));
    sum += g;
    sum_xhat += g * ((at<T>(b.x, x.at(o, i)) - mean) * rstd);
  });
  sum = block_sum(sum, lines);
  sum_xhat = block_sum(sum_xhat, lines);
  if (threadIdx.x != 0) return;
  sums[t * parts + blockIdx.y] = sum;
  sums[(b.kind.groups + t) * parts + blockIdx.y] = sum_xhat;
}
template <class T>
__global__ void split_grad_write(Backward<BatchKind> b, Parameters p, const Accum<T>* sums, std::int64_t length) {
  using A = Accum<T>;
  const std::int64_t t = blockIdx.x, parts = gridDim.y;
  const A db = fold(sums + t * parts), dw = fold(sums + (b.kind.groups + t) * parts), n = static_cast<A>(b.count());
  if (blockIdx.y == 0 && threadIdx.x == 0) set_parameters<T>(p, t, dw, db);
  if (!b.dx.data) return;
  const Line x = b.kind.line(b.x, t), dy = b.kind.line(b.dy, t), dx = b.kind.line(b.dx, t);
  const A mean = stat<A>(b.mean, b.kind.stat(b.mean, t)), rstd = stat<A>(b.rstd, b.kind.stat(b.rstd, t));
  const A scale = b.weight.data ? rstd * at<T>(b.weight, t * b.weight.stride[0]) : rstd;
  const A mean_g = b.constant ? A(0) : db / n, mean_gx = b.constant ? A(0) : dw / n;
  each(b.kind, part(b.count(), length), [&](std::int64_t o, std::int64_t i) {
    const A xhat = (at<T>(b.x, x.at(o, i)) - mean) * rstd;
    b.dx.template as<T>()[dx.at(o, i)] = static_cast<T>(scale * (at<T>(b.dy, dy.at(o, i)) - mean_g - xhat * mean_gx));
  });
}

template <class Args>
void run_forward(Queue& q, const Args& a) {
  const auto f = forward_of(a);
  using Kind = decltype(f.kind);
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    using A = Accum<T>;
    const Cut c = cut_group(f.kind.groups, f.count());
    const dim3 grid(static_cast<unsigned>(f.kind.groups), static_cast<unsigned>(c.parts));
    const std::int64_t n = f.kind.groups * c.parts;
    A* sums = reinterpret_cast<A*>(q.scratch(static_cast<std::size_t>(2 * n) * sizeof(A)));
    if (!f.given) {
      launch(q, split_sums<T, Kind>, grid, 256, 0, f, sums, c.length);
      launch(q, split_squares<T, Kind>, grid, 256, 0, f, static_cast<const A*>(sums), sums + n, c.length);
    }
    launch(q, split_write<T, Kind>, grid, 256, 0, f, static_cast<const A*>(sums), static_cast<const A*>(sums + n), c.length);
  });
}

}  // namespace

void group_norm_split_group(Queue& q, const GroupNormArgs& a) { run_forward(q, a); }
void batch_norm_split_channel(Queue& q, const BatchNormArgs& a) { run_forward(q, a); }
void batch_norm_grad_split_channel(Queue& q, const BatchNormGradArgs& a) {
  if (a.x.numel() == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    using A = Accum<T>;
    const auto b = backward_of(a);
    const Cut c = cut_group(b.kind.groups, b.count());
    const dim3 grid(static_cast<unsigned>(b.kind.groups), static_cast<unsigned>(c.parts));
    A* sums = reinterpret_cast<A*>(q.scratch(static_cast<std::size_t>(2 * b.kind.groups * c.parts) * sizeof(A)));
    launch(q, split_grad_sums<T>, grid, 256, 0, b, sums, c.length);
    launch(q, split_grad_write<T>, grid, 256, 0, b, parameters_of(a), static_cast<const A*>(sums), c.length);
  });
}

}  // namespace graft::GRAFT_SIMT
