// One element from any dtype to any dtype, by the rules of copy.h. constexpr, because nvcc lets device code call that.
#pragma once
#include <limits>
#include <type_traits>

#include "kernels/core/dtype.h"
#include "kernels/core/view.h"

namespace graft {

template <class T>
inline constexpr bool kIsFloatElement = std::is_floating_point_v<T> || std::is_same_v<T, bf16> || std::is_same_v<T, f16>;

template <class To, class From>
constexpr To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<To, bool>) {
    if constexpr (kIsFloatElement<From>) return static_cast<Accum<From>>(x) != 0;
    else return x != 0;
  } else if constexpr (kIsFloatElement<To>) {
    if constexpr (std::is_same_v<To, double>)
      return static_cast<double>(static_cast<std::conditional_t<kIsFloatElement<From>, Accum<From>, From>>(x));
    else return To(static_cast<float>(x));
  } else if constexpr (kIsFloatElement<From>) {
    // Truncates and saturates; the comparisons are in the source's own precision, where To's bounds may round up to a power of two.
    const auto v = static_cast<Accum<From>>(x);
    using A = decltype(v);
    if (!(v == v)) return 0;
    constexpr auto low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max();
    if (v <= static_cast<A>(low)) return low;
    if (v >= static_cast<A>(high)) return high;
    return static_cast<To>(v);
  } else {
    return static_cast<To>(x);  // integers wrap
  }
}

// element i of the row-major order
template <class From, class To>
constexpr void copy_one(const View& in, const View& out, std::int64_t i) {
  std::int64_t from = 0, to = 0;
  for (int d = out.rank - 1; d >= 0; --d) {
    const std::int64_t c = i % out.shape[d];
    i /= out.shape[d];
    from += c * in.stride[d];
    to += c * out.stride[d];
  }
  out.as<To>()[to] = convert<To>(in.as<const From>()[from]);
}

}  // namespace graft
