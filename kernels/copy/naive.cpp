// copy element by element, in parallel pieces of the row-major order: what serves every pair of dtypes and strides.
#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"

namespace graft {

void copy_naive(Queue& q, const CopyArgs& a) {
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      parallel_ranges(q.pool(), a.out.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) copy_one<From, To>(a.in, a.out, i);
      });
    });
  });
}

}  // namespace graft
