#include <algorithm>

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

// ---- device row ----
constexpr const char* kPieces = "dense, on boundaries of four elements; f64 throughout, or states and master f32, gradient f32 or as the parameter";
constexpr Limit<OptimArgs> pieces{kPieces, [](const OptimArgs& a) {
  const DType wide = a.param.dtype == DType::f64 ? DType::f64 : DType::f32;
  if (a.param.dtype == DType::f64 && a.master.data) return no("an f64 parameter with a master copy");
  if (a.grad.dtype != a.param.dtype && a.grad.dtype != wide) return no("gradient is " + std::string(name_of(a.grad.dtype)));
  for (const View* v : {&a.master, &a.m, &a.v, &a.v2})
    if (v->data && v->dtype != wide) return no("a state or master copy is " + std::string(name_of(v->dtype)));
  for (const View* v : {&a.param, &a.master, &a.grad, &a.m, &a.v, &a.v2}) {
    if (!v->data) continue;
    if (v->shape[0] > 1 && v->stride[0] != 1) return no("a tensor is not dense");
    if (reinterpret_cast<std::uintptr_t>(v->data) % std::min<std::size_t>(16, 4 * size_of(v->dtype)) != 0) return no("a tensor does not begin on a boundary");
  }
  return yes();
}};

}  // namespace

const Family<OptimArgs>& optim_family() {
  static const Family<OptimArgs> family("optim", {
      host("ref", optim_ref, any<OptimArgs>, 0, "element by element, in double"),
      host("naive", optim_naive, any<OptimArgs>, 1, "element by element"),
      host("cpu.1_simd", optim_simd, one_dtype, 10, "one visit, loops vectorised per target"),
  }, {
      {"0_thread_element", GRAFT_BODIES(optim_thread_element), any<OptimArgs>, 1, "one thread per element"},
      {"1_pieces", GRAFT_BODIES(optim_pieces), pieces, 10, "four elements per thread, loads of up to 16 bytes"},
  });
  return family;
}

}  // namespace graft
