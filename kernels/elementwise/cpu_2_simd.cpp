// elementwise with vectors (Highway) on f32, bf16 and f16: 16-bit operands are widened on load and rounded once at the store. Runs as in
// cpu_1_runs.cpp; inner strides are 1, or 0 for a stretched operand. exp, log, tanh and erf come from simd/math-inl.h. The end of a run
// goes through a padded vector with the same arithmetic, so a value does not depend on where a run was cut.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/cpu_2_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"
#include "kernels/simd/activations-inl.h"

#ifndef GRAFT_ELEMENTWISE_SIMD_RUN
#define GRAFT_ELEMENTWISE_SIMD_RUN
namespace graft {
struct SimdRun {
  E op;
  DType dtype;
  void* out;
  const void* in[3];
  bool stretched[3];  // one value for the whole run
  std::int64_t count;
  float s0, s1;
};
}  // namespace graft
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {

constexpr bool vectorised(E op) {
  switch (op) {
    // clang-format off
    case E::neg: case E::abs: case E::square: case E::sqrt: case E::rsqrt: case E::reciprocal: case E::exp: case E::log: case E::tanh:
    case E::sigmoid: case E::erf: case E::relu: case E::gelu: case E::gelu_tanh: case E::silu: case E::leaky_relu: case E::scale: case E::clamp:
    case E::fill: case E::add: case E::sub: case E::mul: case E::div: case E::max: case E::min: case E::axpby: case E::relu_grad:
    case E::gelu_grad: case E::gelu_tanh_grad: case E::silu_grad: case E::tanh_grad: case E::sigmoid_grad: case E::leaky_relu_grad: case E::fma:
      // clang-format on
      return true;
    default: return false;
  }
}

template <E op>
HWY_INLINE F32Vec vector_op(F32 d, F32Vec a, F32Vec b, F32Vec c, F32Vec s0, F32Vec s1) {
  const auto zero = hn::Zero(d), one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  (void)zero, (void)one, (void)half, (void)b, (void)c, (void)s0, (void)s1;
  if constexpr (op == E::neg) return hn::Neg(a);
  else if constexpr (op == E::abs) return hn::Abs(a);
  else if constexpr (op == E::square) return hn::Mul(a, a);
  else if constexpr (op == E::sqrt) return hn::Sqrt(a);
  else if constexpr (op == E::rsqrt) return hn::Div(one, hn::Sqrt(a));
  else if constexpr (op == E::reciprocal) return hn::Div(one, a);
  else if constexpr (op == E::exp) return exp_f32(d, a);
  else if constexpr (op == E::log) return log_f32(d, a);
  else if constexpr (op == E::tanh) return tanh_f32(d, a);
  else if constexpr (op == E::sigmoid) return sigmoid_f32(d, a);
  else if constexpr (op == E::erf) return erf_f32(d, a);
  else if constexpr (op == E::relu) return relu_f32(d, a);
  else if constexpr (op == E::gelu) return gelu_f32(d, a);
  else if constexpr (op == E::gelu_tanh) {
    const auto cube = hn::Mul(hn::Mul(a, a), hn::Mul(a, hn::Set(d, 0.044715f)));
    return hn::Mul(hn::Mul(half, a), hn::Add(one, tanh_f32(d, hn::Mul(hn::Set(d, static_cast<float>(kSqrt2OverPi)), hn::Add(a, cube)))));
  } else if constexpr (op == E::silu) return silu_f32(d, a);
  else if constexpr (op == E::leaky_relu) return hn::IfThenElse(hn::Gt(a, zero), a, hn::Mul(s0, a));
  else if constexpr (op == E::scale) return hn::Add(hn::Mul(s0, a), s1);
  else if constexpr (op == E::clamp) return hn::IfThenElse(hn::Lt(a, s0), s0, hn::IfThenElse(hn::Gt(a, s1), s1, a));
  else if constexpr (op == E::fill) return s0;
  else if constexpr (op == E::add) return hn::Add(a, b);
  else if constexpr (op == E::sub) return hn::Sub(a, b);
  else if constexpr (op == E::mul) return hn::Mul(a, b);
  else if constexpr (op == E::div) return hn::Div(a, b);
  else if constexpr (op == E::max) return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b);
  else if constexpr (op == E::min) return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b);
  else if constexpr (op == E::axpby) return hn::Add(hn::Mul(s0, a), hn::Mul(s1, b));
  else if constexpr (op == E::relu_grad) return relu_grad_f32(d, a, b);
  else if constexpr (op == E::gelu_grad) return gelu_grad_f32(d, a, b);
  else if constexpr (op == E::gelu_tanh_grad) {
    const auto bb = hn::Mul(b, b);
    const auto k = hn::Set(d, static_cast<float>(kSqrt2OverPi));
    const auto t = tanh_f32(d, hn::Mul(k, hn::MulAdd(hn::Mul(bb, b), hn::Set(d, 0.044715f), b)));
    const auto slope = hn::Mul(hn::NegMulAdd(t, t, one), hn::Mul(k, hn::MulAdd(bb, hn::Set(d, 3 * 0.044715f), one)));
    return hn::Mul(a, hn::Mul(half, hn::Add(hn::Add(one, t), hn::Mul(b, slope))));
  } else if constexpr (op == E::silu_grad) return silu_grad_f32(d, a, b);
  else if constexpr (op == E::tanh_grad) return hn::Mul(a, hn::Sub(one, hn::Mul(b, b)));
  else if constexpr (op == E::sigmoid_grad) return hn::Mul(a, hn::Mul(b, hn::Sub(one, b)));
  else if constexpr (op == E::leaky_relu_grad) return hn::IfThenElse(hn::Gt(b, zero), a, hn::Mul(a, s0));
  else {
    static_assert(op == E::fma);
    return hn::Add(hn::Mul(a, b), c);
  }
}

