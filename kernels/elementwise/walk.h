// One element at a time by its row-major position: the loop under `ref` (A = double) and `naive` (A = Accum<T>).
#pragma once
#include "kernels/elementwise/functions.h"

namespace graft {

template <E op, class T, class A>
constexpr void elementwise_walk(const ElementwiseArgs& a, std::int64_t begin, std::int64_t end) {
  using Out = std::conditional_t<is_predicate(op), bool, T>;
  constexpr int n = arity(op);
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t rest = i, to = 0, from[3] = {};
    for (int d = a.out.rank - 1; d >= 0; --d) {
      const std::int64_t c = rest % a.out.shape[d];
      rest /= a.out.shape[d];
      to += c * a.out.stride[d];
      for (int k = 0; k < n; ++k) from[k] += c * a.in[k].stride[d];
    }
    T x[3] = {};
    for (int k = 0; k < n; ++k) {
      if (op == E::where && k == 0) x[0] = static_cast<T>(a.in[0].as<const bool>()[from[0]]);
      else x[k] = a.in[k].as<const T>()[from[k]];
    }
    a.out.as<Out>()[to] = static_cast<Out>(element_op<op, T, A>(x[0], x[1], x[2], a.s0, a.s1));
  }
}

}  // namespace graft
