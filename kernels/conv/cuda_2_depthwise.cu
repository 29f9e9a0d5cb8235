// Depthwise convolution (one input channel per group) and its two gradients, 3 x 3, 5 x 5 and 7 x 7. A thread keeps the filter of its
// channel in registers and makes 8 pixels; a block is one plane or a piece of it (lanes along pixels), or with channels last 32 channels
// (lanes along them): loads are coalesced either way. The weight gradient keeps a sum per tap in registers over a range of pixels; warps
// meet in shared memory, ranges in scratch (split.h): no atomics. Bytes: x, y once, taps that overlap come from L1. f32, bf16, f16 with f32
// sums; the input gradient wants as many channels out as in.
#include "kernels/conv/fold.h"
#include "kernels/conv/rows.h"
#include "kernels/conv/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kPixels = 8;  // of a thread
constexpr int kWarps = 4;   // of a weight gradient's block
constexpr int kLanes = 32;  // channels side by side when they are the inner axis

__device__ __forceinline__ bool inside(int i, std::int64_t size) { return i >= 0 && i < size; }

// wt: [k, 1, R, R]
template <class T, int R>
__device__ __forceinline__ void load_filter(const View& wt, int k, float (&w)[R][R]) {
  GRAFT_UNROLL for (int r = 0; r < R; ++r) GRAFT_UNROLL for (int s = 0; s < R; ++s) w[r][s] =
      static_cast<float>(wt.as<const T>()[k * wt.stride[0] + r * wt.stride[2] + s * wt.stride[3]]);
}
// What a thread of the forward pass or the input gradient makes: channel k of image n, pixels first + j * by.
struct Share {
  int n, k, first, by;
};
__device__ __forceinline__ Share share_of(int channels, int lanes) {
  const int tiles = (channels + lanes - 1) / lanes, by = static_cast<int>(blockDim.x) / lanes;
  const int t = static_cast<int>(threadIdx.x), b = static_cast<int>(blockIdx.x);
  return {b / tiles, b % tiles * lanes + t % lanes, static_cast<int>(blockIdx.y) * by * kPixels + t / lanes, by};
}

template <class T, int R>
__global__ void __launch_bounds__(256, R == 7 ? 2 : 3) depthwise(const ConvArgs a, int lanes) {
  const ConvGeometry& g = a.geometry;
  const int channels = static_cast<int>(a.y.shape[1]), cols = static_cast<int>(a.y.shape[3]),
            pixels = static_cast<int>(a.y.shape[2]) * cols;
  const Share m = share_of(channels, lanes);
  if (m.k >= channels) return;
  float w[R][R];
  load_filter<T>(a.weight, m.k, w);
  const float bias = a.bias.data ? static_cast<float>(a.bias.as<const T>()[m.k * a.bias.stride[0]]) : 0.0f;
  const T* x = a.x.as<const T>() + m.n * a.x.stride[0] + m.k / (channels / static_cast<int>(a.x.shape[1])) * a.x.stride[1];
  T* y = a.y.as<T>() + m.n * a.y.stride[0] + m.k * a.y.stride[1];
  for (int j = 0, i = m.first; j < kPixels && i < pixels; ++j, i += m.by) {
    const int p = i / cols, q = i % cols;
    const int h0 = p * static_cast<int>(g.stride_h) - static_cast<int>(g.pad_top),
              w0 = q * static_cast<int>(g.stride_w) - static_cast<int>(g.pad_left);
    float sum = 0;
    GRAFT_UNROLL for (int r = 0; r < R; ++r) {
      const int row = h0 + r * static_cast<int>(g.dilation_h);
      GRAFT_UNROLL for (int s = 0; s < R; ++s) {
        const int col = w0 + s * static_cast<int>(g.dilation_w);
        if (inside(row, a.x.shape[2]) && inside(col, a.x.shape[3]))
          sum += static_cast<float>(x[row * a.x.stride[2] + col * a.x.stride[3]]) * w[r][s];
      }
    }
    sum += bias;
    if (a.relu && sum < 0) sum = 0;  // a NaN stays
    y[p * a.y.stride[2] + q * a.y.stride[3]] = static_cast<T>(sum);
  }
}

