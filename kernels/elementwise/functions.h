// What each elementwise operation computes, on numbers: one function for floats of any precision, one for integers (in i64, wrapping).
// constexpr, because nvcc lets device code call that.
#pragma once
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernels/core/activations.h"
#include "kernels/elementwise/elementwise.h"

namespace graft {

using E = ElementwiseOp;

// Results are bool, whatever the operands.
constexpr bool is_predicate(E op) {
  return op == E::logical_not || op == E::isnan || op == E::isinf || (op >= E::eq && op <= E::logical_xor);
}
constexpr bool takes_integers(E op) {
  switch (op) {
    // clang-format off
    case E::neg: case E::abs: case E::sign: case E::square: case E::relu: case E::scale: case E::clamp: case E::fill: case E::logical_not:
    case E::add: case E::sub: case E::mul: case E::floor_div: case E::mod: case E::pow: case E::max: case E::min: case E::axpby:
    case E::eq: case E::ne: case E::lt: case E::le: case E::gt: case E::ge:
    case E::logical_and: case E::logical_or: case E::logical_xor: case E::where: case E::fma:
      // clang-format on
      return true;
    default: return false;
  }
}

template <class A>
constexpr A softplus_of(A x) {
  return (x > 0 ? x : A(0)) + std::log1p(std::exp(-std::abs(x)));
}
// Python's remainder: the sign of the divisor.
template <class A>
constexpr A mod_of(A a, A b) {
  const A r = std::fmod(a, b);
  if (r == 0) return std::copysign(A(0), b);
  return (r < 0) != (b < 0) ? r + b : r;
}
template <class A>
constexpr A floor_div_of(A a, A b) {
  if (b == 0) return a / b;
  const A r = std::fmod(a, b);
  A q = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) q -= 1;
  if (q == 0) return std::copysign(A(0), a / b);
  const A f = std::floor(q);
  return q - f > A(0.5) ? f + 1 : f;
}
inline constexpr double kSqrt2OverPi = 0.79788456080286535588;

