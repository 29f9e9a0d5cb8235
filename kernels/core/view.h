// The argument type of kernels: a raw pointer with sizes and strides. It owns nothing and checks nothing.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/core/dtype.h"

namespace graft {

inline constexpr int kMaxRank = 8;

struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};   // elements along each axis
  std::array<std::int64_t, kMaxRank> stride{};  // elements, may be 0 (broadcast) or negative

  template <class T>
  constexpr T* as() const {
    return static_cast<T*>(data);
  }
  constexpr std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  // Size and stride counted from the last axis: size(-1) is the last.
  constexpr std::int64_t size(int axis) const { return shape[axis < 0 ? axis + rank : axis]; }
  constexpr std::int64_t step(int axis) const { return stride[axis < 0 ? axis + rank : axis]; }
};

// Row-major view of `shape` over `data`.
View dense_view(void* data, DType dtype, std::span<const std::int64_t> shape);
inline View dense_view(void* data, DType dtype, std::initializer_list<std::int64_t> shape) {
  return dense_view(data, dtype, std::span(shape.begin(), shape.size()));
}

bool is_dense(const View& v);  // row-major without holes (axes of size 1 do not count)
bool same_shape(const View& a, const View& b);
std::string describe(const View& v);  // "f32[8,1024]", with strides when not dense

}  // namespace graft
