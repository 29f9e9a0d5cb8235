#include "kernels/conv/rows.h"
#include "kernels/conv/split.h"
#include "kernels/core/cuda_backend.h"

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
                                                  if (a.geometry.stride_w != 1)
                                                    return no("stride along w is " + std::to_string(a.geometry.stride_w));
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
constexpr Limit<ConvArgs> offsets{"f32, at least 4 output channels per group",
                                  [](const ConvArgs& a) { return tiles(a.x, a.y, a.y.shape[1] / a.geometry.groups); }};
constexpr Limit<ConvInputGradArgs> grad_offsets{"f32, at least 4 input channels per group", [](const ConvInputGradArgs& a) {
                                                  return tiles(a.dy, a.dx, a.dx.shape[1] / a.geometry.groups);
                                                }};
constexpr Limit<ConvWeightGradArgs> weight_offsets{"f32, at least 4 output channels per group", [](const ConvWeightGradArgs& a) {
                                                     return tiles(a.x, a.dy, a.dy.shape[1] / a.geometry.groups);
                                                   }};

bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

// A step of AMX is 32 channels, and its columns are 32; rows of outputs are cut into equal pieces of at most 16. `reuse`: products that
// each number of the image takes part in, for which it is split; 16 bits need none to be faster than any other row.
Verdict amx_tiles(const View& image, std::int64_t in, std::int64_t out, std::int64_t pixels, std::int64_t reuse) {
  if (!f32_or_half(image.dtype)) return no("dtype is " + std::string(name_of(image.dtype)));
  for (const auto& [name, channels] : {std::pair{"in", in}, std::pair{"out", out}})
    if (channels < 16) return no(std::to_string(channels) + " channels " + name + " per group leave most of a tile empty");
  if (pixels < 6) return no(std::to_string(pixels) + " pixels in a row leave most of a tile empty");
  return reuse >= 128 || image.dtype != DType::f32 ? yes()
                                                   : no(std::to_string(reuse) + " products per number do not make up for splitting it");
}
constexpr Limit<ConvArgs> amx{
    "AMX; f32, bf16, f16; at least 16 channels per group in and out, rows of at least 6 outputs; f32 with 128 products per input",
    [](const ConvArgs& a) {
      const std::int64_t out = a.weight.shape[0] / a.geometry.groups;
      return amx_tiles(a.x, a.weight.shape[1], out, a.y.shape[3], out * a.weight.shape[2] * a.weight.shape[3]);
    }};
constexpr Limit<ConvInputGradArgs> grad_amx{"as conv", [](const ConvInputGradArgs& a) {
                                              const auto& w = a.weight.shape;
                                              return amx_tiles(a.dy, w[0] / a.geometry.groups, w[1], a.dx.shape[3] / a.geometry.stride_w,
                                                               w[1] * w[2] * w[3]);
                                            }};
constexpr Limit<ConvWeightGradArgs> weight_amx{
    "as conv, stride 1; f32 with 8 images, 2^18 weights at most, and three quarters of the steps pixels of dy",
    [](const ConvWeightGradArgs& a) {
      if (a.geometry.stride_h != 1 || a.geometry.stride_w != 1) return no("stride is not 1");
      const std::int64_t n = a.dy.shape[0], p = a.dy.shape[2], q = a.dy.shape[3],
                         width = a.x.shape[3] + a.geometry.pad_left + a.geometry.pad_right, steps = (p * width + 31) / 32 * 32;
      if (n * p < 1) return no("dy is empty");
      if (a.x.dtype == DType::f32) {
        if (n < 8) return no(std::to_string(n) + " images: the threads would split the same ones");
        if (a.dweight.numel() > 1 << 18) return no("sums of more than 1 MiB would come and go for few images each");
        if (4 * p * q < 3 * steps) return no(std::to_string(p * q) + " pixels of dy in " + std::to_string(steps) + " steps");
      }
      return amx_tiles(a.x, a.dweight.shape[1], a.dweight.shape[0] / a.geometry.groups, q, 128);
    }};

