#include "kernels/softmax/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }
bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

constexpr Limit<SoftmaxArgs> vectors{"f32, bf16, f16; last axis dense", [](const SoftmaxArgs& a) {
  if (!f32_or_half(a.x.dtype)) return no("x is " + std::string(name_of(a.x.dtype)));
  return dense_last(a.x) && dense_last(a.y) ? yes() : no("last axis is not dense");
}};
constexpr Limit<SoftmaxGradArgs> grad_vectors{"f32, bf16, f16; last axis dense", [](const SoftmaxGradArgs& a) {
  if (!f32_or_half(a.y.dtype)) return no("y is " + std::string(name_of(a.y.dtype)));
  return dense_last(a.y) && dense_last(a.dy) && dense_last(a.dx) ? yes() : no("last axis is not dense");
}};

}  // namespace

const Family<SoftmaxArgs>& softmax_family() {
  static const Family<SoftmaxArgs> family("softmax", {
      host("ref", softmax_ref, any<SoftmaxArgs>, 0, "plain loops, double sums"),
      host("naive", softmax_naive, any<SoftmaxArgs>, 1, "three visits per row"),
      host("cpu.1_simd", softmax_simd, vectors, 10, "three visits per row, whole vectors"),
  });
  return family;
}

const Family<SoftmaxGradArgs>& softmax_grad_family() {
  static const Family<SoftmaxGradArgs> family("softmax_grad", {
      host("ref", softmax_grad_ref, any<SoftmaxGradArgs>, 0, "plain loops, double sums"),
      host("naive", softmax_grad_naive, any<SoftmaxGradArgs>, 1, "two visits per row"),
      host("cpu.1_simd", softmax_grad_simd, grad_vectors, 10, "two visits per row, whole vectors"),
  });
  return family;
}

}  // namespace graft
