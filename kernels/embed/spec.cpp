#include "kernels/embed/embed.h"
#include "kernels/specs.h"

namespace graft {

std::vector<Spec> embed_specs() {
  const std::vector<Layout> all = {Layout::dense, Layout::misaligned, Layout::sliced, Layout::transposed, Layout::stepped};
  std::vector<Case<EmbedArgs>> forward;
  std::vector<Case<EmbedGradArgs>> backward;
  // `known`: how many of the table's rows ids may name, more for ids outside of it; few: f32 and bf16, dense only
  struct Shape {
    std::int64_t n, vocab, dim, padding;
    bool bench;
    std::int64_t known = vocab;
    bool few = false;
  };
  for (const Shape& s : {Shape{23, 11, 19, -1, false}, Shape{23, 11, 19, 3, false}, Shape{1, 1, 1, -1, false}, Shape{0, 5, 4, -1, false},
                         Shape{7, 5, 0, -1, false}, Shape{300, 4, 33, -1, false}, Shape{50, 1000, 300, -1, false},
                         Shape{60, 11, 24, -1, false, 15}, Shape{60, 11, 19, 2, false, 15},                       // ids outside
                         Shape{2500, 300, 8, 7, false, 300, true}, Shape{130, 70000, 1, -1, false, 70000, true},  // chunks, digits
                         Shape{2100, 5, 600, -1, false, 5, true}, Shape{8192, 32000, 512, -1, true}}) {
    const std::string name = std::to_string(s.n) + "x" + std::to_string(s.vocab) + "x" + std::to_string(s.dim) +
                             (s.padding >= 0 ? "_padding" : "") + (s.known > s.vocab ? "_outside" : "");
    const double moved = static_cast<double>(s.n * s.dim);
    Case<EmbedArgs> f;
    f.shape = name;
    f.operands = {{.name = "ids", .shape = {s.n}, .fill = Fill::index, .dtype = DType::i64, .limit = s.known},
                  {.name = "table", .shape = {s.vocab, s.dim}},
                  {.name = "out", .role = Role::out, .shape = {s.n, s.dim}}};
    f.bind = [](const std::vector<View>& v) { return EmbedArgs{v[0], v[1], v[2]}; };
    f.bytes_per_item = 2 * moved;
    f.exact = true;
    f.layouts = all;
    f.bench = s.bench;
    if (s.few) {
      f.layouts = {Layout::dense};
      f.dtypes = {DType::f32, DType::bf16};
    }
    if (s.bench) {
      f.layouts = {Layout::dense};
      f.dtypes = {DType::f32};
    }
    if (s.padding < 0) forward.push_back(f);
    Case<EmbedGradArgs> b;
    b.shape = name;
    b.operands = {{.name = "ids", .shape = {s.n}, .fill = Fill::index, .dtype = DType::i64, .limit = s.known},
                  {.name = "dout", .shape = {s.n, s.dim}},
                  {.name = "dtable", .role = Role::out, .shape = {s.vocab, s.dim}}};
    b.bind = [p = s.padding](const std::vector<View>& v) { return EmbedGradArgs{v[0], v[1], v[2], p}; };
    b.flops = moved;
    b.bytes_per_item = moved + static_cast<double>(s.vocab * s.dim);
    b.roundings = 2.0 * static_cast<double>(s.n) + 2;
    b.layouts = f.layouts;
    b.dtypes = f.dtypes;
    b.bench = s.bench;
    backward.push_back(b);
  }
  return {make_spec(embed_family(), std::move(forward)), make_spec(embed_grad_family(), std::move(backward))};
}

}  // namespace graft
