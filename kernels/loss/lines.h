// A row of logits in lines of 16 bytes.
#pragma once
#include "kernels/loss/device.h"
#include "kernels/simt/pieces.h"

namespace graft::GRAFT_SIMT {
namespace cross {

template <class T>
using Line = Piece<T, 16 / sizeof(T)>;

// A line's maximum is taken first and the running sum rescaled once, so that an element costs one exp.
template <class T>
__device__ __forceinline__ Running<Accum<T>> join_piece(Running<Accum<T>> v, const Line<T>& p) {
  using A = Accum<T>;
  constexpr int V = 16 / sizeof(T);
  A top = v.top;
  for (int k = 0; k < V; ++k) top = max_or_nan(top, static_cast<A>(p.v[k]));
  A sum = v.top == top ? v.sum : v.sum * std::exp(v.top - top);
  for (int k = 0; k < V; ++k) {
    const A e = static_cast<A>(p.v[k]);
    sum += e == top ? A(1) : std::exp(e - top);  // not exp(-inf - -inf), as in join
  }
  return {top, sum};
}

}  // namespace cross
}  // namespace graft::GRAFT_SIMT
