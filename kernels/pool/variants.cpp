#include "kernels/pool/rows.h"

namespace graft {
namespace {

bool inside(const PoolGeometry& g) {
  return !(g.pad_top || g.pad_left || g.pad_bottom || g.pad_right) && g.dilation_h == 1 && g.dilation_w == 1;
}
bool pair(const PoolGeometry& g) { return g.kernel_h == 2 && g.kernel_w == 2 && g.stride_h == 2 && g.stride_w == 2; }
bool dense_last(const View& v) { return !v.data || v.shape[3] <= 1 || v.stride[3] == 1; }
bool channels_last(const View& v) { return !v.data || v.stride[1] == 1; }

constexpr Limit<MaxPoolArgs> pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const MaxPoolArgs& a) {
                                     if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                     if (!inside(a.geometry) || !pair(a.geometry))
                                       return no("not 2 x 2 windows with stride 2 inside the image");
                                     return dense_last(a.x) && dense_last(a.y) && dense_last(a.where) ? yes()
                                                                                                      : no("last axis is not dense");
                                   }};
constexpr Limit<MaxPoolGradArgs> grad_pairs{
    "f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const MaxPoolGradArgs& a) {
      if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
      if (!inside(a.geometry) || !pair(a.geometry)) return no("not 2 x 2 windows with stride 2 inside the image");
      return dense_last(a.dx) && dense_last(a.dy) && dense_last(a.where) ? yes() : no("last axis is not dense");
    }};
constexpr Limit<MaxPoolArgs> channels{
    "f32, channels last, no padding, no dilation", [](const MaxPoolArgs& a) {
      if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
      if (!inside(a.geometry)) return no("padding or dilation");
      return channels_last(a.x) && channels_last(a.y) && channels_last(a.where) ? yes() : no("channels are not side by side");
    }};
constexpr Limit<MaxPoolGradArgs> grad_channels{
    "f32, channels last, no padding, no dilation, windows that do not overlap", [](const MaxPoolGradArgs& a) {
      const PoolGeometry& g = a.geometry;
      if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
      if (!inside(g) || g.kernel_h > g.stride_h || g.kernel_w > g.stride_w) return no("padding, dilation or overlapping windows");
      return channels_last(a.dx) && channels_last(a.dy) && channels_last(a.where) ? yes() : no("channels are not side by side");
    }};

constexpr Limit<AvgPoolArgs> average_channels{"f32, channels last", [](const AvgPoolArgs& a) {
                                                if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                                return channels_last(a.x) && channels_last(a.y) ? yes()
                                                                                                : no("channels are not side by side");
                                              }};
constexpr Limit<AvgPoolGradArgs> average_grad_channels{
    "f32, channels last", [](const AvgPoolGradArgs& a) {
      if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
      return channels_last(a.dx) && channels_last(a.dy) ? yes() : no("channels are not side by side");
    }};
constexpr Limit<AvgPoolArgs> average_pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense", [](const AvgPoolArgs& a) {
                                             if (a.x.dtype != DType::f32) return no("x is " + std::string(name_of(a.x.dtype)));
                                             if (!inside(a.geometry) || !pair(a.geometry))
                                               return no("not 2 x 2 windows with stride 2 inside the image");
                                             return dense_last(a.x) && dense_last(a.y) ? yes() : no("last axis is not dense");
                                           }};
constexpr Limit<AvgPoolGradArgs> average_grad_pairs{"f32, 2 x 2 windows with stride 2, no padding, last axis dense",
                                                    [](const AvgPoolGradArgs& a) {
                                                      if (a.dx.dtype != DType::f32) return no("dx is " + std::string(name_of(a.dx.dtype)));
                                                      if (!inside(a.geometry) || !pair(a.geometry))
                                                        return no("not 2 x 2 windows with stride 2 inside the image");
                                                      return dense_last(a.dx) && dense_last(a.dy) ? yes() : no("last axis is not dense");
                                                    }};

