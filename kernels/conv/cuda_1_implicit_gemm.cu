// Forward and input gradient as a product [pixels, (c, r, s)] x [(c, r, s), channels], its left side never stored (implicit GEMM, Chetlur
// et al. 2014). A block makes 64 pixels x 64 channels, 16 steps at a time through shared memory, 4 x 4 per thread (tile.h). The input
// gradient of stride t is t x t separate stride-1 convolutions of dy, one per phase of dx (grid.z), each with the taps that meet it: no
// step is wasted on a hole. Bytes: x once per 64 channels, weight once per 64 pixels, y once. f32, bf16, f16 with f32 sums; fewer than 2^30
// pixels and steps.
#include "kernels/conv/rows.h"
#include "kernels/conv/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

using namespace conv_tile;

// Input row = i * in_step + in_origin + t * in_tap for output row out_first + i * out_step and filter row tap_first + t * tap_step.
struct Axis {
  int count, in_step, in_origin, in_tap, out_first, out_step, taps, tap_first, tap_step;
};

// What the input gradient's phases are made of, per axis.
struct Strided {
  int size, stride, pad, dilation, taps, tap_step;
};  // tap_step = stride / gcd(stride, dilation)

__device__ __forceinline__ Axis phase(const Strided& s, int f) {
  int first = 0;  // the first tap r with f + pad - r dilation a multiple of the stride
  while (first < s.tap_step && (f + s.pad - first * s.dilation) % s.stride != 0) ++first;
  const bool meets = first < s.tap_step && first < s.taps;
  const int count = f < s.size ? (s.size - f + s.stride - 1) / s.stride : 0,
            taps = meets ? (s.taps - first + s.tap_step - 1) / s.tap_step : 0;
  return {
      count, 1,         meets ? (f + s.pad - first * s.dilation) / s.stride : 0, -(s.dilation * s.tap_step / s.stride), f, s.stride, taps,
      first, s.tap_step};
}

template <class T>
struct Walk {
  Operands<T> o;
  std::int64_t xn, xc, xh, xw;  // of the image: x, or dy
  std::int64_t w_group, w_item, w_chan, w_r, w_s;
  const T* bias;
  std::int64_t bias_step;
  T* y;
  std::int64_t yn, yk, yh, yw;
  int images, chans, items, item_tiles;  // channels summed and made, per group
  bool chan_inner, relu, phased;
  Axis h, w;
  Strided sh, sw;
};

template <class T>
__global__ void __launch_bounds__(kThreads, 3) walk_tile(const Walk<T> a) {
  GRAFT_SHARED(Tiles, tiles, [1]);
  const int z = static_cast<int>(blockIdx.z);
  const Axis h = a.phased ? phase(a.sh, z / a.sw.stride) : a.h, w = a.phased ? phase(a.sw, z % a.sw.stride) : a.w;
  const int pixels = a.images * h.count * w.count, group = static_cast<int>(blockIdx.y) / a.item_tiles;
  const int x0 = static_cast<int>(blockIdx.x) * kSide, w0 = static_cast<int>(blockIdx.y) % a.item_tiles * kSide;
  if (x0 >= pixels) return;  // phases differ in size
  const auto item_x = [&](int i) -> Place {
    if (x0 + i >= pixels) return {0, kOutside, 0};
    const int pq = (x0 + i) % (h.count * w.count), n = (x0 + i) / (h.count * w.count);
    const int row = pq / w.count * h.in_step + h.in_origin, col = pq % w.count * w.in_step + w.in_origin;
    return {n * a.xn + std::int64_t{group} * a.chans * a.xc + row * a.xh + col * a.xw, row, col};
  };
  const auto item_w = [&](int j) -> std::int64_t { return w0 + j < a.items ? group * a.w_group + (w0 + j) * a.w_item : -1; };
  const auto step = [&](int d) -> Step {
    int c, r, s;
    if (a.chan_inner) {
      c = d % a.chans;
      s = d / a.chans % w.taps;
      r = d / a.chans / w.taps;
    } else {
      s = d % w.taps;
      r = d / w.taps % h.taps;
      c = d / w.taps / h.taps;
    }
    const int row = r * h.in_tap, col = s * w.in_tap;
    return {c * a.xc + row * a.xh + col * a.xw,
            c * a.w_chan + (h.tap_first + r * h.tap_step) * a.w_r + (w.tap_first + s * w.tap_step) * a.w_s, row, col};
  };
  const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16, xi = a.o.lanes_x ? tx : ty,
            wi = a.o.lanes_x ? ty : tx;
  float acc[4][4] = {}, none = 0;
  product<false>(a.o, tiles[0], 0, a.chans * h.taps * w.taps, xi, wi, item_x, item_w, step, acc, none);
  GRAFT_UNROLL for (int i = 0; i < 4; ++i) {
    const int pixel = x0 + 4 * xi + i;
    if (pixel >= pixels) break;
    const int pq = pixel % (h.count * w.count), n = pixel / (h.count * w.count);
    T* y = a.y + n * a.yn + (h.out_first + pq / w.count * h.out_step) * a.yh + (w.out_first + pq % w.count * w.out_step) * a.yw;
    GRAFT_UNROLL for (int j = 0; j < 4; ++j) {
      if (w0 + 4 * wi + j >= a.items) break;
      const std::int64_t k = std::int64_t{group} * a.items + w0 + 4 * wi + j;
      float v = acc[i][j];
      if (a.bias) v += static_cast<float>(a.bias[k * a.bias_step]);
      if (a.relu && v < 0) v = 0;  // a NaN stays
      y[k * a.yk] = static_cast<T>(v);
    }
  }
}

