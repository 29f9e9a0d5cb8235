#include "kernels/gather/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[2] <= 1 || v.stride[2] == 1; }
constexpr Limit<GatherArgs> lines{"inner axis of at least 4, dense", [](const GatherArgs& a) {
                                    if (a.out.shape[2] < 4) return no("inner axis is " + std::to_string(a.out.shape[2]));
                                    return dense_last(a.in) && dense_last(a.out) ? yes() : no("inner axis is not dense");
                                  }};
constexpr Limit<ScatterArgs> scatter_limit{"inner axis of at least 4, dense", [](const ScatterArgs& a) {
                                             if (a.src.shape[2] < 4) return no("inner axis is " + std::to_string(a.src.shape[2]));
                                             return dense_last(a.src) && dense_last(a.out) ? yes() : no("inner axis is not dense");
                                           }};
bool shared_index(const View& index) { return index.shape[2] <= 1 || index.stride[2] == 0; }
constexpr Limit<ScatterArgs> scatter_vectors{"adding f32, bf16 or f16, dense inner axis of at least 16 with one index for all of it",
                                             [](const ScatterArgs& a) {
                                               if (!a.add) return no("does not add");
                                               if (a.out.dtype != DType::f32 && a.out.dtype != DType::bf16 && a.out.dtype != DType::f16)
                                                 return no("no vectors of " + std::string(name_of(a.out.dtype)));
                                               if (a.src.shape[2] < 16) return no("inner axis is " + std::to_string(a.src.shape[2]));
                                               if (!shared_index(a.index)) return no("the index varies along the inner axis");
                                               return scatter_limit.check(a);
                                             }};

// ---- device rows ----
constexpr Limit<GatherArgs> select{"one index for the whole inner axis, which is dense", [](const GatherArgs& a) {
                                     if (!shared_index(a.index)) return no("the index varies along the inner axis");
                                     return dense_last(a.in) && dense_last(a.out) ? yes() : no("inner axis is not dense");
                                   }};
constexpr Limit<ScatterArgs> scatter_select{"one index for the whole inner axis", [](const ScatterArgs& a) {
                                              return shared_index(a.index) ? yes() : no("the index varies along the inner axis");
                                            }};

}  // namespace

const Family<GatherArgs>& gather_family() {
  static const Family<GatherArgs> family(
      "gather",
      {
          host("ref", gather_ref, any<GatherArgs>, 0, "element by element, one thread"),
          host("naive", gather_naive, any<GatherArgs>, 1, "line by line"),
          host("cpu.1_lines", gather_lines, lines, 10, "runs of the inner axis"),
      },
      {
          {"0_thread_line", GRAFT_BODIES(gather_thread_line), any<GatherArgs>, 1, "one thread per line"},
          {"1_rows", GRAFT_BODIES(gather_rows), any<GatherArgs>, 10, "threads along the inner axis"},
          {"2_pieces", GRAFT_BODIES(gather_pieces), select, 20, "whole rows copied in pieces of up to 16 bytes"},
      });
  return family;
}

const Family<ScatterArgs>& scatter_family() {
  static const Family<ScatterArgs> family(
      "scatter",
      {
          host("ref", scatter_ref, any<ScatterArgs>, 0, "element by element, one thread"),
          host("naive", scatter_naive, any<ScatterArgs>, 1, "line by line"),
          host("cpu.1_lines", scatter_lines, scatter_limit, 10, "runs of the inner axis"),
          host("cpu.2_simd", scatter_simd, scatter_vectors, 20, "rows added as vectors"),
      },
      {
          {"0_thread_line", GRAFT_BODIES(scatter_thread_line), any<ScatterArgs>, 1, "one thread per line, no atomics"},
          {"1_ranges", GRAFT_BODIES(scatter_ranges), any<ScatterArgs>, 10,
           "one thread per range of a line, which takes what falls into it"},
          {"2_warp_ranges", GRAFT_BODIES(scatter_warp_ranges), scatter_select, 20, "one warp per range of 32 lines, 32 indices at a look"},
      });
  return family;
}

}  // namespace graft