// The device counts outputs in 32 bits. A window's reach beyond the image is bounded by its extent.
Verdict planes32(std::initializer_list<const View*> views, const PoolGeometry& g) {
  for (const View* v : views) {
    if (!dense_last(*v)) return no("last axis is not dense");
    if (v->data && v->shape[2] * v->shape[3] > 1 << 24) return no("planes of more than 2^24 elements");
    if (v->data && v->shape[0] * v->shape[1] > 0x7fffffff) return no("2^31 planes or more");
  }
  return g.kernel_h * g.dilation_h + g.kernel_w * g.dilation_w < 1 << 24 ? yes() : no("a window of 2^24 or more");
}
Verdict pieces16(std::initializer_list<const View*> views, const PoolGeometry& g) {
  for (const View* v : views) {
    if (!v->data) continue;
    if (v->stride[1] != 1) return no("channels are not side by side");
    const auto n = static_cast<std::int64_t>(16 / size_of((*views.begin())->dtype));  // channels of a piece, also of `where`
    const std::int64_t unit = v->dtype == DType::i32 ? 4 : n;
    if (v->shape[1] % n) return no(std::to_string(v->shape[1]) + " channels are no multiple of 16 bytes");
    const bool whole = v->stride[0] % unit == 0 && v->stride[2] % unit == 0 && v->stride[3] % unit == 0;
    if (!whole || reinterpret_cast<std::uintptr_t>(v->data) % 16) return no("not aligned to 16 bytes");
    if (v->numel() > 0x7fffffff) return no("2^31 elements or more");
  }
  return g.kernel_h * g.dilation_h + g.kernel_w * g.dilation_w < 1 << 24 ? yes() : no("a window of 2^24 or more");
}
constexpr std::string_view kPlanes32 = "last axis dense, planes up to 2^24",
                           kPieces16 = "channels last, in whole aligned pieces of 16 bytes";
constexpr Limit<MaxPoolArgs> plane{kPlanes32, [](const MaxPoolArgs& a) { return planes32({&a.x, &a.y, &a.where}, a.geometry); }};
constexpr Limit<MaxPoolGradArgs> grad_plane{kPlanes32, [](const MaxPoolGradArgs& a) {
                                              return planes32({&a.dx, &a.dy, &a.where}, a.geometry);
                                            }};
constexpr Limit<AvgPoolArgs> average_plane{kPlanes32, [](const AvgPoolArgs& a) { return planes32({&a.x, &a.y}, a.geometry); }};
constexpr Limit<AvgPoolGradArgs> average_grad_plane{kPlanes32, [](const AvgPoolGradArgs& a) {
                                                      return planes32({&a.dx, &a.dy}, a.geometry);
                                                    }};
constexpr Limit<MaxPoolArgs> pieces{kPieces16, [](const MaxPoolArgs& a) { return pieces16({&a.x, &a.y, &a.where}, a.geometry); }};
constexpr Limit<MaxPoolGradArgs> grad_pieces{kPieces16, [](const MaxPoolGradArgs& a) {
                                               return pieces16({&a.dx, &a.dy, &a.where}, a.geometry);
                                             }};
constexpr Limit<AvgPoolArgs> average_pieces{kPieces16, [](const AvgPoolArgs& a) { return pieces16({&a.x, &a.y}, a.geometry); }};
constexpr Limit<AvgPoolGradArgs> average_grad_pieces{kPieces16, [](const AvgPoolGradArgs& a) {
                                                       return pieces16({&a.dx, &a.dy}, a.geometry);
                                                     }};

}  // namespace

