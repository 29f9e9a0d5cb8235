#include "kernels/embed/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }
constexpr Limit<EmbedArgs> rows{"rows dense", [](const EmbedArgs& a) { return dense_last(a.table) && dense_last(a.out) ? yes() : no("rows are not dense"); }};
constexpr Limit<EmbedGradArgs> grad_rows{"rows dense",
                                         [](const EmbedGradArgs& a) { return dense_last(a.dout) && dense_last(a.dtable) ? yes() : no("rows are not dense"); }};

}  // namespace

const Family<EmbedArgs>& embed_family() {
  static const Family<EmbedArgs> family("embed", {
      host("ref", embed_ref, any<EmbedArgs>, 0, "element by element, one thread"),
      host("naive", embed_naive, any<EmbedArgs>, 1, "element by element"),
      host("cpu.1_rows", embed_rows, rows, 10, "whole rows (memcpy is the vector form)"),
  });
  return family;
}

const Family<EmbedGradArgs>& embed_grad_family() {
  static const Family<EmbedGradArgs> family("embed_grad", {
      host("ref", embed_grad_ref, any<EmbedGradArgs>, 0, "every row scans all ids, double sums"),
      host("naive", embed_grad_naive, any<EmbedGradArgs>, 1, "every row scans all ids"),
      host("cpu.1_sorted", embed_grad_sorted, grad_rows, 10, "positions sorted by id, then row sums"),
  });
  return family;
}

}  // namespace graft
