// Weight gradient as a product [k, pixels] x [pixels, (c, r, s)], the unfolded x never stored: tile.h with (c, r, s) as items and pixels as
// steps. Pixels are cut into ranges (grid.z), whose partial sums lie in scratch and are added in their order: no atomics. dbias is the row
// sum of the dy tiles that pass through shared memory anyway, taken by the blocks of the first column. Bytes: dy once per 64 of (c, r, s),
// x's windows once per 64 k, partial sums twice. f32, bf16, f16 with f32 sums; fewer than 2^30 pixels.
#include "kernels/conv/fold.h"
#include "kernels/conv/rows.h"
#include "kernels/conv/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

using namespace conv_tile;

template <class T>
struct WeightWalk {
  Operands<T> o;  // x, and dy as w
  std::int64_t xn, xc, xh, xw, dn, dk, dp, dq;
  float* partial;  // [ranges][k][taps + 1]
  int pixels, each, p, q;
  int chans, items, item_tiles, r, s;  // channels of x and of dy, per group
  int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
  bool chan_inner;
};

template <class T>
__global__ void __launch_bounds__(kThreads, 3) weight_tile(const WeightWalk<T> a) {
  GRAFT_SHARED(Tiles, tiles, [1]);
  const int taps = a.chans * a.r * a.s, x0 = static_cast<int>(blockIdx.x) * kSide, w0 = static_cast<int>(blockIdx.y) % a.item_tiles * kSide;
  const int group = static_cast<int>(blockIdx.y) / a.item_tiles;
  const auto item_x = [&](int i) -> Place {
    const int t = x0 + i;
    if (t >= taps) return {0, kOutside, 0};
    const int c = a.chan_inner ? t % a.chans : t / a.s / a.r, r = a.chan_inner ? t / a.chans / a.s : t / a.s % a.r;
    const int s = a.chan_inner ? t / a.chans % a.s : t % a.s;
    const int row = r * a.dilation_h - a.pad_top, col = s * a.dilation_w - a.pad_left;
    return {(std::int64_t{group} * a.chans + c) * a.xc + row * a.xh + col * a.xw, row, col};
  };
  const auto item_w = [&](int j) -> std::int64_t { return w0 + j < a.items ? (std::int64_t{group} * a.items + w0 + j) * a.dk : -1; };
  const auto step = [&](int d) -> Step {
    const int q = d % a.q, p = d / a.q % a.p, n = d / a.q / a.p, row = p * a.stride_h, col = q * a.stride_w;
    return {n * a.xn + row * a.xh + col * a.xw, n * a.dn + p * a.dp + q * a.dq, row, col};
  };
  const int xi = static_cast<int>(threadIdx.x) % 16, wi = static_cast<int>(threadIdx.x) / 16, begin = static_cast<int>(blockIdx.z) * a.each;
  const int end = begin + a.each < a.pixels ? begin + a.each : a.pixels;
  float acc[4][4] = {}, sum = 0;
  float* out = a.partial + (std::int64_t{blockIdx.z} * a.groups + group) * a.items * (taps + 1);
  if (x0 == 0) {
    product<true>(a.o, tiles[0], begin, end, xi, wi, item_x, item_w, step, acc, sum);
    const int k = w0 + static_cast<int>(threadIdx.x);
    if (threadIdx.x < kSide && k < a.items) out[std::int64_t{k} * (taps + 1) + taps] = sum;
  } else {
    product<false>(a.o, tiles[0], begin, end, xi, wi, item_x, item_w, step, acc, sum);
  }
  GRAFT_UNROLL for (int j = 0; j < 4; ++j) GRAFT_UNROLL for (int i = 0; i < 4; ++i) if (w0 + 4 * wi + j < a.items && x0 + 4 * xi + i < taps)
      out[std::int64_t{w0 + 4 * wi + j} * (taps + 1) + x0 + 4 * xi + i] = acc[i][j];
}

}  // namespace

void conv_implicit_gemm_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const ConvGeometry& g = a.geometry;
  const auto narrow = [](std::int64_t v) { return static_cast<int>(v); };
  const conv_split::Split split = conv_split::gemm(a);
  visit_short_float(a.dweight.dtype, [&]<class T>() {
    WeightWalk<T> v{};
    v.chan_inner = conv_split::channels_inner(a.x);
    v.o = {a.x.as<const T>(),
           a.dy.as<const T>(),
           narrow(a.x.shape[2]),
           narrow(a.x.shape[3]),
           !v.chan_inner,
           !conv_split::channels_inner(a.dy),
           true};
    v.xn = a.x.stride[0];
    v.xc = a.x.stride[1];
    v.xh = a.x.stride[2];
    v.xw = a.x.stride[3];
    v.dn = a.dy.stride[0];
    v.dk = a.dy.stride[1];
    v.dp = a.dy.stride[2];
    v.dq = a.dy.stride[3];
    v.partial = reinterpret_cast<float*>(q.scratch(conv_split::bytes(a, split)));
    v.pixels = narrow(conv_split::pixels(a));
    v.each = narrow(split.each);
    v.p = narrow(a.dy.shape[2]);
    v.q = narrow(a.dy.shape[3]);
    v.chans = narrow(a.dweight.shape[1]);
    v.items = narrow(a.dweight.shape[0] / g.groups);
    v.item_tiles = (v.items + kSide - 1) / kSide;
    v.r = narrow(a.dweight.shape[2]);
    v.s = narrow(a.dweight.shape[3]);
    v.stride_h = narrow(g.stride_h);
    v.stride_w = narrow(g.stride_w);
    v.pad_top = narrow(g.pad_top);
    v.pad_left = narrow(g.pad_left);
    v.dilation_h = narrow(g.dilation_h);
    v.dilation_w = narrow(g.dilation_w);
    v.groups = narrow(g.groups);
    launch(q, weight_tile<T>, dim3(blocks_for(conv_split::taps(a), kSide), v.groups * v.item_tiles, narrow(split.ranges)), kThreads, 0, v);
    conv_fold::fold<T>(q, a, v.partial, split.ranges, v.chan_inner);
  });
}

}  // namespace graft::GRAFT_SIMT