std::int64_t length(std::int64_t s) { return s < 0 ? -s : s; }
int narrow(std::int64_t v) { return static_cast<int>(v); }

// The lanes' directions, from the strides alone.
template <class T>
void set_lanes(Walk<T>& a, bool single_column) {
  a.chan_inner = length(a.xc) < length(a.xw) || (single_column && length(a.xc) < length(a.xh));
  a.o.x_deep = a.chan_inner;
  a.o.w_deep = length(a.chan_inner ? a.w_chan : a.w_s) <= length(a.w_item);
  a.o.lanes_x = length(a.yw) <= length(a.yk);
}

}  // namespace

void conv_implicit_gemm(Queue& q, const ConvArgs& a) {
  if (a.y.numel() == 0) return;
  const ConvGeometry& g = a.geometry;
  visit_short_float(a.y.dtype, [&]<class T>() {
    Walk<T> v{};
    v.o = {a.x.as<const T>(), a.weight.as<const T>(), narrow(a.x.shape[2]), narrow(a.x.shape[3]), false, false, false};
    v.xn = a.x.stride[0];
    v.xc = a.x.stride[1];
    v.xh = a.x.stride[2];
    v.xw = a.x.stride[3];
    v.images = narrow(a.x.shape[0]);
    v.chans = narrow(a.weight.shape[1]);
    v.items = narrow(a.y.shape[1] / g.groups);
    v.item_tiles = (v.items + kSide - 1) / kSide;
    v.w_group = v.items * a.weight.stride[0];
    v.w_item = a.weight.stride[0];
    v.w_chan = a.weight.stride[1];
    v.w_r = a.weight.stride[2];
    v.w_s = a.weight.stride[3];
    v.bias = a.bias.as<const T>();
    v.bias_step = a.bias.stride[0];
    v.y = a.y.as<T>();
    v.yn = a.y.stride[0];
    v.yk = a.y.stride[1];
    v.yh = a.y.stride[2];
    v.yw = a.y.stride[3];
    v.relu = a.relu;
    v.h = {narrow(a.y.shape[2]), narrow(g.stride_h), narrow(-g.pad_top), narrow(g.dilation_h), 0, 1, narrow(a.weight.shape[2]), 0, 1};
    v.w = {narrow(a.y.shape[3]), narrow(g.stride_w), narrow(-g.pad_left), narrow(g.dilation_w), 0, 1, narrow(a.weight.shape[3]), 0, 1};
    set_lanes(v, a.y.shape[3] == 1);
    const auto pixels = a.y.shape[0] * a.y.shape[2] * a.y.shape[3];
    launch(q, walk_tile<T>, dim3(blocks_for(pixels, kSide, 0x7fffffff), narrow(g.groups) * v.item_tiles), kThreads, 0, v);
  });
}

void conv_implicit_gemm_input_grad(Queue& q, const ConvInputGradArgs& a) {
  if (a.dx.numel() == 0) return;
  const ConvGeometry& g = a.geometry;
  // steps between the taps that meet one phase: r stride / gcd(stride, dilation)
  const auto gcd = [](std::int64_t m, std::int64_t n) {
    while (n) {
      const auto r = m % n;
      m = n;
      n = r;
    }
    return m;
  };
  visit_short_float(a.dx.dtype, [&]<class T>() {
    Walk<T> v{};
    v.o = {a.dy.as<const T>(), a.weight.as<const T>(), narrow(a.dy.shape[2]), narrow(a.dy.shape[3]), false, false, false};
    v.xn = a.dy.stride[0];
    v.xc = a.dy.stride[1];
    v.xh = a.dy.stride[2];
    v.xw = a.dy.stride[3];
    v.images = narrow(a.dx.shape[0]);
    v.chans = narrow(a.weight.shape[0] / g.groups);
    v.items = narrow(a.weight.shape[1]);
    v.item_tiles = (v.items + kSide - 1) / kSide;
    v.w_group = v.chans * a.weight.stride[0];
    v.w_item = a.weight.stride[1];
    v.w_chan = a.weight.stride[0];
    v.w_r = a.weight.stride[2];
    v.w_s = a.weight.stride[3];
    v.bias = a.bias.as<const T>();
    v.bias_step = a.bias.stride[0];
    v.y = a.dx.as<T>();
    v.yn = a.dx.stride[0];
    v.yk = a.dx.stride[1];
    v.yh = a.dx.stride[2];
    v.yw = a.dx.stride[3];
    v.phased = true;
    const int step_h = narrow(g.stride_h / gcd(g.stride_h, g.dilation_h)), step_w = narrow(g.stride_w / gcd(g.stride_w, g.dilation_w));
    v.sh = {narrow(a.dx.shape[2]), narrow(g.stride_h), narrow(g.pad_top), narrow(g.dilation_h), narrow(a.weight.shape[2]), step_h};
    v.sw = {narrow(a.dx.shape[3]), narrow(g.stride_w), narrow(g.pad_left), narrow(g.dilation_w), narrow(a.weight.shape[3]), step_w};
    set_lanes(v, a.dx.shape[3] == 1);
    const auto rows = (a.dx.shape[2] + g.stride_h - 1) / g.stride_h,
               cols = (a.dx.shape[3] + g.stride_w - 1) / g.stride_w;  // of the largest phase
    const unsigned tiles = blocks_for(a.dx.shape[0] * rows * cols, kSide, 0x7fffffff);
    launch(q, walk_tile<T>, dim3(tiles, narrow(g.groups) * v.item_tiles, narrow(g.stride_h * g.stride_w)), kThreads, 0, v);
  });
}

}  // namespace graft::GRAFT_SIMT
