// elementwise over merged runs: axes that follow one another in all operands become one, and the output is walked as it lies in memory.
// The loops over a run are plain; the compiler vectorises those that it can. Any operation, dtype and stride.
#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"

namespace graft {
namespace {

template <E op, class T>
void run(Queue& q, const ElementwiseArgs& a) {
  using Out = std::conditional_t<is_predicate(op), bool, T>;
  using In0 = std::conditional_t<op == E::where, bool, T>;
  constexpr int n = arity(op);
  const Runs<4> r = runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
  const double s0 = a.s0, s1 = a.s1;
  each_run(q.pool(), r, 8192, [&](const std::array<std::int64_t, 4>& o, std::int64_t count) {
    Out* out = a.out.as<Out>() + o[0];
    const In0* x = n > 0 ? a.in[0].as<const In0>() + o[1] : nullptr;
    const T* y = n > 1 ? a.in[1].as<const T>() + o[2] : nullptr;
    const T* z = n > 2 ? a.in[2].as<const T>() + o[3] : nullptr;
    const std::int64_t so = r.inner_stride[0], sx = r.inner_stride[1], sy = r.inner_stride[2], sz = r.inner_stride[3];
    const auto loop = [&](std::int64_t ko, std::int64_t kx, std::int64_t ky, std::int64_t kz) {
      for (std::int64_t i = 0; i < count; ++i)
        out[i * ko] = static_cast<Out>(
            element_op<op, T, Accum<T>>(x ? static_cast<T>(x[i * kx]) : T{}, y ? y[i * ky] : T{}, z ? z[i * kz] : T{}, s0, s1));
    };
    if (so == 1 && (n < 1 || sx == 1) && (n < 2 || sy == 1) && (n < 3 || sz == 1)) loop(1, 1, 1, 1);
    else if (n == 2 && so == 1 && sx == 1 && sy == 0) loop(1, 1, 0, 0);
    else loop(so, sx, sy, sz);
  });
}

}  // namespace

void elementwise_runs(Queue& q, const ElementwiseArgs& a) {
  visit_op(a.op, [&]<E op>() { visit(value_dtype(a), [&]<class T>() { run<op, T>(q, a); }); });
}

}  // namespace graft