// The device's tiles are 64 wide and count in 32 bits.
Verdict tiles64(const View& image, const View& result, std::int64_t channels, std::int64_t groups, std::int64_t steps) {
  if (!f32_or_half(image.dtype)) return no("dtype is " + std::string(name_of(image.dtype)));
  if (channels < 8) return no(std::to_string(channels) + " channels per group leave a tile of 64 empty");
  if (groups * ((channels + 63) / 64) > 65535) return no("more than 65535 tiles of channels");
  for (const View* v : {&image, &result})
    if (v->shape[0] * v->shape[2] * v->shape[3] >= std::int64_t{1} << 30) return no("2^30 pixels or more");
  return steps < std::int64_t{1} << 30 ? yes() : no("2^30 steps or more");
}
std::int64_t filter(const View& w, int channels) { return w.shape[channels] * w.shape[2] * w.shape[3]; }
constexpr Limit<ConvArgs> gemm{"f32, bf16, f16; at least 8 output channels per group", [](const ConvArgs& a) {
                                 return tiles64(a.x, a.y, a.y.shape[1] / a.geometry.groups, a.geometry.groups, filter(a.weight, 1));
                               }};
constexpr Limit<ConvInputGradArgs> grad_gemm{"f32, bf16, f16; at least 8 input channels per group", [](const ConvInputGradArgs& a) {
                                               if (a.geometry.stride_h * a.geometry.stride_w > 65535) return no("more than 65535 phases");
                                               return tiles64(a.dy, a.dx, a.dx.shape[1] / a.geometry.groups, a.geometry.groups,
                                                              filter(a.weight, 0));
                                             }};
constexpr Limit<ConvWeightGradArgs> weight_gemm{
    "f32, bf16, f16; at least 8 output channels and 8 taps per group", [](const ConvWeightGradArgs& a) {
      if (conv_split::taps(a) < 8) return no(std::to_string(conv_split::taps(a)) + " taps leave a tile of 64 empty");
      return tiles64(a.x, a.dy, a.dy.shape[1] / a.geometry.groups, a.geometry.groups, conv_split::taps(a));
    }};

// weight: [k, 1, side, side]
Verdict single_channel(const View& image, const View& result, const View& weight) {
  if (!f32_or_half(image.dtype)) return no("dtype is " + std::string(name_of(image.dtype)));
  if (weight.shape[1] != 1) return no(std::to_string(weight.shape[1]) + " input channels per group");
  const std::int64_t side = weight.shape[2];
  if (weight.shape[3] != side || (side != 3 && side != 5 && side != 7)) return no("filter is not 3 x 3, 5 x 5 or 7 x 7");
  for (const View* v : {&image, &result}) {
    if (v->shape[2] * v->shape[3] > 1 << 22) return no("planes of more than 2^22 pixels");
    if (v->shape[0] * std::max<std::int64_t>(v->shape[1], v->shape[2] * v->shape[3]) >= std::int64_t{1} << 30)
      return no("2^30 planes or pixels, or more");
  }
  return yes();
}
constexpr Limit<ConvArgs> depthwise{"f32, bf16, f16; one input channel per group; 3 x 3, 5 x 5, 7 x 7",
                                    [](const ConvArgs& a) { return single_channel(a.x, a.y, a.weight); }};
constexpr Limit<ConvInputGradArgs> grad_depthwise{"f32, bf16, f16; one channel in and out per group; 3 x 3, 5 x 5, 7 x 7",
                                                  [](const ConvInputGradArgs& a) {
                                                    if (a.weight.shape[0] != a.dx.shape[1]) return no("several output channels per group");
                                                    return single_channel(a.dy, a.dx, a.weight);
                                                  }};
constexpr Limit<ConvWeightGradArgs> weight_depthwise{"f32, bf16, f16; one input channel per group; 3 x 3, 5 x 5, 7 x 7",
                                                     [](const ConvWeightGradArgs& a) { return single_channel(a.x, a.dy, a.dweight); }};
std::size_t depthwise_scratch(const ConvWeightGradArgs& a, int) { return conv_split::bytes(a, conv_split::depthwise(a)); }

