// What a user's own file includes so that `graft kernels try FILE` can load it: one row of a family's table, on the host
//   GRAFT_TRY(softmax, host("cpu.mine", mine, any<SoftmaxArgs>, 50, "the idea"));
// or, in a .cu that includes kernels/simt/simt.h, a kernel in CUDA's words, run by the emulator or compiled by nvcc
//   GRAFT_TRY(softmax, simt_row("mine", mine, any<SoftmaxArgs>, 50, "the idea"));
// One row a file, outside of any namespace, after kernels/<family>/<family>.h; graft's names need no prefix in it.
#pragma once
#include <cstddef>
#include <type_traits>

#include "kernels/core/queue.h"
#include "kernels/core/variant.h"
#include "kernels/core/view.h"

namespace graft::lab {

// To be raised when Row, View, Queue or what a kernel may call changes in a way that sizes do not show.
inline constexpr int kTryInterface = 1;

struct TriedRow {
  int interface;
  const char* compiler;
  std::size_t view_bytes, queue_bytes, row_bytes, args_bytes;
  const char* family;
  const void* row;  // a Row<Args>
};
inline constexpr const char* kTrySymbol = "graft_tried_row";

template <class FamilyArgs, class Args>
TriedRow tried_row(const char* family, const Family<FamilyArgs>& (*)(), const Row<Args>& row) {
  static_assert(std::is_same_v<FamilyArgs, Args>, "GRAFT_TRY: the row's arguments are not the family's");
  return {kTryInterface, __VERSION__, sizeof(View), sizeof(Queue), sizeof row, sizeof(Args), family, &row};
}

}  // namespace graft::lab

#define GRAFT_TRY_TEXT_OF(x) #x
#define GRAFT_TRY_TEXT(x) GRAFT_TRY_TEXT_OF(x)
#ifdef GRAFT_SIMT
namespace graft::GRAFT_SIMT {
template <class Args>
Row<Args> simt_row(std::string_view name, void (*run)(Queue&, const Args&), Limit<Args> limit, int rank, std::string_view doc,
                   std::size_t (*scratch)(const Args&, int) = nullptr) {
  constexpr bool on_gpu = std::string_view(GRAFT_TRY_TEXT(GRAFT_SIMT)) == "cuda";
  return {(on_gpu ? "cuda." : "emu.") + std::string(name), on_gpu ? Backend::cuda : Backend::emu, run, limit, rank, doc, scratch};
}
}  // namespace graft::GRAFT_SIMT
#define GRAFT_TRY_ROOM graft::GRAFT_SIMT
#else
#define GRAFT_TRY_ROOM graft
#endif
#define GRAFT_TRY(family, ...)                                                                      \
  namespace GRAFT_TRY_ROOM {                                                                        \
  extern "C" __attribute__((visibility("default"))) const graft::lab::TriedRow* graft_tried_row() { \
    static const auto row = __VA_ARGS__;                                                            \
    static const graft::lab::TriedRow tried = graft::lab::tried_row(#family, family##_family, row); \
    return &tried;                                                                                  \
  }                                                                                                 \
  }                                                                                                 \
  static_assert(true)
