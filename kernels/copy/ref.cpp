// copy as its definition: every position in row-major order, each element converted on its own. One thread.
#include "kernels/copy/convert.h"
#include "kernels/copy/rows.h"

namespace graft {

void copy_ref(Queue&, const CopyArgs& a) {
  const std::int64_t n = a.out.numel();
  visit(a.in.dtype, [&]<class From>() {
    visit(a.out.dtype, [&]<class To>() {
      for (std::int64_t i = 0; i < n; ++i) {
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
}

}  // namespace graft
