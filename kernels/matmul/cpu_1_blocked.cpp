// matmul in the order i, l, j with a row of sums beside it: B is read along its rows, 64 columns at a time stay in L1, and the compiler
// vectorises the inner loop. No packing: any strides of A and C, B dense along n. 2 k loads of B per multiply-add chain of a row.
#include <algorithm>

#include "kernels/matmul/plain.h"
#include "kernels/matmul/rows.h"

namespace graft {

void matmul_blocked(Queue& q, const MatmulArgs& a) {
  constexpr std::int64_t kColumns = 64;
  const std::int64_t m = a.c.shape[1], n = a.c.shape[2], k = a.a.shape[2];
  const std::int64_t cost = n * std::max<std::int64_t>(1, k);
  visit_float(a.c.dtype, [&]<class T>() {
    using A = Accum<T>;
    parallel_ranges(q.pool(), a.c.shape[0] * m, std::max<std::int64_t>(1, 100000 / std::max<std::int64_t>(1, cost)),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row) {
                        const std::int64_t batch = row / m, i = row % m;
                        const T* x = a.a.as<const T>() + batch * a.a.stride[0] + i * a.a.stride[1];
                        const T* y = a.b.as<const T>() + batch * a.b.stride[0];
                        T* c = a.c.as<T>() + batch * a.c.stride[0] + i * a.c.stride[1];
                        for (std::int64_t j0 = 0; j0 < n; j0 += kColumns) {
                          const std::int64_t count = std::min(kColumns, n - j0);
                          A sum[kColumns] = {};
                          for (std::int64_t l = 0; l < k; ++l) {
                            const A v = static_cast<A>(x[l * a.a.stride[2]]);
                            const T* b = y + l * a.b.stride[1] + j0;
                            for (std::int64_t j = 0; j < count; ++j) sum[j] += v * static_cast<A>(b[j]);
                          }
                          for (std::int64_t j = 0; j < count; ++j) {
                            T& out = c[(j0 + j) * a.c.stride[2]];
                            A v = sum[j] * static_cast<A>(a.alpha);
                            if (a.accumulate) v += static_cast<A>(out);
                            if (a.bias.data) v += static_cast<A>(a.bias.as<const T>()[(j0 + j) * a.bias.stride[0]]);
                            out = static_cast<T>(matmul_epilogue(a.epilogue, v));
                          }
                        }
                      }
                    });
  });
}

}  // namespace graft