// Fewer channels would leave its 8 deep, 32 wide tiles empty.
constexpr Limit<ConvArgs> winograd{
    "f32, 3 x 3, stride 1, dilation 1, one group, at least 8 channels in and 16 out, not channels last", [](const ConvArgs& a) {
      const ConvGeometry& g = a.geometry;
      if (a.x.dtype != DType::f32) return no("dtype is " + std::string(name_of(a.x.dtype)));
      if (a.weight.shape[2] != 3 || a.weight.shape[3] != 3) return no("filter is not 3 x 3");
      if (g.stride_h != 1 || g.stride_w != 1 || g.dilation_h != 1 || g.dilation_w != 1 || g.groups != 1)
        return no("stride, dilation or groups are not 1");
      if (a.x.shape[1] < 8 || a.y.shape[1] < 16) return no("fewer than 8 channels in or 16 out");
      if (conv_split::channels_inner(a.x) || conv_split::channels_inner(a.y)) return no("channels last");
      return a.y.shape[0] * (a.y.shape[2] + 1) * (a.y.shape[3] + 1) < std::int64_t{1} << 30 && a.y.shape[1] < 32 * 65535
                 ? yes()
                 : no("2^30 pixels or more");
    }};
std::size_t winograd_scratch(const ConvArgs& a, int) {
  return sizeof(float) * static_cast<std::size_t>(16 * a.weight.shape[0] * a.weight.shape[1]);
}

std::size_t gemm_scratch(const ConvWeightGradArgs& a, int) { return conv_split::bytes(a, conv_split::gemm(a)); }

// cuDNN takes images that lie channels first or channels last, without holes, and dense filters.
bool packed(const View& v) {
  if (is_dense(v)) return true;
  const auto &n = v.shape, &s = v.stride;
  return s[1] == 1 && s[3] == n[1] && s[2] == n[3] * s[3] && s[0] == n[2] * s[2];
}
Verdict as_cudnn(const View& x, const View& w, const View& y, bool more) {
  if (!f32_or_half(x.dtype)) return no("dtype is " + std::string(name_of(x.dtype)));
  if (more) return no("a bias or an activation beside the convolution");
  for (const View* v : {&x, &w, &y})
    if (!packed(*v)) return no("an operand is neither channels first nor channels last without holes");
  return yes();
}
constexpr Limit<ConvArgs> cudnn{"f32, bf16, f16 without holes; no bias, no ReLU",
                                [](const ConvArgs& a) { return as_cudnn(a.x, a.weight, a.y, a.bias.data || a.relu); }};
constexpr Limit<ConvInputGradArgs> grad_cudnn{"f32, bf16, f16 without holes; no bias",
                                              [](const ConvInputGradArgs& a) { return as_cudnn(a.dx, a.weight, a.dy, a.bias.data); }};
constexpr Limit<ConvWeightGradArgs> weight_cudnn{"f32, bf16, f16 without holes; no gradient of a bias",
                                                 [](const ConvWeightGradArgs& a) { return as_cudnn(a.x, a.dweight, a.dy, a.dbias.data); }};

}  // namespace

const Family<ConvArgs>& conv_family() {
  static const Family<ConvArgs> family(
      "conv",
      {
          host("ref", conv_ref, any<ConvArgs>, 0, "plain loops, double sums"),
          host("naive", conv_naive, any<ConvArgs>, 1, "plain loops, sums in the accumulation type"),
          host("cpu.1_rows", conv_rows_forward, rows, 10, "a row of outputs at a time, one tap held fixed"),
          host("cpu.2_offsets", conv_offsets_forward, offsets, 20, "register tiles over offset tables, nothing unfolded"),
          amx_row<ConvArgs>("cpu.3_amx", GRAFT_AMX_BODY(conv_amx_forward), amx, 30,
                            "AMX tiles that lie in the split image, nothing unfolded"),
      },
      {
          {"0_direct", GRAFT_BODIES(conv_direct), any<ConvArgs>, 1, "one thread per output"},
          {"1_implicit_gemm", GRAFT_BODIES(conv_implicit_gemm), gemm, 10,
           "64 x 64 tiles of pixels x channels in shared memory, nothing unfolded"},
          {"2_depthwise", GRAFT_BODIES(conv_depthwise), depthwise, 20, "a channel's filter in registers, 8 pixels per thread"},
          {"3_winograd", GRAFT_BODIES(conv_winograd), winograd, 30, "F(2 x 2, 3 x 3): 16 products per 4 outputs, transforms in registers",
           winograd_scratch},
      },
      {
          {"cudnn", GRAFT_VENDOR(conv_cudnn, cudnn), cudnn, 5, "cuDNN's graph API, the heuristic's first engine",
           vendor_workspace<ConvArgs>},
      });
  return family;
}

