// What one element is. The definition under all scalar rows.
#pragma once
#include "kernels/bias_act/bias_act.h"
#include "kernels/core/activations.h"
#include "kernels/core/counters.h"

namespace graft {

template <ActKind act, class A>
constexpr A act_of(A v) {
  if constexpr (act == ActKind::relu) return relu_of(v);
  else if constexpr (act == ActKind::gelu) return gelu_of(v);
  else if constexpr (act == ActKind::silu) return silu_of(v);
  else return v;
}
template <ActKind act, class A>
constexpr A act_grad_of(A dy, A v) {
  if constexpr (act == ActKind::relu) return relu_grad_of(dy, v);
  else if constexpr (act == ActKind::gelu) return gelu_grad_of(dy, v);
  else if constexpr (act == ActKind::silu) return silu_grad_of(dy, v);
  else return dy;
}
template <class F>
constexpr void visit_act(ActKind act, F&& f) {
  switch (act) {
    case ActKind::none: f.template operator()<ActKind::none>(); break;
    case ActKind::relu: f.template operator()<ActKind::relu>(); break;
    case ActKind::gelu: f.template operator()<ActKind::gelu>(); break;
    case ActKind::silu: f.template operator()<ActKind::silu>(); break;
  }
}

// The dropout of a call, in the accumulation type.
template <class A>
struct Dropping {
  bool any, all;
  std::uint32_t threshold;
  A scale;
  template <class Args>
  explicit constexpr Dropping(const Args& a)
      : any(a.p > 0), all(a.p >= 1), threshold(dropout_threshold(a.p)), scale(static_cast<A>(1 / (1 - a.p))) {}
  constexpr A operator()(A v, std::uint32_t word) const { return !all && word >= threshold ? v * scale : A(0); }
};

// x[i] + bias, where they are
template <class T, class A>
constexpr A with_bias(const View& x, const View& bias, std::int64_t i) {
  const A v = static_cast<A>(x.as<const T>()[i]);
  return bias.data ? v + static_cast<A>(bias.as<const T>()[i / x.shape[2] % x.shape[1]]) : v;
}
template <ActKind act, class T, class A>
constexpr void bias_act_one(const BiasActArgs& a, const Dropping<A>& drop, const Counters& counters, std::int64_t i) {
  A v = act_of<act>(with_bias<T, A>(a.x, a.bias, i));
  if (drop.any) v = drop(v, counters[i / 4][static_cast<std::size_t>(i % 4)]);
  if (a.residual.data) v += static_cast<A>(a.residual.as<const T>()[i]);
  a.y.as<T>()[i] = static_cast<T>(v);
}
template <ActKind act, class T, class A>
constexpr void bias_act_grad_one(const BiasActGradArgs& a, const Dropping<A>& drop, const Counters& counters, std::int64_t i) {
  A g = static_cast<A>(a.dy.as<const T>()[i]);
  if (drop.any) g = drop(g, counters[i / 4][static_cast<std::size_t>(i % 4)]);
  if constexpr (act != ActKind::none) g = act_grad_of<act>(g, with_bias<T, A>(a.x, a.bias, i));
  a.dx.as<T>()[i] = static_cast<T>(g);
}

// elements [begin, end)
template <class T, class A>
void bias_act_walk(const BiasActArgs& a, std::int64_t begin, std::int64_t end) {
  const Dropping<A> drop(a);
  const Counters counters = Counters(a).here();
  visit_act(a.act, [&]<ActKind act>() {
    for (std::int64_t i = begin; i < end; ++i) bias_act_one<act, T, A>(a, drop, counters, i);
  });
}
template <class T, class A>
void bias_act_grad_walk(const BiasActGradArgs& a, std::int64_t begin, std::int64_t end) {
  const Dropping<A> drop(a);
  const Counters counters = Counters(a).here();
  visit_act(a.act, [&]<ActKind act>() {
    for (std::int64_t i = begin; i < end; ++i) bias_act_grad_one<act, T, A>(a, drop, counters, i);
  });
}

}  // namespace graft
