// What a reduction keeps while it walks an axis: `add` one element, `merge` a fold of later elements, `result` over n elements.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/reduce/reduce.h"

namespace graft {

using R = ReduceOp;

constexpr bool is_index(R op) { return op == R::argmax || op == R::argmin; }
constexpr bool is_extreme(R op) { return op == R::max || op == R::min || is_index(op); }

// A: double for ref, Accum<T> otherwise. Integers wrap, as the hardware does.
template <R op, class T, class A>
struct Fold {
  A v = op == R::prod || op == R::all     ? A(1)
        : op == R::max || op == R::argmax ? lowest()
        : op == R::min || op == R::argmin ? highest()
                                          : A(0);
  std::int64_t at = -1;

  static constexpr A lowest() {
    if constexpr (std::is_integral_v<A>) return std::numeric_limits<A>::min();
    else return -std::numeric_limits<A>::infinity();
  }
  static constexpr A highest() {
    if constexpr (std::is_integral_v<A>) return std::numeric_limits<A>::max();
    else return std::numeric_limits<A>::infinity();
  }
  constexpr void add(A x, std::int64_t i) {
    if constexpr (op == R::sum || op == R::mean) v = plus(v, x);
    else if constexpr (op == R::sum_of_squares) v = plus(v, times(x, x));
    else if constexpr (op == R::prod) v = times(v, x);
    else if constexpr (op == R::any) v = A(v != 0 || x != 0);
    else if constexpr (op == R::all) v = A(v != 0 && x != 0);
    else if constexpr (op == R::max) v = x > v || x != x ? x : v;
    else if constexpr (op == R::min) v = x < v || x != x ? x : v;
    else take(x, i);
  }
  constexpr void merge(const Fold& o) {
    if constexpr (op == R::sum_of_squares) v = plus(v, o.v);
    else if constexpr (is_index(op)) {
      if (o.at >= 0) take(o.v, o.at);
    } else add(o.v, 0);
  }
  constexpr auto result(std::int64_t n) const {
    if constexpr (is_index(op)) return at;
    else if constexpr (op == R::mean) return v / static_cast<A>(n);
    else return v;
  }

 private:
  // The extreme with the smallest index; a NaN beats every number and the first NaN stays.
  constexpr void take(A x, std::int64_t i) {
    const bool better = op == R::argmax ? x > v : x < v;
    if (at < 0 || (v == v && (x != x || better)) || (i < at && (x == v || (x != x && v != v)))) {
      v = x;
      at = i;
    }
  }
  static constexpr A plus(A a, A b) {
    if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else return a + b;
  }
  static constexpr A times(A a, A b) {
    if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else return a * b;
  }
};

// f.operator()<op, T>() for the pairs that exist.
template <class F>
void visit_reduce(const ReduceArgs& a, F&& f) {
  visit(a.in.dtype, [&]<class T>() {
    constexpr bool real = !std::is_integral_v<T>, boolean = std::is_same_v<T, bool>;
    switch (a.op) {
      case R::sum:
        if constexpr (!boolean) f.template operator()<R::sum, T>();
        break;
      case R::mean:
        if constexpr (real) f.template operator()<R::mean, T>();
        break;
      case R::prod:
        if constexpr (!boolean) f.template operator()<R::prod, T>();
        break;
      case R::max: f.template operator()<R::max, T>(); break;
      case R::min: f.template operator()<R::min, T>(); break;
      case R::argmax: f.template operator()<R::argmax, T>(); break;
      case R::argmin: f.template operator()<R::argmin, T>(); break;
      case R::any:
        if constexpr (boolean) f.template operator()<R::any, T>();
        break;
      case R::all:
        if constexpr (boolean) f.template operator()<R::all, T>();
        break;
      case R::sum_of_squares:
        if constexpr (real) f.template operator()<R::sum_of_squares, T>();
        break;
    }
  });
}

// The element type of the output.
template <R op, class T>
using ReduceOut = std::conditional_t<is_index(op) || ((op == R::sum || op == R::prod) && std::is_integral_v<T>), std::int64_t, T>;

template <class Out, class V>
constexpr Out reduced(V v) {
  if constexpr (std::is_same_v<Out, bool>) return v != 0;
  else return static_cast<Out>(v);
}

}  // namespace graft