const Family<MaxPoolArgs>& max_pool_family() {
  static const Family<MaxPoolArgs> family(
      "max_pool",
      {
          host("ref", max_pool_ref, any<MaxPoolArgs>, 0, "plain loops"),
          host("naive", max_pool_naive, any<MaxPoolArgs>, 1, "plain loops, planes over threads"),
          host("cpu.1_pairs", max_pool_pairs, pairs, 10, "2 x 2 windows, even and odd columns parted on load"),
          host("cpu.1_channels", max_pool_channels, channels, 11, "channels last, a vector of channels per position"),
      },
      {
          {"0_thread_output", GRAFT_BODIES(max_pool_thread_output), any<MaxPoolArgs>, 1, "one thread per output"},
          {"1_plane", GRAFT_BODIES(max_pool_plane), plane, 10, "a block per plane, lanes along rows"},
          {"2_channels", GRAFT_BODIES(max_pool_channels_16), pieces, 20, "channels last, 16 bytes of channels per thread"},
      });
  return family;
}

const Family<MaxPoolGradArgs>& max_pool_grad_family() {
  static const Family<MaxPoolGradArgs> family(
      "max_pool_grad",
      {
          host("ref", max_pool_grad_ref, any<MaxPoolGradArgs>, 0, "gather per dx element, double sums"),
          host("naive", max_pool_grad_naive, any<MaxPoolGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
          host("cpu.1_pairs", max_pool_grad_pairs, grad_pairs, 10, "2 x 2 windows, both columns woven on store"),
          host("cpu.1_channels", max_pool_grad_channels, grad_channels, 11, "channels last, a vector of channels per position"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(max_pool_grad_thread_element), any<MaxPoolGradArgs>, 1, "one thread per dx element gathers"},
          {"1_plane", GRAFT_BODIES(max_pool_grad_plane), grad_plane, 10, "a block per plane, lanes along rows"},
          {"2_channels", GRAFT_BODIES(max_pool_grad_channels_16), grad_pieces, 20, "channels last, 16 bytes of channels per thread"},
      });
  return family;
}

const Family<AvgPoolArgs>& avg_pool_family() {
  static const Family<AvgPoolArgs> family(
      "avg_pool",
      {
          host("ref", avg_pool_ref, any<AvgPoolArgs>, 0, "plain loops, double sums"),
          host("naive", avg_pool_naive, any<AvgPoolArgs>, 1, "plain loops, sums in the accumulation type"),
          host("cpu.1_pairs", avg_pool_pairs, average_pairs, 10, "2 x 2 windows, even and odd columns parted on load"),
          host("cpu.1_channels", avg_pool_channels, average_channels, 11, "channels last, a vector of channels per position"),
      },
      {
          {"0_thread_output", GRAFT_BODIES(avg_pool_thread_output), any<AvgPoolArgs>, 1, "one thread per output"},
          {"1_plane", GRAFT_BODIES(avg_pool_plane), average_plane, 10, "a block per plane, lanes along rows"},
          {"2_channels", GRAFT_BODIES(avg_pool_channels_16), average_pieces, 20, "channels last, 16 bytes of channels per thread"},
      });
  return family;
}

const Family<AvgPoolGradArgs>& avg_pool_grad_family() {
  static const Family<AvgPoolGradArgs> family(
      "avg_pool_grad",
      {
          host("ref", avg_pool_grad_ref, any<AvgPoolGradArgs>, 0, "gather per dx element, double sums"),
          host("naive", avg_pool_grad_naive, any<AvgPoolGradArgs>, 1, "gather per dx element, sums in the accumulation type"),
          host("cpu.1_pairs", avg_pool_grad_pairs, average_grad_pairs, 10, "2 x 2 windows, a quarter of dy woven on store"),
          host("cpu.1_channels", avg_pool_grad_channels, average_grad_channels, 11, "channels last, a vector of channels per position"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(avg_pool_grad_thread_element), any<AvgPoolGradArgs>, 1, "one thread per dx element gathers"},
          {"1_plane", GRAFT_BODIES(avg_pool_grad_plane), average_grad_plane, 10, "a block per plane, lanes along rows"},
          {"2_channels", GRAFT_BODIES(avg_pool_grad_channels_16), average_grad_pieces, 20,
           "channels last, 16 bytes of channels per thread"},
      });
  return family;
}

}  // namespace graft