const Family<ConvInputGradArgs>& conv_input_grad_family() {
  static const Family<ConvInputGradArgs> family(
      "conv_input_grad",
      {
          host("ref", conv_input_grad_ref, any<ConvInputGradArgs>, 0, "plain loops, double sums"),
          host("naive", conv_input_grad_naive, any<ConvInputGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
          host("cpu.1_rows", conv_rows_input_grad, grad_rows, 10, "a row of dx at a time, one tap held fixed"),
          host("cpu.2_offsets", conv_offsets_input_grad, grad_offsets, 20, "register tiles over offset tables, one pass per stride phase"),
          amx_row<ConvInputGradArgs>("cpu.3_amx", GRAFT_AMX_BODY(conv_amx_input_grad), grad_amx, 30,
                                     "AMX tiles that lie in the split image, one pass per stride phase"),
      },
      {
          {"0_direct", GRAFT_BODIES(conv_direct_input_grad), any<ConvInputGradArgs>, 1, "one thread per dx element gathers"},
          {"1_implicit_gemm", GRAFT_BODIES(conv_implicit_gemm_input_grad), grad_gemm, 10,
           "64 x 64 tiles, one stride-1 convolution per phase of the stride"},
          {"2_depthwise", GRAFT_BODIES(conv_depthwise_input_grad), grad_depthwise, 20,
           "a channel's filter in registers, 8 pixels per thread"},
      },
      {
          {"cudnn", GRAFT_VENDOR(conv_input_grad_cudnn, cudnn), grad_cudnn, 5, "cuDNN's graph API, the heuristic's first engine",
           vendor_workspace<ConvInputGradArgs>},
      });
  return family;
}

const Family<ConvWeightGradArgs>& conv_weight_grad_family() {
  static const Family<ConvWeightGradArgs> family(
      "conv_weight_grad",
      {
          host("ref", conv_weight_grad_ref, any<ConvWeightGradArgs>, 0, "plain loops, double sums"),
          host("naive", conv_weight_grad_naive, any<ConvWeightGradArgs>, 1, "plain loops per filter tap, sums in the accumulation type"),
          host("cpu.1_rows", conv_rows_weight_grad, weight_rows, 10, "rows of dy against shifted rows of x, eight partial sums"),
          host("cpu.2_offsets", conv_offsets_weight_grad, weight_offsets, 20, "register tiles of taps x channels, steps are pixels"),
          amx_row<ConvWeightGradArgs>("cpu.3_amx", GRAFT_AMX_BODY(conv_amx_weight_grad), weight_amx, 30,
                                      "AMX tiles of channels x channels per tap, steps are pixels"),
      },
      {
          {"0_direct", GRAFT_BODIES(conv_direct_weight_grad), any<ConvWeightGradArgs>, 1, "one thread per filter tap, no atomics"},
          {"1_implicit_gemm", GRAFT_BODIES(conv_implicit_gemm_weight_grad), weight_gemm, 10,
           "64 x 64 tiles of k x taps, ranges of pixels folded in order", gemm_scratch},
          {"2_depthwise", GRAFT_BODIES(conv_depthwise_weight_grad), weight_depthwise, 20,
           "a sum per tap in registers, ranges of pixels folded in order", depthwise_scratch},
      },
      {
          {"cudnn", GRAFT_VENDOR(conv_weight_grad_cudnn, cudnn), weight_cudnn, 5, "cuDNN's graph API, the heuristic's first engine",
           vendor_workspace<ConvWeightGradArgs>},
      });
  return family;
}

}  // namespace graft