template <class T, int R>
__global__ void __launch_bounds__(256, R == 7 ? 2 : 3) depthwise_input_grad(const ConvInputGradArgs a, int lanes) {
  const ConvGeometry& g = a.geometry;
  const int channels = static_cast<int>(a.dx.shape[1]), cols = static_cast<int>(a.dx.shape[3]),
            pixels = static_cast<int>(a.dx.shape[2]) * cols;
  const int stride_h = static_cast<int>(g.stride_h), stride_w = static_cast<int>(g.stride_w);
  const Share m = share_of(channels, lanes);
  if (m.k >= channels) return;
  float w[R][R];
  load_filter<T>(a.weight, m.k, w);
  const float bias = a.bias.data ? static_cast<float>(a.bias.as<const T>()[m.k * a.bias.stride[0]]) : 0.0f;
  const T* dy = a.dy.as<const T>() + m.n * a.dy.stride[0] + m.k * a.dy.stride[1];
  T* dx = a.dx.as<T>() + m.n * a.dx.stride[0] + m.k * a.dx.stride[1];
  for (int j = 0, i = m.first; j < kPixels && i < pixels; ++j, i += m.by) {
    const int y = i / cols, x = i % cols;
    float sum = 0;
    GRAFT_UNROLL for (int r = 0; r < R; ++r) {
      const int ps = y + static_cast<int>(g.pad_top) - r * static_cast<int>(g.dilation_h), p = stride_h == 1 ? ps : ps / stride_h;
      const bool row_in = ps >= 0 && p * stride_h == ps && p < a.dy.shape[2];
      GRAFT_UNROLL for (int s = 0; s < R; ++s) {
        const int qs = x + static_cast<int>(g.pad_left) - s * static_cast<int>(g.dilation_w), q = stride_w == 1 ? qs : qs / stride_w;
        if (row_in && qs >= 0 && q * stride_w == qs && q < a.dy.shape[3])
          sum += static_cast<float>(dy[p * a.dy.stride[2] + q * a.dy.stride[3]]) * w[r][s];
      }
    }
    dx[y * a.dx.stride[2] + x * a.dx.stride[3]] = static_cast<T>(sum + bias);
  }
}

// partial: [ranges][k][R R + 1]. L = 1: the block's lanes take pixels of one channel; L = 32: a warp takes one pixel of 32 channels.
template <class T, int R, int L>
__global__ void __launch_bounds__(32 * kWarps) depthwise_weight_grad(const ConvWeightGradArgs a, float* partial, int all, int each) {
  constexpr int kTaps = R * R;
  GRAFT_SHARED(float, lines, [kWarps][kTaps + 1][L]);
  const ConvGeometry& g = a.geometry;
  const int channels = static_cast<int>(a.dy.shape[1]), rows = static_cast<int>(a.dy.shape[2]), cols = static_cast<int>(a.dy.shape[3]);
  const int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32, k0 = static_cast<int>(blockIdx.x) * L,
            k = k0 + (L == 1 ? 0 : lane);
  const int begin = static_cast<int>(blockIdx.y) * each, end = begin + each < all ? begin + each : all;
  float sum[kTaps + 1] = {};
  if (k < channels) {
    const T* x = a.x.as<const T>() + k / (channels / static_cast<int>(a.x.shape[1])) * a.x.stride[1];
    const T* dy = a.dy.as<const T>() + k * a.dy.stride[1];
    for (int d = begin + t / L; d < end; d += 32 * kWarps / L) {
      const int q = d % cols, p = d / cols % rows, n = d / cols / rows;
      const float v = static_cast<float>(dy[n * a.dy.stride[0] + p * a.dy.stride[2] + q * a.dy.stride[3]]);
      const int h0 = p * static_cast<int>(g.stride_h) - static_cast<int>(g.pad_top),
                w0 = q * static_cast<int>(g.stride_w) - static_cast<int>(g.pad_left);
      GRAFT_UNROLL for (int r = 0; r < R; ++r) {
        const int row = h0 + r * static_cast<int>(g.dilation_h);
        GRAFT_UNROLL for (int s = 0; s < R; ++s) {
          const int col = w0 + s * static_cast<int>(g.dilation_w);
          if (inside(row, a.x.shape[2]) && inside(col, a.x.shape[3]))
            sum[r * R + s] += static_cast<float>(x[n * a.x.stride[0] + row * a.x.stride[2] + col * a.x.stride[3]]) * v;
        }
      }
      sum[kTaps] += v;
    }
  }
  GRAFT_UNROLL for (int i = 0; i <= kTaps; ++i) {
    const float v = L == 1 ? warp_sum(sum[i]) : sum[i];
    if (L == 32 || lane == 0) lines[warp][i][L == 1 ? 0 : lane] = v;
  }
  __syncthreads();
  for (int e = t; e < (kTaps + 1) * L; e += 32 * kWarps) {
    const int to = k0 + e % L;
    if (to >= channels) continue;
    float v = 0;
    for (int i = 0; i < kWarps; ++i) v += lines[i][e / L][e % L];
    partial[(std::int64_t{blockIdx.y} * channels + to) * (kTaps + 1) + e / L] = v;
  }
}

