// random, one counter for four elements: a quarter of the Philox rounds of the naive row, the same values.
#include <algorithm>

#include "kernels/random/plain.h"
#include "kernels/random/rows.h"

namespace graft {

void random_blocks(Queue& q, const RandomArgs& a) {
  visit(a.out.dtype, [&]<class T>() {
    const std::int64_t n = a.out.numel();
    const Counters counters = Counters(a).here();
    parallel_ranges(q.pool(), (n + 3) / 4, 4096, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t c = b; c < e; ++c) {
        const auto w = counters[c];
        const std::int64_t count = std::min<std::int64_t>(4, n - 4 * c);
        double drawn[4];
        random_four(a, w, drawn);
        for (std::int64_t l = 0; l < count; ++l) a.out.as<T>()[4 * c + l] = random_store<T>(drawn[l]);
      }
    });
  });
}

}  // namespace graft
