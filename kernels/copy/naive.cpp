// copy element by element, in parallel pieces of the row-major order: what serves every pair of dtypes and strides.
#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"

namespace graft {

void copy_naive(Queue& q, const CopyArgs& a) {
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      parallel_ranges(q.pool(), a.out.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          std::int64_t rest = i, from = 0, to = 0;
          for (int d = a.out.rank - 1; d >= 0; --d) {
            const std::int64_t c = rest % a.out.shape[d];
            rest /= a.out.shape[d];
            from += c * a.in.stride[d];
            to += c * a.out.stride[d];
          }
          a.out.as<To>()[to] = convert<To>(a.in.as<const From>()[from]);
        }
      });
    });
  });
}

}  // namespace graft
