// One element's update, in the order of operations of torch.optim's single-tensor path (Lion: Chen et al. 2023, algorithm 2).
#pragma once
#include <cmath>

#include "kernels/optim/optim.h"

namespace graft {

// What does not depend on the element. By value it is computed once, on the host; from device memory by every thread, by the same
// conversions.
template <class A>
struct OptimStep {
  A lr, decay, keep_weight, scale, momentum, one_minus_dampening, beta1, beta2, one_minus_beta1, one_minus_beta2, eps, step_size,
      bias2_sqrt;
  bool first, use_momentum, maximize, nesterov, amsgrad, centered;

  explicit OptimStep(const OptimRule& a)
      : decay(static_cast<A>(a.weight_decay)),
        momentum(static_cast<A>(a.momentum)),
        one_minus_dampening(static_cast<A>(1 - a.dampening)),
        beta1(static_cast<A>(a.beta1)),
        beta2(static_cast<A>(a.beta2)),
        one_minus_beta1(static_cast<A>(1 - a.beta1)),
        one_minus_beta2(static_cast<A>(1 - a.beta2)),
        eps(static_cast<A>(a.eps)),
        use_momentum(a.momentum != 0),
        maximize(a.maximize),
        nesterov(a.nesterov),
        amsgrad(a.amsgrad),
        centered(a.centered) {
    set(optim_scalars(a).data());
  }
  // s: [kOptimScalars]
  constexpr void set(const double* s) {
    lr = static_cast<A>(s[kLr]);
    keep_weight = static_cast<A>(s[kKeepWeight]);
    scale = static_cast<A>(maximize ? -s[kGradScale] : s[kGradScale]);
    step_size = static_cast<A>(s[kStepSize]);
    bias2_sqrt = static_cast<A>(s[kBias2Sqrt]);
    first = s[kFirstStep] != 0;
  }
};

// p: weight; g: gradient; m, v, v2: state, see OptimTensors.
template <OptimKind kind, class A>
constexpr void optim_update(const OptimStep<A>& s, A& p, A g, A& m, A& v, A& v2) {
  g *= s.scale;
  if constexpr (kind == OptimKind::sgd) {
    g += s.decay * p;
    if (s.use_momentum) {
      m = s.first ? g : s.momentum * m + s.one_minus_dampening * g;
      g = s.nesterov ? g + s.momentum * m : m;
    }
    p -= s.lr * g;
  } else if constexpr (kind == OptimKind::adam || kind == OptimKind::adamw) {
    if constexpr (kind == OptimKind::adamw) p *= s.keep_weight;
    else g += s.decay * p;
    m += s.one_minus_beta1 * (g - m);
    v = s.beta2 * v + s.one_minus_beta2 * g * g;
    if (s.amsgrad) v2 = v2 > v ? v2 : v;
    const A denominator = std::sqrt(s.amsgrad ? v2 : v) / s.bias2_sqrt + s.eps;
    p -= s.step_size * (m / denominator);
  } else if constexpr (kind == OptimKind::rmsprop) {
    g += s.decay * p;
    v = s.beta2 * v + s.one_minus_beta2 * g * g;
    A average;
    if (s.centered) {
      v2 += s.one_minus_beta2 * (g - v2);
      average = std::sqrt(v - v2 * v2) + s.eps;
    } else {
      average = std::sqrt(v) + s.eps;
    }
    if (s.use_momentum) {
      m = s.momentum * m + g / average;
      p -= s.lr * m;
    } else {
      p -= s.lr * (g / average);
    }
  } else if constexpr (kind == OptimKind::adagrad) {
    g += s.decay * p;
    v += g * g;
    p -= s.lr * (g / (std::sqrt(v) + s.eps));
  } else {
    static_assert(kind == OptimKind::lion);
    p *= s.keep_weight;
    const A direction = s.beta1 * m + s.one_minus_beta1 * g;
    p -= s.lr * (direction > 0 ? A(1) : direction < 0 ? A(-1) : direction);
    m = s.beta2 * m + s.one_minus_beta2 * g;
  }
}

template <class F>
constexpr void visit_optim(OptimKind k, F&& f) {
  switch (k) {
    case OptimKind::sgd: f.template operator()<OptimKind::sgd>(); break;
    case OptimKind::adam: f.template operator()<OptimKind::adam>(); break;
    case OptimKind::adamw: f.template operator()<OptimKind::adamw>(); break;
    case OptimKind::rmsprop: f.template operator()<OptimKind::rmsprop>(); break;
    case OptimKind::adagrad: f.template operator()<OptimKind::adagrad>(); break;
    case OptimKind::lion: f.template operator()<OptimKind::lion>(); break;
  }
}

// An element of any float dtype, read and written in A.
template <class A>
constexpr A optim_load(const View& v, std::int64_t i) {
  return visit_float(v.dtype, [&]<class T>() { return static_cast<A>(v.as<const T>()[i * v.stride[0]]); });
}
template <class A>
constexpr void optim_store(const View& v, std::int64_t i, A x) {
  visit_float(v.dtype, [&]<class T>() { v.as<T>()[i * v.stride[0]] = static_cast<T>(x); });
}

// element i: any mixture of dtypes
template <OptimKind kind, class A>
constexpr void optim_one(const OptimTensors& a, const OptimStep<A>& s, std::int64_t i) {
  const View& weight = a.master.data ? a.master : a.param;
  A p = optim_load<A>(weight, i), m = a.m.data ? optim_load<A>(a.m, i) : A(0), v = a.v.data ? optim_load<A>(a.v, i) : A(0);
  A v2 = a.v2.data ? optim_load<A>(a.v2, i) : A(0);
  optim_update<kind, A>(s, p, optim_load<A>(a.grad, i), m, v, v2);
  optim_store(weight, i, p);
  if (a.master.data) optim_store(a.param, i, p);
  if (a.m.data) optim_store(a.m, i, m);
  if (a.v.data) optim_store(a.v, i, v);
  if (a.v2.data) optim_store(a.v2, i, v2);
}
// elements [begin, end)
template <class A>
void optim_walk(OptimKind kind, const OptimTensors& a, const OptimStep<A>& s, std::int64_t begin, std::int64_t end) {
  visit_optim(kind, [&]<OptimKind k>() {
    for (std::int64_t i = begin; i < end; ++i) optim_one<k, A>(a, s, i);
  });
}

// The dtype of the weights that are updated decides the arithmetic.
inline DType optim_dtype(const OptimTensors& a) { return a.master.data ? a.master.dtype : a.param.dtype; }
template <class A>
OptimStep<A> host_step(const OptimMultiArgs& a) {  // of a queue whose memory is the host's
  OptimStep<A> s(a);
  if (a.scalars.data) s.set(a.scalars.as<const double>());
  return s;
}

}  // namespace graft
