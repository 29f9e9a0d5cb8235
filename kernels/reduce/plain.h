// Reductions, running sums and sorting as their definitions: the loops under `ref` (A = double) and `naive` (A = Accum<T>).
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/reduce/fold.h"

namespace graft {

// outputs [begin, end) of outer * inner
template <R op, class T, class A>
constexpr void reduce_walk(const ReduceArgs& a, std::int64_t begin, std::int64_t end) {
  using Out = ReduceOut<op, T>;
  const std::int64_t n = a.in.shape[1], inner = a.in.shape[2];
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t o = i / inner, j = i % inner;
    const T* x = a.in.as<const T>() + o * a.in.stride[0] + j * a.in.stride[2];
    Fold<op, T, A> fold;
    for (std::int64_t k = 0; k < n; ++k) fold.add(static_cast<A>(x[k * a.in.stride[1]]), k);
    a.out.as<Out>()[o * a.out.stride[0] + j * a.out.stride[1]] = reduced<Out>(fold.result(n));
  }
}

template <class T, class A>
constexpr void cumsum_walk(const CumsumArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = a.in.shape[1], inner = a.in.shape[2];
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t o = i / inner, j = i % inner;
    const T* x = a.in.as<const T>() + o * a.in.stride[0] + j * a.in.stride[2];
    T* y = a.out.as<T>() + o * a.out.stride[0] + j * a.out.stride[2];
    Fold<R::sum, T, A> fold;
    for (std::int64_t k = 0; k < n; ++k) {
      fold.add(static_cast<A>(x[k * a.in.stride[1]]), k);
      y[k * a.out.stride[1]] = reduced<T>(fold.v);
    }
  }
}

// a stands before b: smaller (or larger) first, NaN as the largest of all. Strict, so that equal elements keep their order.
template <class T>
constexpr bool before(T a, T b, bool descending) {
  if constexpr (!std::is_integral_v<T>) {
    const auto x = static_cast<Accum<T>>(a), y = static_cast<Accum<T>>(b);
    const bool nx = x != x, ny = y != y;
    if (nx || ny) return descending ? nx && !ny : ny && !nx;
    return descending ? x > y : x < y;
  } else {
    return descending ? a > b : a < b;
  }
}

// rows [begin, end)
template <class T>
void sort_walk(const SortArgs& a, std::int64_t begin, std::int64_t end, bool partial) {
  const std::int64_t n = a.in.shape[1], k = a.values.shape[1];
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.in.as<const T>() + r * a.in.stride[0];
    const std::int64_t step = a.in.stride[1];
    for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
    if (partial) {  // the index decides between equals: the order that a stable sort gives
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int64_t i, std::int64_t j) {
        if (before(x[i * step], x[j * step], a.descending)) return true;
        return i < j && !before(x[j * step], x[i * step], a.descending);
      });
    } else {
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int64_t i, std::int64_t j) { return before(x[i * step], x[j * step], a.descending); });
    }
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t from = order[static_cast<std::size_t>(i)];
      a.values.as<T>()[r * a.values.stride[0] + i * a.values.stride[1]] = x[from * step];
      a.indices.as<std::int64_t>()[r * a.indices.stride[0] + i * a.indices.stride[1]] = from;
    }
  }
}

}  // namespace graft
