#include "kernels/embed/positions.h"
#include "kernels/embed/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }
constexpr Limit<EmbedArgs> rows{
    "rows dense", [](const EmbedArgs& a) { return dense_last(a.table) && dense_last(a.out) ? yes() : no("rows are not dense"); }};
constexpr Limit<EmbedGradArgs> grad_rows{
    "rows dense", [](const EmbedGradArgs& a) { return dense_last(a.dout) && dense_last(a.dtable) ? yes() : no("rows are not dense"); }};
constexpr Limit<EmbedGradArgs> grad_vectors{"f32, bf16, f16; rows dense", [](const EmbedGradArgs& a) {
                                              return a.dtable.dtype == DType::f64 ? no("no vectors of f64") : grad_rows.check(a);
                                            }};

// ---- device rows ----
Verdict sortable(const EmbedGradArgs& a) {
  constexpr std::int64_t kMost = (1 << 30) - 1;  // positions and ids are sorted as 32-bit numbers
  if (a.ids.shape[0] > kMost) return no(std::to_string(a.ids.shape[0]) + " ids");
  return a.dtable.shape[0] <= kMost ? yes() : no("a table of " + std::to_string(a.dtable.shape[0]) + " rows");
}
constexpr Limit<EmbedGradArgs> sorted{"fewer than 2^30 ids and rows", sortable};
constexpr Limit<EmbedGradArgs> sorted_pieces{
    "rows dense, on 16-byte boundaries; fewer than 2^30 ids and rows", [](const EmbedGradArgs& a) {
      const auto size = static_cast<std::int64_t>(size_of(a.dtable.dtype));
      if (a.dtable.shape[1] * size % 16 != 0) return no("rows of " + std::to_string(a.dtable.shape[1]) + " are not whole 16-byte pieces");
      for (const View* v : {&a.dout, &a.dtable}) {
        if (!dense_last(*v)) return no("rows are not dense");
        if (reinterpret_cast<std::uintptr_t>(v->data) % 16 != 0 || v->stride[0] * size % 16 != 0)
          return no("a row does not begin on a 16-byte boundary");
      }
      return sortable(a);
    }};
constexpr Limit<EmbedGradArgs> atomic{"f32, f64", [](const EmbedGradArgs& a) {
                                        return a.dtable.dtype == DType::f32 || a.dtable.dtype == DType::f64
                                                   ? yes()
                                                   : no("no atomics of " + std::string(name_of(a.dtable.dtype)));
                                      }};
std::size_t sort_scratch(const EmbedGradArgs& a, int) { return SortedPositions(nullptr, a.ids.shape[0], a.dtable.shape[0]).bytes; }

}  // namespace

const Family<EmbedArgs>& embed_family() {
  static const Family<EmbedArgs> family(
      "embed",
      {
          host("ref", embed_ref, any<EmbedArgs>, 0, "element by element, one thread"),
          host("naive", embed_naive, any<EmbedArgs>, 1, "element by element"),
          host("cpu.1_rows", embed_rows, rows, 10, "whole rows (memcpy is the vector form)"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(embed_thread_element), any<EmbedArgs>, 1, "one thread per element"},
          {"1_pieces", GRAFT_BODIES(embed_pieces), rows, 10, "rows copied in pieces of up to 16 bytes"},
      });
  return family;
}

const Family<EmbedGradArgs>& embed_grad_family() {
  static const Family<EmbedGradArgs> family(
      "embed_grad",
      {
          host("ref", embed_grad_ref, any<EmbedGradArgs>, 0, "every row scans all ids, double sums"),
          host("naive", embed_grad_naive, any<EmbedGradArgs>, 1, "every row scans all ids"),
          host("cpu.1_sorted", embed_grad_sorted, grad_rows, 10, "positions sorted by id, then row sums"),
          host("cpu.2_simd", embed_grad_simd, grad_vectors, 20, "positions sorted by id, then row sums in vector registers"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(embed_grad_thread_element), any<EmbedGradArgs>, 1,
           "one thread per element of the table looks at every id"},
          {"1_sorted", GRAFT_BODIES(embed_grad_sorted_positions), sorted, 10, "positions radix-sorted by id, then row sums", sort_scratch},
          {"2_sorted_pieces", GRAFT_BODIES(embed_grad_sorted_pieces), sorted_pieces, 20,
           "positions radix-sorted by id, then row sums, 16 bytes per thread", sort_scratch},
          {"9_atomic", GRAFT_BODIES(embed_grad_atomic), atomic, 0, "float atomics, in the order of arrival", nullptr, true},
      });
  return family;
}

}  // namespace graft
