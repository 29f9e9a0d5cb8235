// matmul as its definition, sums in double. One thread.
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"

namespace graft {

void matmul_ref(Queue&, const MatmulArgs& a) {
  visit_float(a.c.dtype, [&]<class T>() { matmul_walk<T, double>(a, 0, a.c.shape[0] * a.c.shape[1]); });
}

}  // namespace graft
