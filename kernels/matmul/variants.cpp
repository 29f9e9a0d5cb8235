#include "kernels/matmul/rows.h"

namespace graft {
namespace {

constexpr Limit<MatmulArgs> b_rows{"B dense along n", [](const MatmulArgs& a) {
  return a.b.shape[2] <= 1 || a.b.stride[2] == 1 ? yes() : no("B has stride " + std::to_string(a.b.stride[2]) + " along n");
}};
constexpr Limit<MatmulArgs> worth_packing{"m n k at least 512", [](const MatmulArgs& a) {
  return a.c.shape[1] * a.c.shape[2] * a.a.shape[2] >= 512 ? yes() : no("too small to pack");
}};

}  // namespace

const Family<MatmulArgs>& matmul_family() {
  static const Family<MatmulArgs> family("matmul", {
      host("ref", matmul_ref, any<MatmulArgs>, 0, "one product sum after the other, in double"),
      host("naive", matmul_naive, any<MatmulArgs>, 1, "one product sum after the other"),
      host("cpu.1_blocked", matmul_blocked, b_rows, 10, "rows of sums, B read along its rows"),
      host("cpu.2_packed", matmul_packed, worth_packing, 20, "packed panels, register tiles", matmul_packed_scratch),
  }, {
      {"0_naive", GRAFT_BODIES(matmul_thread_product), any<MatmulArgs>, 1, "one thread per element of C"},
  });
  return family;
}

}  // namespace graft
