// Gradient of group_norm from sums per plane (n, c): a block per plane leaves sum(dy) and sum(dy * xhat) in scratch; dx folds those of its
// group's channels, each times its weight, and dweight and dbias fold those of a channel over the batch: the two passes over dy and x serve
// all three. Parallel over n * c instead of n * groups. Bytes: 4 reads and 1 write per element. Any dtype and stride.
#include "kernels/norm/groups.h"
#include "kernels/norm/rows.h"

namespace graft::GRAFT_SIMT {
namespace {
using namespace norm;

// sums: [n, 2, c], of dy * xhat and of dy: what fold_parts reads
template <class T>
__global__ void plane_sums(Parameters p, Accum<T>* sums) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  const std::int64_t n = blockIdx.x / p.c, c = blockIdx.x % p.c;
  const A mean = mean_of<A>(p, n, c), rstd = rstd_of<A>(p, n, c);
  A dw = 0, db = 0;
  for (std::int64_t s = threadIdx.x; s < p.s; s += blockDim.x) add_parameters<T>(p, n, c, s, mean, rstd, dw, db);
  dw = block_sum(dw, lines);
  db = block_sum(db, lines);
  if (threadIdx.x != 0) return;
  sums[2 * n * p.c + c] = dw;
  sums[(2 * n + 1) * p.c + c] = db;
}
template <class T>
__global__ void plane_write(Parameters p, View weight, View dx, const Accum<T>* sums) {
  using A = Accum<T>;
  GRAFT_SHARED(A, lines, [32]);
  const std::int64_t n = blockIdx.x / p.c, c = blockIdx.x % p.c, first = c / p.per * p.per;
  const A mean = mean_of<A>(p, n, c), rstd = rstd_of<A>(p, n, c), count = static_cast<A>(p.per * p.s);
  const auto w = [&](std::int64_t k) { return weight.data ? at<T>(weight, k * weight.stride[0]) : A(1); };
  A mean_g = 0, mean_gx = 0;
  for (std::int64_t k = first + threadIdx.x; k < first + p.per; k += blockDim.x) {
    mean_gx += w(k) * sums[2 * n * p.c + k];
    mean_g += w(k) * sums[(2 * n + 1) * p.c + k];
  }
  mean_gx = block_sum(mean_gx, lines) / count;
  mean_g = block_sum(mean_g, lines) / count;
  const A scale = w(c);
  for (std::int64_t s = threadIdx.x; s < p.s; s += blockDim.x) {
    const A g = at<T>(p.dy, n * p.dy.stride[0] + c * p.dy.stride[1] + s * p.dy.stride[2]) * scale;
    const A xhat = (at<T>(p.x, n * p.x.stride[0] + c * p.x.stride[1] + s * p.x.stride[2]) - mean) * rstd;
    dx.as<T>()[n * dx.stride[0] + c * dx.stride[1] + s * dx.stride[2]] = static_cast<T>(rstd * (g - mean_g - xhat * mean_gx));
  }
}

}  // namespace

void group_norm_grad_planes(Queue& q, const GroupNormGradArgs& a) {
  const Parameters p = parameters_of(a);
  if (p.c == 0) return;
  visit_float(a.x.dtype, [&]<class T>() {
    using A = Accum<T>;
    A* sums = reinterpret_cast<A*>(q.scratch(static_cast<std::size_t>(2 * p.n * p.c) * sizeof(A)));
    const unsigned planes = static_cast<unsigned>(p.n * p.c), threads = p.s >= 1024 ? 256 : p.s >= 256 ? 128 : 32;
    if (planes > 0) launch(q, plane_sums<T>, planes, threads, 0, p, sums);
    if (wanted(p)) launch(q, fold_parts<T>, blocks_for(p.c, 32, 1 << 30), dim3(32, 32), 0, p, static_cast<const A*>(sums), p.n);
    if (a.dx.data && a.x.numel() > 0) launch(q, plane_write<T>, planes, threads, 0, p, a.weight, a.dx, static_cast<const A*>(sums));
  });
}

}  // namespace graft::GRAFT_SIMT
