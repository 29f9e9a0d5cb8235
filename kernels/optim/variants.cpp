#include <algorithm>

#include "kernels/optim/rows.h"

namespace graft {
namespace {

bool dense(const View& v) { return v.shape[0] <= 1 || v.stride[0] == 1; }

Verdict one_dtype_of(const OptimTensors& a) {
  if (a.param.dtype != DType::f32 && a.param.dtype != DType::f64) return no("parameter is " + std::string(name_of(a.param.dtype)));
  if (a.master.data) return no("a master copy is kept");
  for (const View* v : {&a.param, &a.grad, &a.m, &a.v, &a.v2}) {
    if (!v->data) continue;
    if (v->dtype != a.param.dtype) return no("dtypes differ");
    if (!dense(*v)) return no("a tensor is not dense");
  }
  return yes();
}
template <class F>
Verdict each_tensor(const OptimMultiArgs& a, F&& verdict) {
  for (const OptimTensors& t : a.tensors)
    if (const Verdict v = verdict(t); !v) return v;
  return yes();
}
constexpr const char* kOneDtype = "f32 or f64 throughout, dense, no master copy";
constexpr Limit<OptimArgs> one_dtype{kOneDtype, [](const OptimArgs& a) { return one_dtype_of(a); }};
constexpr Limit<OptimMultiArgs> one_dtype_each{kOneDtype, [](const OptimMultiArgs& a) { return each_tensor(a, one_dtype_of); }};

// ---- device rows ----
Verdict streams(const OptimTensors& a) {
  const DType wide = a.param.dtype == DType::f64 ? DType::f64 : DType::f32;
  if (a.param.dtype == DType::f64 && a.master.data) return no("an f64 parameter with a master copy");
  if (a.grad.dtype != a.param.dtype && a.grad.dtype != wide) return no("gradient is " + std::string(name_of(a.grad.dtype)));
  for (const View* v : {&a.master, &a.m, &a.v, &a.v2})
    if (v->data && v->dtype != wide) return no("a state or master copy is " + std::string(name_of(v->dtype)));
  for (const View* v : {&a.param, &a.master, &a.grad, &a.m, &a.v, &a.v2})
    if (v->data && !dense(*v)) return no("a tensor is not dense");
  return yes();
}
constexpr const char* kPieces =
    "dense, on boundaries of four elements; f64 throughout, or states and master f32, gradient f32 or as the parameter";
constexpr Limit<OptimArgs> pieces{kPieces, [](const OptimArgs& a) {
                                    if (const Verdict v = streams(a); !v) return v;
                                    for (const View* v : {&a.param, &a.master, &a.grad, &a.m, &a.v, &a.v2}) {
                                      const std::size_t boundary = std::min<std::size_t>(16, 4 * size_of(v->dtype));
                                      if (v->data && reinterpret_cast<std::uintptr_t>(v->data) % boundary != 0)
                                        return no("a tensor does not begin on a boundary");
                                    }
                                    return yes();
                                  }};
constexpr Limit<OptimMultiArgs> chunks{"dense; f64 throughout, or states and master f32, gradient f32 or as the parameter",
                                       [](const OptimMultiArgs& a) { return each_tensor(a, streams); }};

}  // namespace

const Family<OptimArgs>& optim_family() {
  static const Family<OptimArgs> family(
      "optim",
      {
          host("ref", optim_ref, any<OptimArgs>, 0, "element by element, in double"),
          host("naive", optim_naive, any<OptimArgs>, 1, "element by element"),
          host("cpu.1_simd", optim_simd, one_dtype, 10, "one visit, loops vectorised per target"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(optim_thread_element), any<OptimArgs>, 1, "one thread per element"},
          {"1_pieces", GRAFT_BODIES(optim_pieces), pieces, 10, "four elements per thread, loads of up to 16 bytes"},
      });
  return family;
}

const Family<OptimMultiArgs>& optim_multi_family() {
  static const Family<OptimMultiArgs> family(
      "optim_multi",
      {
          host("ref", optim_multi_ref, any<OptimMultiArgs>, 0, "tensor by tensor, in double"),
          host("naive", optim_multi_naive, any<OptimMultiArgs>, 1, "tensor by tensor, element by element"),
          host("cpu.1_simd", optim_multi_simd, one_dtype_each, 10, "one parallel region over all tensors, loops vectorised per target"),
      },
      {
          {"0_tensors", GRAFT_BODIES(optim_multi_tensors), any<OptimMultiArgs>, 1, "a launch per tensor, one thread per element"},
          {"2_chunks", GRAFT_BODIES(optim_multi_chunks), chunks, 20, "a launch for 64 tensors, a block per 8192 elements of one"},
      });
  return family;
}

const Family<SumSquaresMultiArgs>& sum_squares_multi_family() {
  static const Family<SumSquaresMultiArgs> family(
      "sum_squares_multi",
      {
          host("ref", sum_squares_multi_ref, any<SumSquaresMultiArgs>, 0, "one sum in long double"),
          host("naive", sum_squares_multi_naive, any<SumSquaresMultiArgs>, 1, "one sum"),
          host("cpu.1_simd", sum_squares_multi_simd, any<SumSquaresMultiArgs>, 10,
               "one parallel region over all tensors, 16 sums side by side", squares_scratch),
      },
      {
          {"0_tensors", GRAFT_BODIES(sum_squares_multi_tensors), any<SumSquaresMultiArgs>, 1, "a launch and a block per tensor"},
          {"2_chunks", GRAFT_BODIES(sum_squares_multi_chunks), any<SumSquaresMultiArgs>, 20,
           "a launch for 192 tensors, a block per 8192 elements", squares_scratch},
      });
  return family;
}

}  // namespace graft
