#include "kernels/bias_act/rows.h"

namespace graft {
namespace {

bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }
template <class Args>
Verdict lanes(const Args& a, const View& like) {
  if (!f32_or_half(like.dtype)) return no("tensors are " + std::string(name_of(like.dtype)));
  return a.p < 1 ? yes() : no("p is 1: nothing is kept");
}
constexpr const char* kLanes = "f32, bf16, f16; p < 1";
constexpr Limit<BiasActArgs> simd{kLanes, [](const BiasActArgs& a) { return lanes(a, a.x); }};
constexpr Limit<BiasActGradArgs> grad_simd{kLanes, [](const BiasActGradArgs& a) { return lanes(a, a.dy); }};

Verdict on_boundaries(std::initializer_list<const View*> views) {
  for (const View* v : views) {
    if (reinterpret_cast<std::uintptr_t>(v->data) % 16 != 0) return no("a tensor does not begin on a 16-byte boundary");
    if (v->numel() >= std::int64_t{1} << 31) return no("2^31 elements or more");
  }
  return yes();
}
constexpr const char* kVectors = "tensors on 16-byte boundaries, fewer than 2^31 elements";
constexpr Limit<BiasActArgs> vectors{kVectors, [](const BiasActArgs& a) { return on_boundaries({&a.x, &a.residual, &a.y}); }};
constexpr Limit<BiasActGradArgs> grad_vectors{kVectors, [](const BiasActGradArgs& a) { return on_boundaries({&a.x, &a.dy, &a.dx}); }};

}  // namespace

const Family<BiasActArgs>& bias_act_family() {
  static const Family<BiasActArgs> family(
      "bias_act",
      {
          host("ref", bias_act_ref, any<BiasActArgs>, 0, "element by element, in double, one thread"),
          host("naive", bias_act_naive, any<BiasActArgs>, 1, "element by element"),
          host("cpu.1_simd", bias_act_simd, simd, 10, "whole vectors, biases and dropout factors laid out in L1"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(bias_act_thread_element), any<BiasActArgs>, 1, "one thread and one counter per element"},
          {"1_vectors", GRAFT_BODIES(bias_act_vectors), vectors, 10, "16-byte packs, one counter per four elements"},
      });
  return family;
}

const Family<BiasActGradArgs>& bias_act_grad_family() {
  static const Family<BiasActGradArgs> family(
      "bias_act_grad",
      {
          host("ref", bias_act_grad_ref, any<BiasActGradArgs>, 0, "element by element, in double, one thread"),
          host("naive", bias_act_grad_naive, any<BiasActGradArgs>, 1, "element by element"),
          host("cpu.1_simd", bias_act_grad_simd, grad_simd, 10, "whole vectors, biases and dropout factors laid out in L1"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(bias_act_grad_thread_element), any<BiasActGradArgs>, 1,
           "one thread and one counter per element"},
          {"1_vectors", GRAFT_BODIES(bias_act_grad_vectors), grad_vectors, 10, "16-byte packs, one counter per four elements"},
      });
  return family;
}

}  // namespace graft
