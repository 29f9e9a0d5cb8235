#include "kernels/conv/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[3] <= 1 || v.stride[3] == 1; }

constexpr Limit<ConvArgs> rows{"stride 1 along w, last axis dense", [](const ConvArgs& a) {
  if (a.geometry.stride_w != 1) return no("stride along w is " + std::to_string(a.geometry.stride_w));
  return dense_last(a.x) && dense_last(a.y) ? yes() : no("last axis is not dense");
}};
constexpr Limit<ConvInputGradArgs> grad_rows{"stride 1, last axis dense", [](const ConvInputGradArgs& a) {
  if (a.geometry.stride_w != 1 || a.geometry.stride_h != 1) return no("stride is not 1");
  return dense_last(a.dy) && dense_last(a.dx) ? yes() : no("last axis is not dense");
}};
constexpr Limit<ConvWeightGradArgs> weight_rows{"stride 1 along w, last axis dense", [](const ConvWeightGradArgs& a) {
  if (a.geometry.stride_w != 1) return no("stride along w is " + std::to_string(a.geometry.stride_w));
  return dense_last(a.x) && dense_last(a.dy) ? yes() : no("last axis is not dense");
}};

// Offsets within one image are 32-bit; tiles of 16 channels want at least 4 of them.
Verdict tiles(const View& image, const View& other, std::int64_t channels) {
  if (image.dtype != DType::f32) return no("dtype is " + std::string(name_of(image.dtype)));
  if (channels < 4) return no(std::to_string(channels) + " channels per group leave a tile empty");
  for (const View* v : {&image, &other}) {
    std::int64_t extent = 1;
    for (int i = 1; i < 4; ++i) extent += (v->shape[i] + 64) * (v->stride[i] < 0 ? -v->stride[i] : v->stride[i]);
    if (extent > (std::int64_t{1} << 30)) return no("an image spans more than 2^30 elements");
  }
  return yes();
}
constexpr Limit<ConvArgs> offsets{"f32, at least 4 output channels per group", [](const ConvArgs& a) { return tiles(a.x, a.y, a.y.shape[1] / a.geometry.groups); }};
constexpr Limit<ConvInputGradArgs> grad_offsets{"f32, at least 4 input channels per group",
                                                [](const ConvInputGradArgs& a) { return tiles(a.dy, a.dx, a.dx.shape[1] / a.geometry.groups); }};
constexpr Limit<ConvWeightGradArgs> weight_offsets{"f32, at least 4 output channels per group",
                                                   [](const ConvWeightGradArgs& a) { return tiles(a.x, a.dy, a.dy.shape[1] / a.geometry.groups); }};

}  // namespace

const Family<ConvArgs>& conv_family() {
  static const Family<ConvArgs> family("conv", {
      host("ref", conv_ref, any<ConvArgs>, 0, "plain loops, double sums"),
      host("naive", conv_naive, any<ConvArgs>, 1, "plain loops, sums in the accumulation type"),
      host("cpu.1_rows", conv_rows_forward, rows, 10, "a row of outputs at a time, one tap held fixed"),
      host("cpu.2_offsets", conv_offsets_forward, offsets, 20, "register tiles over offset tables, nothing unfolded"),
  }, {
      {"0_direct", GRAFT_BODIES(conv_direct), any<ConvArgs>, 1, "one thread per output"},
  });
  return family;
}

const Family<ConvInputGradArgs>& conv_input_grad_family() {
  static const Family<ConvInputGradArgs> family("conv_input_grad", {
      host("ref", conv_input_grad_ref, any<ConvInputGradArgs>, 0, "plain loops, double sums"),
      host("naive", conv_input_grad_naive, any<ConvInputGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
      host("cpu.1_rows", conv_rows_input_grad, grad_rows, 10, "a row of dx at a time, one tap held fixed"),
      host("cpu.2_offsets", conv_offsets_input_grad, grad_offsets, 20, "register tiles over offset tables, one pass per stride phase"),
  }, {
      {"0_direct", GRAFT_BODIES(conv_direct_input_grad), any<ConvInputGradArgs>, 1, "one thread per dx element gathers"},
  });
  return family;
}

const Family<ConvWeightGradArgs>& conv_weight_grad_family() {
  static const Family<ConvWeightGradArgs> family("conv_weight_grad", {
      host("ref", conv_weight_grad_ref, any<ConvWeightGradArgs>, 0, "plain loops, double sums"),
      host("naive", conv_weight_grad_naive, any<ConvWeightGradArgs>, 1, "plain loops per filter tap, sums in the accumulation type"),
      host("cpu.1_rows", conv_rows_weight_grad, weight_rows, 10, "rows of dy against shifted rows of x, eight partial sums"),
      host("cpu.2_offsets", conv_offsets_weight_grad, weight_offsets, 20, "register tiles of taps x channels, steps are pixels"),
  }, {
      {"0_direct", GRAFT_BODIES(conv_direct_weight_grad), any<ConvWeightGradArgs>, 1, "one thread per filter tap, no atomics"},
  });
  return family;
}

}  // namespace graft
