#include "kernels/loss/loss.h"
#include "kernels/specs.h"

namespace graft {
namespace {

struct Shape {
  std::int64_t rows, classes;
  bool weighted = false;
  double smoothing = 0;
  std::int64_t ignore = -100;
  Fill fill = Fill::normal;
  std::vector<Layout> layouts = {Layout::dense};
  bool bench = false, large = false;
  std::string name() const {
    std::string s = std::to_string(rows) + "x" + std::to_string(classes);
    if (weighted) s += "_weighted";
    if (smoothing != 0) s += "_smooth";
    if (ignore >= 0) s += "_ignore";
    if (fill != Fill::normal) s += "_fill" + std::to_string(static_cast<int>(fill));
    return s;
  }
};

// Sums are kept in f32 for 16-bit logits and in f64 for f64: one list of cases for each.
template <class Args>
void add(std::vector<Case<Args>>& cases, Case<Args> c, const std::vector<std::size_t>& sums) {
  c.dtypes = c.bench || c.large ? std::vector{DType::f32} : std::vector{DType::f32, DType::f64};
  cases.push_back(c);
  if (c.bench) return;
  for (std::size_t k : sums) c.operands[k].dtype = DType::f32;
  c.shape += "_16bit";
  c.dtypes = {DType::bf16};
  if (!c.large) c.dtypes.push_back(DType::f16);
  cases.push_back(c);
}

}  // namespace

std::vector<Spec> loss_specs() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  std::vector<Case<CrossEntropyArgs>> forward;
  std::vector<Case<CrossEntropyGradArgs>> backward;
  std::vector<Case<CrossEntropyFusedArgs>> fused;
  for (const Shape& s : std::vector<Shape>{{.rows = 9, .classes = 10, .layouts = all},
                                           {.rows = 7, .classes = 37, .weighted = true, .layouts = all},
                                           {.rows = 7, .classes = 37, .smoothing = 0.1},
                                           {.rows = 7, .classes = 37, .weighted = true, .smoothing = 0.2, .ignore = 3},
                                           {.rows = 40, .classes = 5, .ignore = 2},
                                           {.rows = 1, .classes = 1},
                                           {.rows = 0, .classes = 4},
                                           {.rows = 3, .classes = 1003},
                                           {.rows = 3, .classes = 1031},
                                           {.rows = 5, .classes = 2056, .weighted = true, .smoothing = 0.1, .ignore = 3},
                                           {.rows = 2, .classes = 5000},
                                           {.rows = 3, .classes = 1032, .fill = Fill::large_offset},
                                           {.rows = 9, .classes = 11, .fill = Fill::extreme},
                                           {.rows = 9, .classes = 11, .fill = Fill::large_offset},
                                           {.rows = 9, .classes = 11, .fill = Fill::equal},
                                           // NaN or +inf among the logits: loss, lse and gradient of the row are NaN, but for ignored rows
                                           {.rows = 30, .classes = 7, .ignore = 3, .fill = Fill::some_nan},
                                           {.rows = 30, .classes = 7, .weighted = true, .smoothing = 0.1, .fill = Fill::some_inf},
                                           {.rows = 20, .classes = 41, .fill = Fill::some_inf},
                                           {.rows = 20, .classes = 41, .fill = Fill::rare_nan},
                                           {.rows = 4, .classes = 1032, .ignore = 3, .fill = Fill::some_inf},
                                           {.rows = 5, .classes = 1032, .fill = Fill::rare_nan},
                                           {.rows = 3, .classes = 1031, .weighted = true, .smoothing = 0.1, .fill = Fill::rare_nan},
                                           {.rows = 1, .classes = 50257},
                                           {.rows = 1024, .classes = 1000, .bench = true},
                                           {.rows = 64, .classes = 50257, .bench = true},
                                           {.rows = 32, .classes = 128256, .bench = true},
                                           {.rows = 4096, .classes = 50304, .large = true}}) {
    const double n = static_cast<double>(s.rows * s.classes);
    Case<CrossEntropyArgs> f;
    f.shape = s.name();
    f.operands = {{.name = "logits", .shape = {s.rows, s.classes}, .fill = s.fill, .limit = s.classes},
                  {.name = "target", .shape = {s.rows}, .fill = Fill::index, .dtype = DType::i64, .limit = s.classes},
                  {.name = "class_weight", .shape = {s.classes}, .fill = Fill::positive},
                  {.name = "loss", .role = Role::out, .shape = {s.rows}},
                  {.name = "lse", .role = Role::out, .shape = {s.rows}}};
    f.bind = [s](const std::vector<View>& v) {
      return CrossEntropyArgs{v[0], v[1], s.weighted ? v[2] : View{}, v[3], v[4], s.smoothing, s.ignore};
    };
    f.flops = 4 * n;
    f.bytes_per_item = n;
    f.roundings = 2 * static_cast<double>(s.classes) + 12;
    f.layouts = s.layouts;
    f.bench = s.bench;
    f.large = s.large;
    add(forward, f, {3, 4});

    Case<CrossEntropyFusedArgs> both;
    both.shape = s.name();
    both.operands = f.operands;
    both.operands.push_back({.name = "dlogits", .role = Role::out, .shape = {s.rows, s.classes}});
    both.operands.push_back({.name = "scale", .shape = {1}, .fill = Fill::positive, .dense_only = true});
    both.bind = [s, bind = f.bind](const std::vector<View>& v) {
      return CrossEntropyFusedArgs{bind(v), v[5], s.rows == 40 ? View{} : v[6]};
    };
    both.flops = 6 * n;
    both.bytes_per_item = 2 * n;
    both.roundings = 2 * static_cast<double>(s.classes) + 112;
    both.layouts = s.layouts;
    both.bench = s.bench;
    both.large = s.large;
    add(fused, both, {3, 4, 6});
    if (!s.bench && !s.large) {  // in place
      both.shape += "_inplace";
      both.operands[0].role = Role::inout;
      both.operands[5].alias_of = 0;
      add(fused, both, {3, 4, 6});
    }

    Case<CrossEntropyGradArgs> b;
    b.shape = s.name();
    b.operands = {
        {.name = "logits", .shape = {s.rows, s.classes}, .fill = s.fill == Fill::large_offset ? Fill::normal : s.fill, .limit = s.classes},
        {.name = "target", .shape = {s.rows}, .fill = Fill::index, .dtype = DType::i64, .limit = s.classes},
        {.name = "class_weight", .shape = {s.classes}, .fill = Fill::positive},
        {.name = "lse", .shape = {s.rows}, .fill = s.fill == Fill::extreme ? Fill::extreme : Fill::positive},
        {.name = "dloss", .shape = {s.rows}},
        {.name = "dlogits", .role = Role::out, .shape = {s.rows, s.classes}}};
    b.bind = [s](const std::vector<View>& v) {
      return CrossEntropyGradArgs{v[0], v[1], s.weighted ? v[2] : View{}, v[3], v[4], v[5], s.smoothing, s.ignore};
    };
    b.flops = 4 * n;
    b.bytes_per_item = 2 * n;
    b.roundings = static_cast<double>(s.weighted ? s.classes : 0) + 100;  // exp of a difference up to 80: its rounding times 80
    b.layouts = s.layouts;
    b.bench = s.bench;
    b.large = s.large;
    if (s.fill == Fill::extreme) continue;  // exp(160) overflows whatever the arithmetic
    add(backward, b, {3, 4});
  }
  return {make_spec(cross_entropy_family(), std::move(forward)), make_spec(cross_entropy_grad_family(), std::move(backward)),
          make_spec(cross_entropy_fused_family(), std::move(fused))};
}

}  // namespace graft