template <E op, class T>
void run_typed(const SimdRun& r) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const int n = arity(op);
  T* out = static_cast<T*>(r.out);
  const T* in[3];
  F32Vec fixed[3] = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int k = 0; k < n; ++k) {
    in[k] = static_cast<const T*>(r.in[k]);
    if (r.stretched[k]) fixed[k] = hn::Set(d, static_cast<float>(*in[k]));
  }
  const auto s0 = hn::Set(d, r.s0), s1 = hn::Set(d, r.s1);
  std::int64_t i = 0;
  for (; i + lanes <= r.count; i += lanes) {
    const auto a = n < 1 || r.stretched[0] ? fixed[0] : load_f32(d, in[0] + i);
    const auto b = n < 2 || r.stretched[1] ? fixed[1] : load_f32(d, in[1] + i);
    const auto c = n < 3 || r.stretched[2] ? fixed[2] : load_f32(d, in[2] + i);
    store_f32(d, vector_op<op>(d, a, b, c, s0, s1), out + i);
  }
  if (const std::int64_t left = r.count - i; left > 0) {
    T tail[3][HWY_MAX_BYTES / 4] = {};
    F32Vec v[3] = {fixed[0], fixed[1], fixed[2]};
    for (int k = 0; k < n; ++k) {
      if (r.stretched[k]) continue;
      for (std::int64_t j = 0; j < left; ++j) tail[k][j] = in[k][i + j];
      v[k] = load_f32(d, tail[k]);
    }
    store_f32(d, vector_op<op>(d, v[0], v[1], v[2], s0, s1), tail[0]);
    for (std::int64_t j = 0; j < left; ++j) out[i + j] = tail[0][j];
  }
}

void run_any(const SimdRun& r) {
  visit_op(r.op, [&]<E op>() {
    if constexpr (vectorised(op)) {
      if (r.dtype == DType::f32) run_typed<op, float>(r);
      else if (r.dtype == DType::bf16) run_typed<op, bf16>(r);
      else run_typed<op, f16>(r);
    }
  });
}
bool has_vector_op(E op) { return vectorised(op); }

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {
HWY_EXPORT(run_any);
HWY_EXPORT(has_vector_op);

bool has_vector_form(E op) { return HWY_DYNAMIC_DISPATCH(has_vector_op)(op); }

void elementwise_simd(Queue& q, const ElementwiseArgs& a) {
  const int n = arity(a.op);
  const Runs<4> r = runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
  const auto run = HWY_DYNAMIC_DISPATCH(run_any);
  const auto size = static_cast<std::int64_t>(size_of(a.out.dtype));
  each_run(q.pool(), r, 8192, [&](const std::array<std::int64_t, 4>& o, std::int64_t count) {
    SimdRun s{a.op, a.out.dtype, a.out.as<std::byte>() + o[0] * size, {}, {}, count, static_cast<float>(a.s0), static_cast<float>(a.s1)};
    for (int k = 0; k < n; ++k) {
      s.in[k] = a.in[k].as<const std::byte>() + o[static_cast<std::size_t>(k) + 1] * size;
      s.stretched[k] = r.inner_stride[static_cast<std::size_t>(k) + 1] == 0 && r.inner > 1;
    }
    run(s);
  });
}
}  // namespace graft
#endif
