#include "kernels/pool/rows.h"

namespace graft {
namespace {

bool inside(const PoolGeometry& g) { return !(g.pad_top || g.pad_left || g.pad_bottom || g.pad_right) && g.dilation_h == 1 && g.dilation_w == 1; }
bool pair(const PoolGeometry& g) { return g.kernel_h == 2 && g.kernel_w == 2 && g.stride_h == 2 && g.stride_w == 2; }
bool dense_last(const View& v) { return !v.data || v.shape[3] <= 1 || v.stride[3] == 1; }
bool channels_last(const View& v) { return !v.data || v.stride[1] == 1; }

constexpr Limit<MaxPoolArgs> pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const MaxPoolArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  if (!inside(a.geometry) || !pair(a.geometry)) return no("not 2 x 2 windows with stride 2 inside the image");
  return dense_last(a.x) && dense_last(a.y) && dense_last(a.where) ? yes() : no("last axis is not dense");
}};
constexpr Limit<MaxPoolGradArgs> grad_pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const MaxPoolGradArgs& a) {
  if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
  if (!inside(a.geometry) || !pair(a.geometry)) return no("not 2 x 2 windows with stride 2 inside the image");
  return dense_last(a.dx) && dense_last(a.dy) && dense_last(a.where) ? yes() : no("last axis is not dense");
}};
constexpr Limit<MaxPoolArgs> channels{"f32, channels last, no padding, no dilation", [](const MaxPoolArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  if (!inside(a.geometry)) return no("padding or dilation");
  return channels_last(a.x) && channels_last(a.y) && channels_last(a.where) ? yes() : no("channels are not side by side");
}};
constexpr Limit<MaxPoolGradArgs> grad_channels{"f32, channels last, no padding, no dilation, windows that do not overlap", [](const MaxPoolGradArgs& a) {
  const PoolGeometry& g = a.geometry;
  if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
  if (!inside(g) || g.kernel_h > g.stride_h || g.kernel_w > g.stride_w) return no("padding, dilation or overlapping windows");
  return channels_last(a.dx) && channels_last(a.dy) && channels_last(a.where) ? yes() : no("channels are not side by side");
}};

constexpr Limit<AvgPoolArgs> average_channels{"f32, channels last", [](const AvgPoolArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  return channels_last(a.x) && channels_last(a.y) ? yes() : no("channels are not side by side");
}};
constexpr Limit<AvgPoolGradArgs> average_grad_channels{"f32, channels last", [](const AvgPoolGradArgs& a) {
  if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
  return channels_last(a.dx) && channels_last(a.dy) ? yes() : no("channels are not side by side");
}};
constexpr Limit<AvgPoolArgs> average_pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const AvgPoolArgs& a) {
  if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
  if (!inside(a.geometry) || !pair(a.geometry)) return no("not 2 x 2 windows with stride 2 inside the image");
  return dense_last(a.x) && dense_last(a.y) ? yes() : no("last axis is not dense");
}};
constexpr Limit<AvgPoolGradArgs> average_grad_pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const AvgPoolGradArgs& a) {
  if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
  if (!inside(a.geometry) || !pair(a.geometry)) return no("not 2 x 2 windows with stride 2 inside the image");
  return dense_last(a.dx) && dense_last(a.dy) ? yes() : no("last axis is not dense");
}};

}  // namespace

const Family<MaxPoolArgs>& max_pool_family() {
  static const Family<MaxPoolArgs> family("max_pool", {
      host("ref", max_pool_ref, any<MaxPoolArgs>, 0, "plain loops"),
      host("naive", max_pool_naive, any<MaxPoolArgs>, 1, "plain loops, planes over threads"),
      host("cpu.1_pairs", max_pool_pairs, pairs, 10, "2 x 2 windows, even and odd columns parted on load"),
      host("cpu.1_channels", max_pool_channels, channels, 11, "channels last, a vector of channels per position"),
  }, {
      {"0_thread_output", GRAFT_BODIES(max_pool_thread_output), any<MaxPoolArgs>, 1, "one thread per output"},
  });
  return family;
}

const Family<MaxPoolGradArgs>& max_pool_grad_family() {
  static const Family<MaxPoolGradArgs> family("max_pool_grad", {
      host("ref", max_pool_grad_ref, any<MaxPoolGradArgs>, 0, "gather per dx element, double sums"),
      host("naive", max_pool_grad_naive, any<MaxPoolGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
      host("cpu.1_pairs", max_pool_grad_pairs, grad_pairs, 10, "2 x 2 windows, both columns woven on store"),
      host("cpu.1_channels", max_pool_grad_channels, grad_channels, 11, "channels last, a vector of channels per position"),
  }, {
      {"0_thread_element", GRAFT_BODIES(max_pool_grad_thread_element), any<MaxPoolGradArgs>, 1, "one thread per dx element gathers"},
  });
  return family;
}

const Family<AvgPoolArgs>& avg_pool_family() {
  static const Family<AvgPoolArgs> family("avg_pool", {
      host("ref", avg_pool_ref, any<AvgPoolArgs>, 0, "plain loops, double sums"),
      host("naive", avg_pool_naive, any<AvgPoolArgs>, 1, "plain loops, sums in the accumulation type"),
      host("cpu.1_pairs", avg_pool_pairs, average_pairs, 10, "2 x 2 windows, even and odd columns parted on load"),
      host("cpu.1_channels", avg_pool_channels, average_channels, 11, "channels last, a vector of channels per position"),
  }, {
      {"0_thread_output", GRAFT_BODIES(avg_pool_thread_output), any<AvgPoolArgs>, 1, "one thread per output"},
  });
  return family;
}

const Family<AvgPoolGradArgs>& avg_pool_grad_family() {
  static const Family<AvgPoolGradArgs> family("avg_pool_grad", {
      host("ref", avg_pool_grad_ref, any<AvgPoolGradArgs>, 0, "gather per dx element, double sums"),
      host("naive", avg_pool_grad_naive, any<AvgPoolGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
      host("cpu.1_pairs", avg_pool_grad_pairs, average_grad_pairs, 10, "2 x 2 windows, a quarter of dy woven on store"),
      host("cpu.1_channels", avg_pool_grad_channels, average_grad_channels, 11, "channels last, a vector of channels per position"),
  }, {
      {"0_thread_element", GRAFT_BODIES(avg_pool_grad_thread_element), any<AvgPoolGradArgs>, 1, "one thread per dx element gathers"},
  });
  return family;
}

}  // namespace graft
