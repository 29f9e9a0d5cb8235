#include "kernels/loss/rows.h"

namespace graft {
namespace {

bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }
bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }

constexpr Limit<CrossEntropyArgs> vectors{"f32, bf16, f16; rows dense and not empty", [](const CrossEntropyArgs& a) {
  if (!f32_or_half(a.logits.dtype)) return no("logits are " + std::string(name_of(a.logits.dtype)));
  if (a.logits.shape[1] == 0) return no("no classes");
  return dense_last(a.logits) ? yes() : no("rows are not dense");
}};
constexpr Limit<CrossEntropyGradArgs> grad_vectors{"f32, bf16, f16; rows dense; no class weights", [](const CrossEntropyGradArgs& a) {
  if (!f32_or_half(a.logits.dtype)) return no("logits are " + std::string(name_of(a.logits.dtype)));
  if (a.class_weight.data) return no("class weights");
  return dense_last(a.logits) && dense_last(a.dlogits) ? yes() : no("rows are not dense");
}};

}  // namespace

const Family<CrossEntropyArgs>& cross_entropy_family() {
  static const Family<CrossEntropyArgs> family("cross_entropy", {
      host("ref", cross_entropy_ref, any<CrossEntropyArgs>, 0, "plain loops, double sums"),
      host("naive", cross_entropy_naive, any<CrossEntropyArgs>, 1, "plain loops"),
      host("cpu.1_simd", cross_entropy_simd, vectors, 10, "whole vectors along a row"),
  }, {
      {"0_thread_row", GRAFT_BODIES(cross_entropy_thread_row), any<CrossEntropyArgs>, 1, "one thread per row, two visits"},
  });
  return family;
}

const Family<CrossEntropyGradArgs>& cross_entropy_grad_family() {
  static const Family<CrossEntropyGradArgs> family("cross_entropy_grad", {
      host("ref", cross_entropy_grad_ref, any<CrossEntropyGradArgs>, 0, "plain loops, in double"),
      host("naive", cross_entropy_grad_naive, any<CrossEntropyGradArgs>, 1, "plain loops"),
      host("cpu.1_simd", cross_entropy_grad_simd, grad_vectors, 10, "whole vectors along a row"),
  }, {
      {"0_thread_row", GRAFT_BODIES(cross_entropy_grad_thread_row), any<CrossEntropyGradArgs>, 1, "one thread per row"},
  });
  return family;
}

}  // namespace graft