template <E op, class A>
constexpr A float_op(A a, A b, A c, A s0, A s1) {
  if constexpr (op == E::neg) return -a;
  else if constexpr (op == E::abs) return std::abs(a);
  else if constexpr (op == E::sign) return a > 0 ? A(1) : a < 0 ? A(-1) : a;
  else if constexpr (op == E::square) return a * a;
  else if constexpr (op == E::sqrt) return std::sqrt(a);
  else if constexpr (op == E::rsqrt) return 1 / std::sqrt(a);
  else if constexpr (op == E::reciprocal) return 1 / a;
  else if constexpr (op == E::exp) return std::exp(a);
  else if constexpr (op == E::expm1) return std::expm1(a);
  else if constexpr (op == E::log) return std::log(a);
  else if constexpr (op == E::log1p) return std::log1p(a);
  else if constexpr (op == E::sin) return std::sin(a);
  else if constexpr (op == E::cos) return std::cos(a);
  else if constexpr (op == E::tanh) return std::tanh(a);
  else if constexpr (op == E::sigmoid) return sigmoid_of(a);
  else if constexpr (op == E::erf) return std::erf(a);
  else if constexpr (op == E::floor) return std::floor(a);
  else if constexpr (op == E::ceil) return std::ceil(a);
  else if constexpr (op == E::round) return std::nearbyint(a);
  else if constexpr (op == E::relu) return relu_of(a);
  else if constexpr (op == E::gelu) return gelu_of(a);
  else if constexpr (op == E::gelu_tanh) return A(0.5) * a * (1 + std::tanh(A(kSqrt2OverPi) * (a + A(0.044715) * a * a * a)));
  else if constexpr (op == E::silu) return silu_of(a);
  else if constexpr (op == E::softplus) return softplus_of(a);
  else if constexpr (op == E::elu) return a > 0 ? a : s0 * std::expm1(a);
  else if constexpr (op == E::leaky_relu) return a > 0 ? a : s0 * a;
  else if constexpr (op == E::hardswish) return a <= -3 ? A(0) * a : a >= 3 ? a : a * (a + 3) / 6;
  else if constexpr (op == E::mish) return a * std::tanh(softplus_of(a));
  else if constexpr (op == E::logical_not) return a == 0;
  else if constexpr (op == E::isnan) return a != a;
  else if constexpr (op == E::isinf) return std::isinf(a);
  else if constexpr (op == E::scale) return s0 * a + s1;
  else if constexpr (op == E::clamp) return a < s0 ? s0 : a > s1 ? s1 : a;
  else if constexpr (op == E::pow_scalar) return std::pow(a, s0);
  else if constexpr (op == E::fill) return s0;
  else if constexpr (op == E::add) return a + b;
  else if constexpr (op == E::sub) return a - b;
  else if constexpr (op == E::mul) return a * b;
  else if constexpr (op == E::div) return a / b;
  else if constexpr (op == E::floor_div) return floor_div_of(a, b);
  else if constexpr (op == E::mod) return mod_of(a, b);
  else if constexpr (op == E::pow) return std::pow(a, b);
  else if constexpr (op == E::max) return a > b || a != a ? a : b;
  else if constexpr (op == E::min) return a < b || a != a ? a : b;
  else if constexpr (op == E::atan2) return std::atan2(a, b);
  else if constexpr (op == E::eq) return a == b;
  else if constexpr (op == E::ne) return a != b;
  else if constexpr (op == E::lt) return a < b;
  else if constexpr (op == E::le) return a <= b;
  else if constexpr (op == E::gt) return a > b;
  else if constexpr (op == E::ge) return a >= b;
  else if constexpr (op == E::logical_and) return a != 0 && b != 0;
  else if constexpr (op == E::logical_or) return a != 0 || b != 0;
  else if constexpr (op == E::logical_xor) return (a != 0) != (b != 0);
  else if constexpr (op == E::axpby) return s0 * a + s1 * b;
  else if constexpr (op == E::relu_grad) return relu_grad_of(a, b);
  else if constexpr (op == E::gelu_grad) return gelu_grad_of(a, b);
  else if constexpr (op == E::gelu_tanh_grad) {
    const A t = std::tanh(A(kSqrt2OverPi) * (b + A(0.044715) * b * b * b));
    return a * (A(0.5) * (1 + t) + A(0.5) * b * (1 - t * t) * A(kSqrt2OverPi) * (1 + A(3 * 0.044715) * b * b));
  } else if constexpr (op == E::silu_grad) return silu_grad_of(a, b);
  else if constexpr (op == E::tanh_grad) return a * (1 - b * b);
  else if constexpr (op == E::sigmoid_grad) return a * (b * (1 - b));
  else if constexpr (op == E::softplus_grad) return a * sigmoid_of(b);
  else if constexpr (op == E::elu_grad) return b > 0 ? a : a * s0 * std::exp(b);
  else if constexpr (op == E::leaky_relu_grad) return b > 0 ? a : a * s0;
  else if constexpr (op == E::hardswish_grad) return b < -3 ? A(0) : b <= 3 ? a * (b / 3 + A(0.5)) : a;
  else if constexpr (op == E::mish_grad) {
    const A t = std::tanh(softplus_of(b));
    return a * (t + b * (1 - t * t) * sigmoid_of(b));
  } else if constexpr (op == E::abs_grad) return b > 0 ? a : b < 0 ? -a : a * b;
  else if constexpr (op == E::clamp_grad) return b >= s0 && b <= s1 ? a : A(0);
  else if constexpr (op == E::where) return a != 0 ? b : c;
  else {
    static_assert(op == E::fma);
    return a * b + c;
  }
}

