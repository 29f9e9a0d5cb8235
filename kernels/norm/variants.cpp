#include "kernels/core/cuda_backend.h"
#include "kernels/norm/rows.h"

namespace graft {
namespace {

bool dense(const View& v) { return !v.data || v.shape[v.rank - 1] <= 1 || v.stride[v.rank - 1] == 1; }

constexpr Limit<RowNormArgs> rows{"f32, last axis dense", [](const RowNormArgs& a) {
                                    if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                    return dense(a.x) && dense(a.y) && dense(a.weight) && dense(a.bias) ? yes()
                                                                                                        : no("last axis is not dense");
                                  }};
constexpr Limit<RowNormGradArgs> grad_rows{"f32, last axis dense", [](const RowNormGradArgs& a) {
                                             if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                             return dense(a.x) && dense(a.dy) && dense(a.dx) && dense(a.weight) && dense(a.dweight) &&
                                                            dense(a.dbias)
                                                        ? yes()
                                                        : no("last axis is not dense");
                                           }};
// f32, s positions side by side, at least a vector of them
Verdict whole_planes(const View& x, std::initializer_list<const View*> others) {
  if (x.dtype != DType::f32) return no("x is " + std::string(name_of(x.dtype)));
  if (x.shape[2] < 8) return no("a plane has " + std::to_string(x.shape[2]) + " positions");
  for (const View* v : others)
    if (!dense(*v)) return no("positions are not dense");
  return dense(x) ? yes() : no("positions are not dense");
}
constexpr const char* kPlanes = "f32, positions of a plane dense, at least 8 of them";
constexpr Limit<BatchNormArgs> planes{kPlanes, [](const BatchNormArgs& a) { return whole_planes(a.x, {&a.y}); }};
constexpr Limit<BatchNormGradArgs> grad_planes{kPlanes, [](const BatchNormGradArgs& a) { return whole_planes(a.x, {&a.dy, &a.dx}); }};
constexpr Limit<GroupNormArgs> group_planes{kPlanes, [](const GroupNormArgs& a) { return whole_planes(a.x, {&a.y}); }};
constexpr Limit<GroupNormGradArgs> group_grad_planes{kPlanes, [](const GroupNormGradArgs& a) { return whole_planes(a.x, {&a.dy, &a.dx}); }};

// ---- device rows ----
// A warp has enough to do with shorter rows.
Verdict is_long(const View& x) { return x.shape[1] >= 1024 ? yes() : no("rows of " + std::to_string(x.shape[1]) + ": a warp does"); }
constexpr const char* kLong = "at least 1024 columns";
constexpr Limit<RowNormArgs> long_row{kLong, [](const RowNormArgs& a) { return is_long(a.x); }};
constexpr Limit<RowNormGradArgs> grad_long_row{kLong, [](const RowNormGradArgs& a) { return is_long(a.x); }};

// Every row of every view on a 16-byte boundary and not longer than the registers hold.
Verdict held(const View& x, std::int64_t most, std::initializer_list<const View*> others) {
  const std::int64_t piece = piece_of(x.dtype), cols = x.shape[1];
  if (cols == 0) return no("no columns");
  if (cols > most) return no("rows of " + std::to_string(cols) + ": registers hold " + std::to_string(most));
  if (cols % piece != 0) return no("rows of " + std::to_string(cols) + " are not whole 16-byte pieces");
  const auto aligned = [&](const View& v) {
    return !v.data || (reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0 && (v.rank < 2 || v.shape[0] <= 1 || v.stride[0] % piece == 0));
  };
  for (const View* v : others) {
    if (!dense(*v)) return no("last axis is not dense");
    if (!aligned(*v)) return no("a row does not begin on a 16-byte boundary");
  }
  return dense(x) && aligned(x) ? yes() : no(dense(x) ? "a row does not begin on a 16-byte boundary" : "last axis is not dense");
}
std::int64_t held_by_block(DType t) { return 8 * held_by_warp(t); }
constexpr Limit<RowNormArgs> held_row{"16-byte rows, at most 8192 columns (f64: 4096)", [](const RowNormArgs& a) {
                                        return held(a.x, held_by_block(a.x.dtype), {&a.y, &a.weight, &a.bias});
                                      }};
constexpr Limit<RowNormGradArgs> held_row_grad{"16-byte rows, at most 4096 columns (f64: 2048)", [](const RowNormGradArgs& a) {
                                                 return held(a.x, held_by_block(a.x.dtype) / 2, {&a.dy, &a.dx, &a.weight});
                                               }};
std::size_t sums(std::int64_t n, DType t) { return 2 * static_cast<std::size_t>(n) * (t == DType::f64 ? 8 : 4); }
std::size_t row_sums(const RowNormGradArgs& a, int) { return sums(cut_rows(a.x.shape[0]).parts * a.x.shape[1], a.x.dtype); }
std::size_t held_sums(const RowNormGradArgs& a, int) { return sums(cut_held(a.x).parts * a.x.shape[1], a.x.dtype); }

// Several blocks per group pay where one per group leaves the device idle.
Verdict few_groups(std::int64_t groups, std::int64_t count) {
  if (groups > 256) return no(std::to_string(groups) + " groups: a block each does");
  return count >= 4096 ? yes() : no("groups of " + std::to_string(count) + " elements: a block does");
}
constexpr const char* kFew = "at most 256 groups of at least 4096 elements";
std::int64_t group_count(const GroupNormArgs& a) { return a.x.shape[1] / a.groups * a.x.shape[2]; }
constexpr Limit<GroupNormArgs> few_long_groups{kFew,
                                               [](const GroupNormArgs& a) { return few_groups(a.x.shape[0] * a.groups, group_count(a)); }};
constexpr Limit<BatchNormArgs> few_channels{kFew,
                                            [](const BatchNormArgs& a) { return few_groups(a.x.shape[1], a.x.shape[0] * a.x.shape[2]); }};
constexpr Limit<BatchNormGradArgs> few_grad_channels{
    kFew, [](const BatchNormGradArgs& a) { return few_groups(a.x.shape[1], a.x.shape[0] * a.x.shape[2]); }};
std::size_t group_sums(std::int64_t groups, std::int64_t count, DType t) { return sums(groups * cut_group(groups, count).parts, t); }
std::size_t group_split(const GroupNormArgs& a, int) { return group_sums(a.x.shape[0] * a.groups, group_count(a), a.x.dtype); }
std::size_t batch_split(const BatchNormArgs& a, int) { return group_sums(a.x.shape[1], a.x.shape[0] * a.x.shape[2], a.x.dtype); }
std::size_t batch_grad_split(const BatchNormGradArgs& a, int) { return group_sums(a.x.shape[1], a.x.shape[0] * a.x.shape[2], a.x.dtype); }
std::size_t plane_sums(const GroupNormGradArgs& a, int) { return sums(a.x.shape[0] * a.x.shape[1], a.x.dtype); }

Verdict side_by_side(const View& x) {
  if (x.numel() == 0) return no("nothing to normalise");
  if (x.stride[1] != 1 || (x.shape[2] > 1 && x.stride[2] == 1)) return no("channels do not lie side by side");
  return few_groups(x.shape[1], x.shape[0] * x.shape[2]) ? no("few channels of many elements: one block per 32 of them idles the device")
                                                         : yes();
}
constexpr const char* kColumns = "channels of x side by side; over 256 of them or under 4096 elements each";
constexpr Limit<BatchNormArgs> columns{kColumns, [](const BatchNormArgs& a) { return side_by_side(a.x); }};
constexpr Limit<BatchNormGradArgs> grad_columns{kColumns, [](const BatchNormGradArgs& a) { return side_by_side(a.x); }};

// ---- vendor rows ----
// cuDNN's layer normalisation wants everything that may be absent here.
Verdict whole_layer_norm(const View& x, bool rms, std::initializer_list<const View*> others) {
  if (x.dtype != DType::f32 && x.dtype != DType::bf16 && x.dtype != DType::f16) return no("x is " + std::string(name_of(x.dtype)));
  if (rms) return no("RMS");
  for (const View* v : others)
    if (!v->data) return no("weight, bias or a gradient is absent");
    else if (!dense(*v) || (v->rank == 2 && v->shape[0] > 1 && v->stride[0] < v->shape[1])) return no("last axis is not dense");
  return yes();
}
constexpr const char* kWholeLayerNorm = "f32, bf16, f16; layer norm with weight and bias, last axis dense";
constexpr Limit<RowNormArgs> cudnn{kWholeLayerNorm, [](const RowNormArgs& a) {
                                     return whole_layer_norm(a.x, a.rms, {&a.x, &a.weight, &a.bias, &a.y, &a.mean, &a.rstd});
                                   }};
constexpr Limit<RowNormGradArgs> grad_cudnn{
    kWholeLayerNorm, [](const RowNormGradArgs& a) {
      return whole_layer_norm(a.x, a.rms, {&a.x, &a.dy, &a.weight, &a.mean, &a.rstd, &a.dx, &a.dweight, &a.dbias});
    }};

}  // namespace

const Family<RowNormArgs>& row_norm_family() {
  static const Family<RowNormArgs> family(
      "row_norm",
      {
          host("ref", row_norm_ref, any<RowNormArgs>, 0, "two visits, double sums"),
          host("naive", row_norm_naive, any<RowNormArgs>, 1, "two visits, rows over threads"),
          host("cpu.1_simd", row_norm_simd, rows, 10, "two visits, whole vectors"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(row_norm_thread_row), any<RowNormArgs>, 1, "one thread per row, three visits"},
          {"1_warp_row", GRAFT_BODIES(row_norm_warp_row), any<RowNormArgs>, 10, "one warp per row, three visits"},
          {"2_block_row", GRAFT_BODIES(row_norm_block_row), long_row, 20, "one block per row, three visits"},
          {"3_held_row", GRAFT_BODIES(row_norm_held_row), held_row, 30, "the row in registers, 16-byte loads: one visit"},
      },
      {
          {"cudnn", GRAFT_VENDOR(row_norm_cudnn, cudnn), cudnn, 5, "cuDNN's graph API, the heuristic's first engine",
           vendor_workspace<RowNormArgs>},
      });
  return family;
}
const Family<RowNormGradArgs>& row_norm_grad_family() {
  static const Family<RowNormGradArgs> family(
      "row_norm_grad",
      {
          host("ref", row_norm_grad_ref, any<RowNormGradArgs>, 0, "plain loops, double sums"),
          host("naive", row_norm_grad_naive, any<RowNormGradArgs>, 1, "rows for dx, columns for the parameters"),
          host("cpu.1_simd", row_norm_grad_simd, grad_rows, 10, "rows for dx, vectors of columns for the parameters"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(row_norm_grad_thread_row), any<RowNormGradArgs>, 1,
           "one thread per row for dx, one per column for the parameters"},
          {"1_warp_row", GRAFT_BODIES(row_norm_grad_warp_row), any<RowNormGradArgs>, 10,
           "one warp per row; parameters by blocks of rows, folded in a tree", row_sums},
          {"2_block_row", GRAFT_BODIES(row_norm_grad_block_row), grad_long_row, 20,
           "one block per row; parameters by blocks of rows, folded in a tree", row_sums},
          {"3_held_row", GRAFT_BODIES(row_norm_grad_held_row), held_row_grad, 30,
           "rows in registers, dx and the parameters in one visit, 16-byte loads", held_sums},
      },
      {
          {"cudnn", GRAFT_VENDOR(row_norm_grad_cudnn, cudnn), grad_cudnn, 5, "cuDNN's graph API, the heuristic's first engine",
           vendor_workspace<RowNormGradArgs>},
      });
  return family;
}
const Family<GroupNormArgs>& group_norm_family() {
  static const Family<GroupNormArgs> family(
      "group_norm",
      {
          host("ref", group_norm_ref, any<GroupNormArgs>, 0, "two visits, double sums"),
          host("naive", group_norm_naive, any<GroupNormArgs>, 1, "two visits, groups over threads"),
          host("cpu.1_simd", group_norm_simd, group_planes, 10, "two visits, whole vectors along a plane"),
      },
      {
          {"0_thread_group", GRAFT_BODIES(group_norm_thread_group), any<GroupNormArgs>, 1, "one thread per group, three visits"},
          {"1_block_group", GRAFT_BODIES(group_norm_block_group), any<GroupNormArgs>, 10, "one block per group, three visits"},
          {"2_split_group", GRAFT_BODIES(group_norm_split_group), few_long_groups, 20, "several blocks per group, three launches",
           group_split},
      });
  return family;
}
const Family<GroupNormGradArgs>& group_norm_grad_family() {
  static const Family<GroupNormGradArgs> family(
      "group_norm_grad",
      {
          host("ref", group_norm_grad_ref, any<GroupNormGradArgs>, 0, "plain loops, double sums"),
          host("naive", group_norm_grad_naive, any<GroupNormGradArgs>, 1, "groups for dx, channels for the parameters"),
          host("cpu.1_simd", group_norm_grad_simd, group_grad_planes, 10,
               "groups for dx, channels for the parameters, whole vectors along a plane"),
      },
      {
          {"0_thread_group", GRAFT_BODIES(group_norm_grad_thread_group), any<GroupNormGradArgs>, 1,
           "one thread per group for dx, one per channel for the parameters"},
          {"1_block_group", GRAFT_BODIES(group_norm_grad_block_group), any<GroupNormGradArgs>, 10,
           "one block per group for dx, one per channel for the parameters"},
          {"2_planes", GRAFT_BODIES(group_norm_grad_planes), any<GroupNormGradArgs>, 20, "sums per plane, from them dx and the parameters",
           plane_sums},
      });
  return family;
}
const Family<BatchNormArgs>& batch_norm_family() {
  static const Family<BatchNormArgs> family(
      "batch_norm",
      {
          host("ref", batch_norm_ref, any<BatchNormArgs>, 0, "two visits, double sums"),
          host("naive", batch_norm_naive, any<BatchNormArgs>, 1, "two visits, channels over threads"),
          host("cpu.1_simd", batch_norm_simd, planes, 10, "two visits, whole vectors along a plane"),
      },
      {
          {"0_thread_channel", GRAFT_BODIES(batch_norm_thread_channel), any<BatchNormArgs>, 1, "one thread per channel, three visits"},
          {"1_block_channel", GRAFT_BODIES(batch_norm_block_channel), any<BatchNormArgs>, 10, "one block per channel, three visits"},
          {"2_split_channel", GRAFT_BODIES(batch_norm_split_channel), few_channels, 20, "several blocks per channel, three launches",
           batch_split},
          {"3_columns", GRAFT_BODIES(batch_norm_columns), columns, 30, "32 channels per block, lanes on neighbouring channels"},
      });
  return family;
}
const Family<BatchNormGradArgs>& batch_norm_grad_family() {
  static const Family<BatchNormGradArgs> family(
      "batch_norm_grad",
      {
          host("ref", batch_norm_grad_ref, any<BatchNormGradArgs>, 0, "plain loops, double sums"),
          host("naive", batch_norm_grad_naive, any<BatchNormGradArgs>, 1, "channels over threads"),
          host("cpu.1_simd", batch_norm_grad_simd, grad_planes, 10, "channels over threads, whole vectors along a plane"),
      },
      {
          {"0_thread_channel", GRAFT_BODIES(batch_norm_grad_thread_channel), any<BatchNormGradArgs>, 1,
           "one thread per channel, for dx and for the parameters"},
          {"1_block_channel", GRAFT_BODIES(batch_norm_grad_block_channel), any<BatchNormGradArgs>, 10,
           "one block per channel, for dx and for the parameters"},
          {"2_split_channel", GRAFT_BODIES(batch_norm_grad_split_channel), few_grad_channels, 20,
           "several blocks per channel; the sums for the parameters serve dx", batch_grad_split},
          {"3_columns", GRAFT_BODIES(batch_norm_grad_columns), grad_columns, 30, "32 channels per block, lanes on neighbouring channels"},
      });
  return family;
}

}  // namespace graft
