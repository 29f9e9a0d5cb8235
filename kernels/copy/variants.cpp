#include "kernels/core/loops.h"
#include "kernels/copy/rows.h"

namespace graft {
namespace {

bool half(DType t) { return t == DType::bf16 || t == DType::f16; }

constexpr Limit<CopyArgs> dense_f32_half{"f32 to or from bf16 or f16, runs dense on both sides", [](const CopyArgs& a) {
  if (!((a.in.dtype == DType::f32 && half(a.out.dtype)) || (half(a.in.dtype) && a.out.dtype == DType::f32)))
    return no("not between f32 and a 16-bit float");
  const Runs<2> r = runs_of<2>({&a.out, &a.in});
  if (r.inner > 1 && (r.inner_stride[0] != 1 || r.inner_stride[1] != 1)) return no("inner stride is not 1");
  return yes();
}};

}  // namespace

const Family<CopyArgs>& copy_family() {
  static const Family<CopyArgs> family("copy", {
      host("ref", copy_ref, any<CopyArgs>, 0, "element by element, one thread"),
      host("naive", copy_naive, any<CopyArgs>, 1, "element by element"),
      host("cpu.1_runs", copy_runs, any<CopyArgs>, 10, "merged runs: memcpy, tiles for transpositions"),
      host("cpu.2_simd", copy_simd, dense_f32_half, 20, "f32 to or from 16-bit floats, whole vectors"),
  }, {
      {"0_thread_element", GRAFT_BODIES(copy_thread_element), any<CopyArgs>, 1, "one thread per element"},
  });
  return family;
}

}  // namespace graft
