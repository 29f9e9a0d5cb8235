#include "kernels/core/cuda_backend.h"
#include "kernels/softmax/rows.h"

namespace graft {
namespace {

bool dense_last(const View& v) { return v.shape[1] <= 1 || v.stride[1] == 1; }
bool f32_or_half(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

constexpr Limit<SoftmaxArgs> vectors{"f32, bf16, f16; last axis dense", [](const SoftmaxArgs& a) {
                                       if (!f32_or_half(a.x.dtype)) return no("x is " + std::string(name_of(a.x.dtype)));
                                       return dense_last(a.x) && dense_last(a.y) ? yes() : no("last axis is not dense");
                                     }};
constexpr Limit<SoftmaxGradArgs> grad_vectors{
    "f32, bf16, f16; last axis dense", [](const SoftmaxGradArgs& a) {
      if (!f32_or_half(a.y.dtype)) return no("y is " + std::string(name_of(a.y.dtype)));
      return dense_last(a.y) && dense_last(a.dy) && dense_last(a.dx) ? yes() : no("last axis is not dense");
    }};

// A warp has enough to do with shorter rows.
Verdict is_long(const View& x) { return x.shape[1] >= 1024 ? yes() : no("rows of " + std::to_string(x.shape[1]) + ": a warp does"); }
constexpr Limit<SoftmaxArgs> long_row{"at least 1024 columns", [](const SoftmaxArgs& a) { return is_long(a.x); }};
constexpr Limit<SoftmaxGradArgs> grad_long_row{"at least 1024 columns", [](const SoftmaxGradArgs& a) { return is_long(a.y); }};

// cuDNN counts in 32 bits.
Verdict as_cudnn(std::initializer_list<const View*> views) {
  for (const View* v : views) {
    if (v->shape[1] > 1 && v->stride[1] != 1) return no("last axis is not dense");
    if (v->shape[0] > 1 && v->stride[0] < v->shape[1]) return no("rows overlap");
    if (v->shape[0] * (v->shape[0] > 1 ? v->stride[0] : v->shape[1]) >= std::int64_t{1} << 31) return no("2^31 elements or more");
  }
  return yes();
}
constexpr Limit<SoftmaxArgs> cudnn{"last axis dense, fewer than 2^31 elements", [](const SoftmaxArgs& a) {
                                     return as_cudnn({&a.x, &a.y});
                                   }};
constexpr Limit<SoftmaxGradArgs> grad_cudnn{"last axis dense, fewer than 2^31 elements", [](const SoftmaxGradArgs& a) {
                                              return as_cudnn({&a.y, &a.dy, &a.dx});
                                            }};

}  // namespace

const Family<SoftmaxArgs>& softmax_family() {
  static const Family<SoftmaxArgs> family(
      "softmax",
      {
          host("ref", softmax_ref, any<SoftmaxArgs>, 0, "plain loops, double sums"),
          host("naive", softmax_naive, any<SoftmaxArgs>, 1, "three visits per row"),
          host("cpu.1_simd", softmax_simd, vectors, 10, "three visits per row, whole vectors"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(softmax_thread_row), any<SoftmaxArgs>, 1, "one thread per row, three visits"},
          {"1_warp_row", GRAFT_BODIES(softmax_warp_row), any<SoftmaxArgs>, 10, "one warp per row, one visit for maximum and sum"},
          {"2_block_row", GRAFT_BODIES(softmax_block_row), long_row, 20, "one block per row, warps meet in shared memory"},
      },
      {
          {"cudnn", GRAFT_VENDOR(softmax_cudnn, cudnn), cudnn, 5, "cudnnSoftmaxForward"},
      });
  return family;
}

const Family<SoftmaxGradArgs>& softmax_grad_family() {
  static const Family<SoftmaxGradArgs> family(
      "softmax_grad",
      {
          host("ref", softmax_grad_ref, any<SoftmaxGradArgs>, 0, "plain loops, double sums"),
          host("naive", softmax_grad_naive, any<SoftmaxGradArgs>, 1, "two visits per row"),
          host("cpu.1_simd", softmax_grad_simd, grad_vectors, 10, "two visits per row, whole vectors"),
      },
      {
          {"0_thread_row", GRAFT_BODIES(softmax_grad_thread_row), any<SoftmaxGradArgs>, 1, "one thread per row, two visits"},
          {"1_warp_row", GRAFT_BODIES(softmax_grad_warp_row), any<SoftmaxGradArgs>, 10, "one warp per row, two visits"},
          {"2_block_row", GRAFT_BODIES(softmax_grad_block_row), grad_long_row, 20, "one block per row, warps meet in shared memory"},
      },
      {
          {"cudnn", GRAFT_VENDOR(softmax_grad_cudnn, cudnn), grad_cudnn, 5, "cudnnSoftmaxBackward"},
      });
  return family;
}

}  // namespace graft
