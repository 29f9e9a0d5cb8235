#include "kernels/optim/rows.h"

namespace graft {
namespace {

constexpr Limit<OptimArgs> one_dtype{"f32 or f64 throughout, dense, no master copy", [](const OptimArgs& a) {
  if (a.param.dtype != DType::f32 && a.param.dtype != DType::f64) return no("parameter is " + std::string(name_of(a.param.dtype)));
  if (a.master.data) return no("a master copy is kept");
  for (const View* v : {&a.param, &a.grad, &a.m, &a.v, &a.v2}) {
    if (!v->data) continue;
    if (v->dtype != a.param.dtype) return no("dtypes differ");
    if (v->shape[0] > 1 && v->stride[0] != 1) return no("a tensor is not dense");
  }
  return yes();
}};

}  // namespace

const Family<OptimArgs>& optim_family() {
  static const Family<OptimArgs> family("optim", {
      host("ref", optim_ref, any<OptimArgs>, 0, "element by element, in double"),
      host("naive", optim_naive, any<OptimArgs>, 1, "element by element"),
      host("cpu.1_simd", optim_simd, one_dtype, 10, "one visit, loops vectorised per target"),
  });
  return family;
}

}  // namespace graft