// Integers compute in i64 and wrap, as the hardware does; a division by zero gives 0, as NumPy's does.
constexpr std::int64_t wrap(std::uint64_t x) { return static_cast<std::int64_t>(x); }
constexpr std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  std::uint64_t r = 1, b = static_cast<std::uint64_t>(base);
  for (; exponent; exponent >>= 1, b *= b)
    if (exponent & 1) r *= b;
  return wrap(r);
}
template <E op>
constexpr std::int64_t integer_op(std::int64_t a, std::int64_t b, std::int64_t c, double s0, double s1) {
  const auto ua = static_cast<std::uint64_t>(a), ub = static_cast<std::uint64_t>(b);
  if constexpr (op == E::neg) return wrap(0 - ua);
  else if constexpr (op == E::abs) return a < 0 ? wrap(0 - ua) : a;
  else if constexpr (op == E::sign) return (a > 0) - (a < 0);
  else if constexpr (op == E::square) return wrap(ua * ua);
  else if constexpr (op == E::relu) return a < 0 ? 0 : a;
  else if constexpr (op == E::scale)
    return wrap(static_cast<std::uint64_t>(static_cast<std::int64_t>(s0)) * ua + static_cast<std::uint64_t>(static_cast<std::int64_t>(s1)));
  else if constexpr (op == E::clamp)
    return static_cast<double>(a) < s0 ? static_cast<std::int64_t>(s0) : static_cast<double>(a) > s1 ? static_cast<std::int64_t>(s1) : a;
  else if constexpr (op == E::fill) return static_cast<std::int64_t>(s0);
  else if constexpr (op == E::logical_not) return a == 0;
  else if constexpr (op == E::add) return wrap(ua + ub);
  else if constexpr (op == E::sub) return wrap(ua - ub);
  else if constexpr (op == E::mul) return wrap(ua * ub);
  else if constexpr (op == E::floor_div) {
    if (b == 0) return 0;
    if (b == -1) return wrap(0 - ua);
    const std::int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
  } else if constexpr (op == E::mod) {
    if (b == 0 || b == -1) return 0;
    const std::int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  } else if constexpr (op == E::pow) return integer_power(a, b);
  else if constexpr (op == E::max) return a > b ? a : b;
  else if constexpr (op == E::min) return a < b ? a : b;
  else if constexpr (op == E::eq) return a == b;
  else if constexpr (op == E::ne) return a != b;
  else if constexpr (op == E::lt) return a < b;
  else if constexpr (op == E::le) return a <= b;
  else if constexpr (op == E::gt) return a > b;
  else if constexpr (op == E::ge) return a >= b;
  else if constexpr (op == E::logical_and) return a != 0 && b != 0;
  else if constexpr (op == E::logical_or) return a != 0 || b != 0;
  else if constexpr (op == E::logical_xor) return (a != 0) != (b != 0);
  else if constexpr (op == E::axpby)
    return wrap(static_cast<std::uint64_t>(static_cast<std::int64_t>(s0)) * ua +
                static_cast<std::uint64_t>(static_cast<std::int64_t>(s1)) * ub);
  else if constexpr (op == E::where) return a != 0 ? b : c;
  else if constexpr (op == E::fma) return wrap(ua * ub + static_cast<std::uint64_t>(c));
  else return 0;  // refused by the limits
}

// A is double for ref, Accum<T> otherwise; integers are always i64.
template <E op, class T, class A>
constexpr auto element_op(T a, T b, T c, double s0, double s1) {
  if constexpr (std::is_integral_v<T>) {
    return integer_op<op>(a, b, c, s0, s1);
  } else {
    return float_op<op, A>(static_cast<A>(a), static_cast<A>(b), static_cast<A>(c), static_cast<A>(s0), static_cast<A>(s1));
  }
}

// f.operator()<op>() for the op at hand.
template <class F>
constexpr void visit_op(E op, F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (void)((static_cast<int>(op) == I ? (f.template operator()<static_cast<E>(I)>(), true) : false) || ...);
  }
  (std::make_integer_sequence<int, static_cast<int>(E::kCount)>());
}

// The dtype that the operands meet in: that of the values, not of `where`'s condition.
inline DType value_dtype(const ElementwiseArgs& a) {
  if (a.op == E::fill) return a.out.dtype;
  return a.op == E::where ? a.in[1].dtype : a.in[0].dtype;
}

// f.operator()<op, T>() for the operation at hand and the type of its values; operations that do not take integers are not made for them.
template <class F>
constexpr void visit_values(const ElementwiseArgs& a, F&& f) {
  visit_op(a.op, [&]<E op>() {
    const auto with_type = [&]<class T>() { f.template operator()<op, T>(); };
    if constexpr (takes_integers(op)) visit(value_dtype(a), with_type);
    else visit_float(value_dtype(a), with_type);
  });
}

}  // namespace graft
