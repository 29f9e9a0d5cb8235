// elementwise over merged runs: axes that follow one another in all operands become one, and the output is walked as it lies in memory.
// The loops over a run are plain; the compiler vectorises those that it can. Any operation, dtype and stride. Only these loops are made for
// each operation and dtype, by the hundred: the walk is one for all. It calls them through a pointer, with a block of runs, because a call
// for each would double the time of runs of a few elements.
#include "kernels/core/loops.h"
#include "kernels/elementwise/functions.h"
#include "kernels/elementwise/rows.h"

namespace graft {
namespace {

using Offsets = std::array<std::int64_t, 4>;  // of the output and three operands, in elements

struct Block {
  const ElementwiseArgs& a;
  const Offsets &begin, &row_step, &step;
  std::int64_t rows, length;
};

template <E op, class T>
void run(const Block& b) {
  using Out = std::conditional_t<is_predicate(op), bool, T>;
  using In0 = std::conditional_t<op == E::where, bool, T>;
  constexpr int n = arity(op);
  const double s0 = b.a.s0, s1 = b.a.s1;
  const std::int64_t length = b.length;
  const auto loop = [&](std::int64_t ko, std::int64_t kx, std::int64_t ky, std::int64_t kz) {
    for (std::int64_t row = 0; row < b.rows; ++row) {
      Out* out = b.a.out.as<Out>() + b.begin[0] + row * b.row_step[0];
      const In0* x = n > 0 ? b.a.in[0].as<const In0>() + b.begin[1] + row * b.row_step[1] : nullptr;
      const T* y = n > 1 ? b.a.in[1].as<const T>() + b.begin[2] + row * b.row_step[2] : nullptr;
      const T* z = n > 2 ? b.a.in[2].as<const T>() + b.begin[3] + row * b.row_step[3] : nullptr;
      for (std::int64_t i = 0; i < length; ++i) {
        T v[3] = {};
        if constexpr (n > 0) v[0] = static_cast<T>(x[i * kx]);
        if constexpr (n > 1) v[1] = y[i * ky];
        if constexpr (n > 2) v[2] = z[i * kz];
        out[i * ko] = static_cast<Out>(element_op<op, T, Accum<T>>(v[0], v[1], v[2], s0, s1));
      }
    }
  };
  const auto [so, sx, sy, sz] = b.step;
  if (so == 1 && (n < 1 || sx == 1) && (n < 2 || sy == 1) && (n < 3 || sz == 1)) loop(1, 1, 1, 1);
  else if (n == 2 && so == 1 && sx == 1 && sy == 0) loop(1, 1, 0, 0);
  else loop(so, sx, sy, sz);
}

}  // namespace

void elementwise_runs(Queue& q, const ElementwiseArgs& a) {
  void (*loop)(const Block&) = nullptr;
  visit_values(a, [&]<E op, class T>() { loop = run<op, T>; });
  const int n = arity(a.op);
  const Runs<4> r = runs_of<4>({&a.out, n > 0 ? &a.in[0] : &a.out, n > 1 ? &a.in[1] : &a.out, n > 2 ? &a.in[2] : &a.out});
  const Offsets row_step = r.row_step();
  each_block(q.pool(), r, 8192, [&](const Offsets& begin, std::int64_t rows, std::int64_t length) {
    loop({a, begin, row_step, r.inner_stride, rows, length});
  });
}

}  // namespace graft
