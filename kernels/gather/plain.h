// gather and scatter element by element. The loops under `ref` and `naive`. A scatter's sums go through the output element itself, so they
// are rounded to its dtype at each addition, as the definition (out += src, in the order of i) says.
#pragma once
#include "kernels/gather/gather.h"

namespace graft {

struct Unheard {
  constexpr void operator()(std::int64_t, std::int64_t) const {}
};
// lines [begin, end) of outer * inner; outside(position, index) hears of indices that name nothing
template <class T, class Outside = Unheard>
constexpr void gather_walk(const GatherArgs& a, std::int64_t begin, std::int64_t end, const Outside& outside = {}) {
  const std::int64_t k = a.out.shape[1], inner = a.out.shape[2];
  for (std::int64_t line = begin; line < end; ++line) {
    const std::int64_t o = line / inner, j = line % inner;
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t at = a.index.as<const std::int64_t>()[o * a.index.stride[0] + i * a.index.stride[1] + j * a.index.stride[2]];
      const bool inside = index_inside(at, a.in.shape[1]);
      if (!inside) outside(index_position(a.index, o, i, j), at);
      a.out.as<T>()[o * a.out.stride[0] + i * a.out.stride[1] + j * a.out.stride[2]] =
          inside ? a.in.as<const T>()[o * a.in.stride[0] + at * a.in.stride[1] + j * a.in.stride[2]] : missing_value<T>();
    }
  }
}

template <class T>
constexpr T scatter_sum(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) return a || b;
  else if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else return static_cast<T>(static_cast<Accum<T>>(a) + static_cast<Accum<T>>(b));
}

template <class T, class Outside = Unheard>
constexpr void scatter_walk(const ScatterArgs& a, std::int64_t begin, std::int64_t end, const Outside& outside = {}) {
  const std::int64_t k = a.src.shape[1], inner = a.src.shape[2];
  for (std::int64_t line = begin; line < end; ++line) {
    const std::int64_t o = line / inner, j = line % inner;
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t at = a.index.as<const std::int64_t>()[o * a.index.stride[0] + i * a.index.stride[1] + j * a.index.stride[2]];
      if (!index_inside(at, a.out.shape[1])) {
        outside(index_position(a.index, o, i, j), at);
        continue;
      }
      T& out = a.out.as<T>()[o * a.out.stride[0] + at * a.out.stride[1] + j * a.out.stride[2]];
      const T v = a.src.as<const T>()[o * a.src.stride[0] + i * a.src.stride[1] + j * a.src.stride[2]];
      out = a.add ? scatter_sum(out, v) : v;
    }
  }
}

}  // namespace graft
