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

}  // namespace

const Family<GatherArgs>& gather_family() {
  static const Family<GatherArgs> family("gather", {
      host("ref", gather_ref, any<GatherArgs>, 0, "element by element, one thread"),
      host("naive", gather_naive, any<GatherArgs>, 1, "line by line"),
      host("cpu.1_lines", gather_lines, lines, 10, "runs of the inner axis"),
  });
  return family;
}

const Family<ScatterArgs>& scatter_family() {
  static const Family<ScatterArgs> family("scatter", {
      host("ref", scatter_ref, any<ScatterArgs>, 0, "element by element, one thread"),
      host("naive", scatter_naive, any<ScatterArgs>, 1, "line by line"),
      host("cpu.1_lines", scatter_lines, scatter_limit, 10, "runs of the inner axis"),
  });
  return family;
}

}  // namespace graft
