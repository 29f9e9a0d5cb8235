#include "kernels/norm/rows.h"

namespace graft {
namespace {

bool dense(const View& v) { return !v.data || v.shape[v.rank - 1] <= 1 || v.stride[v.rank - 1] == 1; }

constexpr Limit<RowNormArgs> rows{"f32, last axis dense", [](const RowNormArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  return dense(a.x) && dense(a.y) && dense(a.weight) && dense(a.bias) ? yes() : no("last axis is not dense");
}};
constexpr Limit<RowNormGradArgs> grad_rows{"f32, last axis dense", [](const RowNormGradArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  return dense(a.x) && dense(a.dy) && dense(a.dx) && dense(a.weight) && dense(a.dweight) && dense(a.dbias) ? yes() : no("last axis is not dense");
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

}  // namespace

const Family<RowNormArgs>& row_norm_family() {
  static const Family<RowNormArgs> family("row_norm", {
      host("ref", row_norm_ref, any<RowNormArgs>, 0, "two visits, double sums"),
      host("naive", row_norm_naive, any<RowNormArgs>, 1, "two visits, rows over threads"),
      host("cpu.1_simd", row_norm_simd, rows, 10, "two visits, whole vectors"),
  }, {
      {"0_thread_row", GRAFT_BODIES(row_norm_thread_row), any<RowNormArgs>, 1, "one thread per row, three visits"},
  });
  return family;
}
const Family<RowNormGradArgs>& row_norm_grad_family() {
  static const Family<RowNormGradArgs> family("row_norm_grad", {
      host("ref", row_norm_grad_ref, any<RowNormGradArgs>, 0, "plain loops, double sums"),
      host("naive", row_norm_grad_naive, any<RowNormGradArgs>, 1, "rows for dx, columns for the parameters"),
      host("cpu.1_simd", row_norm_grad_simd, grad_rows, 10, "rows for dx, vectors of columns for the parameters"),
  }, {
      {"0_thread_row", GRAFT_BODIES(row_norm_grad_thread_row), any<RowNormGradArgs>, 1, "one thread per row for dx, one per column for the parameters"},
  });
  return family;
}
const Family<GroupNormArgs>& group_norm_family() {
  static const Family<GroupNormArgs> family("group_norm", {
      host("ref", group_norm_ref, any<GroupNormArgs>, 0, "two visits, double sums"),
      host("naive", group_norm_naive, any<GroupNormArgs>, 1, "two visits, groups over threads"),
      host("cpu.1_simd", group_norm_simd, group_planes, 10, "two visits, whole vectors along a plane"),
  }, {
      {"0_thread_group", GRAFT_BODIES(group_norm_thread_group), any<GroupNormArgs>, 1, "one thread per group, three visits"},
  });
  return family;
}
const Family<GroupNormGradArgs>& group_norm_grad_family() {
  static const Family<GroupNormGradArgs> family("group_norm_grad", {
      host("ref", group_norm_grad_ref, any<GroupNormGradArgs>, 0, "plain loops, double sums"),
      host("naive", group_norm_grad_naive, any<GroupNormGradArgs>, 1, "groups for dx, channels for the parameters"),
      host("cpu.1_simd", group_norm_grad_simd, group_grad_planes, 10, "groups for dx, channels for the parameters, whole vectors along a plane"),
  }, {
      {"0_thread_group", GRAFT_BODIES(group_norm_grad_thread_group), any<GroupNormGradArgs>, 1, "one thread per group for dx, one per channel for the parameters"},
  });
  return family;
}
const Family<BatchNormArgs>& batch_norm_family() {
  static const Family<BatchNormArgs> family("batch_norm", {
      host("ref", batch_norm_ref, any<BatchNormArgs>, 0, "two visits, double sums"),
      host("naive", batch_norm_naive, any<BatchNormArgs>, 1, "two visits, channels over threads"),
      host("cpu.1_simd", batch_norm_simd, planes, 10, "two visits, whole vectors along a plane"),
  }, {
      {"0_thread_channel", GRAFT_BODIES(batch_norm_thread_channel), any<BatchNormArgs>, 1, "one thread per channel, three visits"},
  });
  return family;
}
const Family<BatchNormGradArgs>& batch_norm_grad_family() {
  static const Family<BatchNormGradArgs> family("batch_norm_grad", {
      host("ref", batch_norm_grad_ref, any<BatchNormGradArgs>, 0, "plain loops, double sums"),
      host("naive", batch_norm_grad_naive, any<BatchNormGradArgs>, 1, "channels over threads"),
      host("cpu.1_simd", batch_norm_grad_simd, grad_planes, 10, "channels over threads, whole vectors along a plane"),
  }, {
      {"0_thread_channel", GRAFT_BODIES(batch_norm_grad_thread_channel), any<BatchNormGradArgs>, 1, "one thread per channel, for dx and for the parameters"},
  });
  return family;
}

}  // namespace graft
