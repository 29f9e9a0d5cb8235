// copy as its definition: every position in row-major order, each element converted on its own. One thread.
#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"

namespace graft {

void copy_ref(Queue&, const CopyArgs& a) {
  const std::int64_t n = a.out.numel();
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      for (std::int64_t i = 0; i < n; ++i) copy_one<From, To>(a.in, a.out, i);
    });
  });
}

}  // namespace graft