int narrow(std::int64_t v) { return static_cast<int>(v); }
// f.operator()<R>() for filters of R x R; the limit has refused all others.
template <class F>
void visit_side(std::int64_t side, F&& f) {
  if (side == 3) f.template operator()<3>();
  else if (side == 5) f.template operator()<5>();
  else f.template operator()<7>();
}
struct Plan {
  dim3 grid;
  unsigned block;
  int lanes;
};
// out: [n, k, rows, cols]; small planes take small blocks
Plan plan_of(const View& out) {
  const int lanes = conv_split::channels_inner(out) ? kLanes : 1;
  const std::int64_t pixels = out.shape[2] * out.shape[3], block = lanes == 1 ? std::min<std::int64_t>(256, (pixels + 31) / 32 * 32) : 256;
  const std::int64_t chunk = block / lanes * kPixels, tiles = (out.shape[1] + lanes - 1) / lanes;
  return {dim3(static_cast<unsigned>(out.shape[0] * tiles), blocks_for(pixels, chunk)), static_cast<unsigned>(block), lanes};
}

}  // namespace

void conv_depthwise(Queue& q, const ConvArgs& a) {
  if (a.y.numel() == 0) return;
  const Plan p = plan_of(a.y);
  conv_tile::visit_short_float(a.y.dtype, [&]<class T>() {
    visit_side(a.weight.shape[3], [&]<int R>() { launch(q, depthwise<T, R>, p.grid, p.block, 0, a, p.lanes); });
  });
}
void conv_depthwise_input_grad(Queue& q, const ConvInputGradArgs& a) {
  if (a.dx.numel() == 0) return;
  const Plan p = plan_of(a.dx);
  conv_tile::visit_short_float(a.dx.dtype, [&]<class T>() {
    visit_side(a.weight.shape[3], [&]<int R>() { launch(q, depthwise_input_grad<T, R>, p.grid, p.block, 0, a, p.lanes); });
  });
}
void conv_depthwise_weight_grad(Queue& q, const ConvWeightGradArgs& a) {
  const conv_split::Split split = conv_split::depthwise(a);
  const std::int64_t lanes = conv_split::depthwise_lanes(a);
  const dim3 grid(static_cast<unsigned>((a.dweight.shape[0] + lanes - 1) / lanes), static_cast<unsigned>(split.ranges));
  float* partial = reinterpret_cast<float*>(q.scratch(conv_split::bytes(a, split)));
  conv_tile::visit_short_float(a.dweight.dtype, [&]<class T>() {
    visit_side(a.dweight.shape[3], [&]<int R>() {
      const auto run = [&](auto kernel) {
        launch(q, kernel, grid, 32 * kWarps, 0, a, partial, narrow(conv_split::pixels(a)), narrow(split.each));
      };
      if (lanes == 1) run(depthwise_weight_grad<T, R, 1>);
      else run(depthwise_weight_grad<T, R, kLanes>);
    });
    conv_fold::fold<T>(q, a, partial, split.ranges, false);
  });
}

}  // namespace graft::GRAFT_SIMT
