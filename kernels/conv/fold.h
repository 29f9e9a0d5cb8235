// Adds the partial sums of the weight gradient's ranges (split.h), one thread per element of dweight and dbias, ranges in their order.
#pragma once
#include "kernels/conv/split.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT::conv_fold {

// partial: [ranges][k][taps + 1], taps in the order (r, s, c) where chan_inner, else (c, r, s)
template <class T>
__global__ void fold_ranges(ConvWeightGradArgs a, const float* partial, std::int64_t ranges, bool chan_inner) {
  const std::int64_t taps = a.dweight.shape[1] * a.dweight.shape[2] * a.dweight.shape[3], n = a.dweight.shape[0] * (taps + 1);
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, k = i / (taps + 1), t = i % (taps + 1);
  if (i >= n || (t == taps && !a.dbias.data)) return;
  float sum = 0;
  for (std::int64_t z = 0; z < ranges; ++z) sum += partial[z * n + i];
  if (t == taps) {
    a.dbias.as<T>()[k * a.dbias.stride[0]] = static_cast<T>(sum);
    return;
  }
  const std::int64_t cs = a.dweight.shape[1], rs = a.dweight.shape[2], ss = a.dweight.shape[3];
  const std::int64_t c = chan_inner ? t % cs : t / ss / rs, r = chan_inner ? t / cs / ss : t / ss % rs,
                     s = chan_inner ? t / cs % ss : t % ss;
  a.dweight.as<T>()[k * a.dweight.stride[0] + c * a.dweight.stride[1] + r * a.dweight.stride[2] + s * a.dweight.stride[3]] =
      static_cast<T>(sum);
}
template <class T>
void fold(Queue& q, const ConvWeightGradArgs& a, const float* partial, std::int64_t ranges, bool chan_inner) {
  launch(q, fold_ranges<T>, blocks_for(a.dweight.shape[0] * (conv_split::taps(a) + 1), 128, 0x7fffffff), 128, 0, a, partial, ranges,
         chan_inner);
}

}  // namespace graft::GRAFT_SIMT::conv_fold
