// Winograd F(2 x 2, 3 x 3), forward (Lavin and Gray 2015): a 2 x 2 square of y is 16 products per channel instead of 36. A first kernel
// transforms the filters into scratch. Then a block makes 32 squares x 32 channels of y: each thread transforms one 4 x 4 patch of x in
// registers, 16 groups of 16 threads multiply one of the 16 positions each (8 x 8 sums per thread), and the sums go back through shared
// memory to whoever transforms a square of y in registers. Bytes: x 4 times (patches overlap, L1) per 32 channels, transformed filters once
// per 32 squares, y once. f32, stride 1, dilation 1, groups 1, planes.
#include "kernels/conv/rows.h"
#include "kernels/conv/tile.h"

namespace graft::GRAFT_SIMT {
namespace {

constexpr int kThreads = 256, kSquares = 32, kFilters = 32, kDeep = 8;
constexpr int kRow = kSquares + 4, kPosition = kDeep * kRow + 16;  // + 16: the two positions of a warp read different halves of the banks

// u: [c][16][k] = G w G^T, w: [k, c, 3, 3]
__global__ void transform_filters(const View w, float* u) {
  const int channels = static_cast<int>(w.shape[1]), filters = static_cast<int>(w.shape[0]);
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= std::int64_t{channels} * filters) return;
  const std::int64_t k = i % filters, c = i / filters;
  const float* g = w.as<const float>() + k * w.stride[0] + c * w.stride[1];
  float half[4][3];  // G w
  GRAFT_UNROLL for (int s = 0; s < 3; ++s) {
    const float a = g[s * w.stride[3]], b = g[w.stride[2] + s * w.stride[3]], d = g[2 * w.stride[2] + s * w.stride[3]];
    half[0][s] = a;
    half[1][s] = 0.5f * (a + b + d);
    half[2][s] = 0.5f * (a - b + d);
    half[3][s] = d;
  }
  float* to = u + c * 16 * filters + k;
  GRAFT_UNROLL for (int r = 0; r < 4; ++r) {
    const float a = half[r][0], b = half[r][1], d = half[r][2];
    to[(4 * r + 0) * filters] = a;
    to[(4 * r + 1) * filters] = 0.5f * (a + b + d);
    to[(4 * r + 2) * filters] = 0.5f * (a - b + d);
    to[(4 * r + 3) * filters] = d;
  }
}

// One patch of x, from (h0, w0): B^T d B to v[16 positions]
__device__ __forceinline__ void transform_patch(const float* x, const View& shape, int h0, int w0, bool live, float* v) {
  float d[4][4];
  GRAFT_UNROLL for (int r = 0; r < 4; ++r) GRAFT_UNROLL for (int s = 0; s < 4; ++s) {
    const bool in = live && h0 + r >= 0 && h0 + r < shape.shape[2] && w0 + s >= 0 && w0 + s < shape.shape[3];
    d[r][s] = in ? x[(h0 + r) * shape.stride[2] + (w0 + s) * shape.stride[3]] : 0.0f;
  }
  GRAFT_UNROLL for (int s = 0; s < 4; ++s) {
    const float a = d[0][s], b = d[1][s], c = d[2][s], e = d[3][s];
    d[0][s] = a - c;
    d[1][s] = b + c;
    d[2][s] = c - b;
    d[3][s] = b - e;
  }
  GRAFT_UNROLL for (int r = 0; r < 4; ++r) {
    v[(4 * r + 0) * kPosition] = d[r][0] - d[r][2];
    v[(4 * r + 1) * kPosition] = d[r][1] + d[r][2];
    v[(4 * r + 2) * kPosition] = d[r][2] - d[r][1];
    v[(4 * r + 3) * kPosition] = d[r][1] - d[r][3];
  }
}
// The 16 sums of a square: A^T m A
__device__ __forceinline__ void transform_back(const float* m, float (&y)[2][2]) {
  float half[2][4];
  GRAFT_UNROLL for (int s = 0; s < 4; ++s) {
    const float a = m[s * kPosition], b = m[(4 + s) * kPosition], c = m[(8 + s) * kPosition], d = m[(12 + s) * kPosition];
    half[0][s] = a + b + c;
    half[1][s] = b - c - d;
  }
  GRAFT_UNROLL for (int r = 0; r < 2; ++r) {
    y[r][0] = half[r][0] + half[r][1] + half[r][2];
    y[r][1] = half[r][1] - half[r][2] - half[r][3];
  }
}

__device__ __forceinline__ void load8(const float* from, float (&to)[8]) {  // 4 elements and the 4 that lie 16 further
  const float4 a = *reinterpret_cast<const float4*>(from), b = *reinterpret_cast<const float4*>(from + 16);
  to[0] = a.x;
  to[1] = a.y;
  to[2] = a.z;
  to[3] = a.w;
  to[4] = b.x;
  to[5] = b.y;
  to[6] = b.z;
  to[7] = b.w;
}

__global__ void __launch_bounds__(kThreads, 2) winograd(const ConvArgs a, const float* u, int squares, int squares_h, int squares_w) {
  GRAFT_SHARED(float, v, [16 * kPosition]);  // patches [position][c][square]; at the end sums [position][filter][square]
  GRAFT_SHARED(float, w, [16 * kPosition]);  // filters [position][c][filter]
  const int t = static_cast<int>(threadIdx.x), channels = static_cast<int>(a.x.shape[1]), filters = static_cast<int>(a.y.shape[1]);
  const int row = t / 32, col = t % 32;  // this thread loads channel `row` of square `col` and of filter `col`
  const int square = static_cast<int>(blockIdx.x) * kSquares + col, k0 = static_cast<int>(blockIdx.y) * kFilters;
  const int n = square / (squares_h * squares_w), p = square / squares_w % squares_h * 2, q = square % squares_w * 2;
  const bool live = square < squares;
  const int position = t / 16, tx = t % 4, ty = t % 16 / 4;  // squares 4 tx, 16 + 4 tx, filters 4 ty, 16 + 4 ty (and the 3 after each)
  float sum[8][8] = {};
  for (int c0 = 0; c0 < channels; c0 += kDeep) {
    const int c = c0 + row;
    transform_patch(a.x.as<const float>() + (live ? n * a.x.stride[0] : 0) + c * a.x.stride[1], a.x,
                    p - static_cast<int>(a.geometry.pad_top), q - static_cast<int>(a.geometry.pad_left), live && c < channels,
                    v + row * kRow + col);
    GRAFT_UNROLL for (int i = 0; i < 16; ++i) w[i * kPosition + row * kRow + col] =
        c < channels && k0 + col < filters ? u[(std::int64_t{c} * 16 + i) * filters + k0 + col] : 0.0f;
    __syncthreads();
    GRAFT_UNROLL for (int k = 0; k < kDeep; ++k) {
      float x8[8], w8[8];
      load8(v + position * kPosition + k * kRow + 4 * tx, x8);
      load8(w + position * kPosition + k * kRow + 4 * ty, w8);
      GRAFT_UNROLL for (int i = 0; i < 8; ++i) GRAFT_UNROLL for (int j = 0; j < 8; ++j) sum[i][j] += x8[i] * w8[j];
    }
    __syncthreads();
  }
  GRAFT_UNROLL for (int part = 0; part < 4;
                    ++part) {  // two of each thread's 8 filters at a time, so that the sums fit where the patches were
    GRAFT_UNROLL for (int j = 0; j < 2; ++j) GRAFT_UNROLL for (int i = 0; i < 8; ++i)
        v[position * kPosition + (2 * ty + j) * kRow + 4 * tx + i % 4 + i / 4 * 16] = sum[i][2 * part + j];
    __syncthreads();
    const int of = 2 * part + row % 2, k = k0 + of / 4 * 16 + row / 2 * 4 + of % 4;  // row = 2 ty + j of whoever summed it
    if (live && k < filters) {
      float y[2][2];
      transform_back(v + row * kRow + col, y);
      const float bias = a.bias.data ? a.bias.as<const float>()[k * a.bias.stride[0]] : 0.0f;
      float* to = a.y.as<float>() + n * a.y.stride[0] + k * a.y.stride[1];
      GRAFT_UNROLL for (int r = 0; r < 2; ++r) GRAFT_UNROLL for (int s = 0; s < 2; ++s) {
        float value = y[r][s] + bias;
        if (a.relu && value < 0) value = 0;  // a NaN stays
        if (p + r < a.y.shape[2] && q + s < a.y.shape[3]) to[(p + r) * a.y.stride[2] + (q + s) * a.y.stride[3]] = value;
      }
    }
    __syncthreads();
  }
}

}  // namespace

void conv_winograd(Queue& q, const ConvArgs& a) {
  if (a.y.numel() == 0) return;
  const std::int64_t rows = (a.y.shape[2] + 1) / 2, cols = (a.y.shape[3] + 1) / 2, squares = a.y.shape[0] * rows * cols, k = a.y.shape[1],
                     c = a.x.shape[1];
  float* u = reinterpret_cast<float*>(q.scratch(sizeof(float) * static_cast<std::size_t>(16 * k * c)));
  launch(q, transform_filters, blocks_for(k * c, 128, 0x7fffffff), 128, 0, a.weight, u);
  const dim3 grid(blocks_for(squares, kSquares, 0x7fffffff), blocks_for(k, kFilters));
  launch(q, winograd, grid, kThreads, 0, a, u, static_cast<int>(squares), static_cast<int>(rows), static_cast<int>(cols));
}

}  // namespace graft::GRAFT_SIMT
