// matmul, one thread per element of C, which walks k: the loop of plain.h. The yardstick of the other rungs; any dtype, stride, batch and
// epilogue. Neighbouring threads take neighbouring columns: A is read as a broadcast, B coalesced where it is dense along n. Every product
// asks the caches for both its factors: 2 m n k elements read, m n written.
#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"
#include "kernels/simt/simt.h"

namespace graft::GRAFT_SIMT {
namespace {

// a: [batch, m, k], b: [batch, k, n], c: [batch, m, n], any strides; bias: [n]
template <class T>
__global__ void thread_product(MatmulArgs a) {
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2], all = a.c.shape[0] * m * n, step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < all; e += step) {
    const std::int64_t row = e / n;
    matmul_one<T, Accum<T>>(a, row / m, row % m, e % n);
  }
}

}  // namespace

void matmul_thread_product(Queue& q, const MatmulArgs& a) {
  if (a.c.numel() == 0) return;
  visit_float(a.c.dtype, [&]<class T>() { launch(q, thread_product<T>, blocks_for(a.c.numel(), 256), 256, 0, a); });
}

}  // namespace graft::GRAFT_SIMT
