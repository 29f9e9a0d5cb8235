#include "kernels/gather/gather.h"
#include "kernels/specs.h"

namespace graft {

std::vector<Spec> gather_specs() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  std::vector<Case<GatherArgs>> gathers;
  std::vector<Case<ScatterArgs>> scatters;
  // known > n: some indices lie outside
  struct Shape {
    std::int64_t outer, n, k, inner;
    bool bench;
    std::int64_t known = n;
  };
  for (const Shape& s : {Shape{2, 7, 11, 5, false}, Shape{3, 20, 9, 1, false}, Shape{1, 1, 1, 1, false}, Shape{0, 4, 3, 2, false},
                         Shape{2, 4, 0, 3, false}, Shape{2, 5, 30, 40, false}, Shape{2, 6, 21, 8, false, 9}, Shape{1, 90, 200, 1, false},
                         Shape{1, 50, 70, 600, false}, Shape{1, 10000, 4096, 512, true}})
    for (bool shared : {false, true}) {  // one index for the whole inner axis: index_select
      const std::string name = std::to_string(s.outer) + "x" + std::to_string(s.n) + "x" + std::to_string(s.inner) + "_k" +
                               std::to_string(s.k) + (shared ? "_select" : "") + (s.known > s.n ? "_outside" : "");
      const std::vector<std::int64_t> index_shape = {s.outer, s.k, shared ? 1 : s.inner};
      const auto stretch = [shared, inner = s.inner](View v) {
        if (shared) {
          v.shape[2] = inner;
          v.stride[2] = 0;
        }
        return v;
      };
      Operand index{.name = "index", .shape = index_shape, .fill = Fill::index, .dtype = DType::i64, .limit = s.known};
      const double moved = static_cast<double>(s.outer * s.k * s.inner);
      Case<GatherArgs> g;
      g.shape = name;
      g.operands = {{.name = "in", .shape = {s.outer, s.n, s.inner}, .limit = 100},
                    index,
                    {.name = "out", .role = Role::out, .shape = {s.outer, s.k, s.inner}}};
      g.bind = [stretch](const std::vector<View>& v) { return GatherArgs{v[0], stretch(v[1]), v[2]}; };
      g.bytes_per_item = 2 * moved;
      g.other_bytes = 8 * moved;
      g.exact = true;
      g.layouts = s.bench ? std::vector{Layout::dense} : all;
      g.bench = s.bench;
      g.dtypes = s.bench ? std::vector{DType::f32} : std::vector{DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64};
      gathers.push_back(g);
      for (bool add : {false, true}) {
        Case<ScatterArgs> c;
        c.shape = name + (add ? "_add" : "");
        c.operands = {{.name = "src", .shape = {s.outer, s.k, s.inner}},
                      index,
                      {.name = "out", .role = Role::inout, .shape = {s.outer, s.n, s.inner}}};
        c.bind = [stretch, add](const std::vector<View>& v) { return ScatterArgs{v[0], stretch(v[1]), v[2], add}; };
        c.bytes_per_item = 2 * moved;
        c.other_bytes = 8 * moved;
        c.exact = true;  // the order of additions and their roundings are the definition
        c.layouts = g.layouts;
        c.bench = s.bench;
        c.dtypes = g.dtypes;
        scatters.push_back(c);
      }
    }
  return {make_spec(gather_family(), std::move(gathers)), make_spec(scatter_family(), std::move(scatters))};
}

}  // namespace graft
