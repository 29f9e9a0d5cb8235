// What element i of a call is, by the words at counter position + i/4. The definition under `ref` and `naive`.
#pragma once
#include <cmath>

#include "kernels/core/counters.h"
#include "kernels/random/box_muller.h"
#include "kernels/random/random.h"

namespace graft {

// The value in double; the store rounds it to the output's dtype. Uniforms of f64 outputs use 53 bits of two lanes, others 24 of one.
constexpr double random_value(const RandomArgs& a, const PhiloxWords& w, int lane) {
  switch (a.kind) {
    case RandomKind::uniform: {
      const double u = a.out.dtype == DType::f64 ? unit_double(w[static_cast<std::size_t>(lane)], w[static_cast<std::size_t>(lane ^ 1)])
                                                 : static_cast<double>(unit_float(w[static_cast<std::size_t>(lane)]));
      return (a.a + Unfused(a.b - a.a) * u).v;
    }
    case RandomKind::normal: {  // lanes 0 and 1 share a radius and an angle, 2 and 3 the next
      const auto pair = static_cast<std::size_t>(lane & 2);
      const Normals both = box_muller(w[pair], w[pair + 1], a.a, a.b);
      return lane & 1 ? both.second : both.first;
    }
    case RandomKind::bernoulli: return static_cast<double>(unit_float(w[static_cast<std::size_t>(lane)])) < a.a ? 1 : 0;
    case RandomKind::integer: {
      const auto range = static_cast<std::uint64_t>(static_cast<std::int64_t>(a.b) - static_cast<std::int64_t>(a.a));
      const std::uint64_t x = std::uint64_t{w[static_cast<std::size_t>(lane)]} << 32 | w[static_cast<std::size_t>(lane ^ 1)];
      return a.a + static_cast<double>(static_cast<std::uint64_t>(static_cast<unsigned __int128>(x) * range >> 64));
    }
  }
  return 0;
}

// The four values of a counter; a pair of normals is computed once.
constexpr void random_four(const RandomArgs& a, const PhiloxWords& w, double (&to)[4]) {
  if (a.kind == RandomKind::normal) {
    for (int pair = 0; pair < 4; pair += 2) {
      const Normals both = box_muller(w[static_cast<std::size_t>(pair)], w[static_cast<std::size_t>(pair + 1)], a.a, a.b);
      to[pair] = both.first;
      to[pair + 1] = both.second;
    }
  } else {
    for (int lane = 0; lane < 4; ++lane) to[lane] = random_value(a, w, lane);
  }
}

template <class T>
constexpr T random_store(double v) {
  if constexpr (std::is_same_v<T, bool>) return v != 0;
  else if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return T(static_cast<float>(v));
  else return static_cast<T>(v);
}

// elements [begin, end)
template <class T>
constexpr void random_walk(const RandomArgs& a, std::int64_t begin, std::int64_t end) {
  const Counters counters = Counters(a).here();
  for (std::int64_t i = begin; i < end; ++i) {
    const auto w = counters[i / 4];
    a.out.as<T>()[i] = random_store<T>(random_value(a, w, static_cast<int>(i % 4)));
  }
}

template <class T, class A>
constexpr void dropout_walk(const DropoutArgs& a, std::int64_t begin, std::int64_t end) {
  const std::uint32_t threshold = dropout_threshold(a.p);
  const A scale = static_cast<A>(1 / (1 - a.p));
  const Counters counters = Counters(a).here();
  for (std::int64_t i = begin; i < end; ++i) {
    const auto w = counters[i / 4];
    const bool keep = a.p < 1 && w[static_cast<std::size_t>(i % 4)] >= threshold;
    a.y.as<T>()[i] = keep ? static_cast<T>(static_cast<A>(a.x.as<const T>()[i]) * scale) : T(0);
  }
}

}  // namespace graft
