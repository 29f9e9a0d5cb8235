#include "kernels/core/view.h"

namespace graft {

View dense_view(void* data, DType dtype, std::span<const std::int64_t> shape) {
  View v;
  v.data = data;
  v.dtype = dtype;
  v.rank = static_cast<int>(shape.size());
  std::int64_t step = 1;
  for (int i = v.rank - 1; i >= 0; --i) {
    v.shape[i] = shape[i];
    v.stride[i] = step;
    step *= shape[i];
  }
  return v;
}

bool is_dense(const View& v) {
  std::int64_t step = 1;
  for (int i = v.rank - 1; i >= 0; --i) {
    if (v.shape[i] == 0) return true;
    if (v.shape[i] != 1 && v.stride[i] != step) return false;
    step *= v.shape[i];
  }
  return true;
}

bool same_shape(const View& a, const View& b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

std::string describe(const View& v) {
  std::string s(name_of(v.dtype));
  s += '[';
  for (int i = 0; i < v.rank; ++i) s += (i ? "," : "") + std::to_string(v.shape[i]);
  s += ']';
  if (!is_dense(v)) {
    s += " strides(";
    for (int i = 0; i < v.rank; ++i) s += (i ? "," : "") + std::to_string(v.stride[i]);
    s += ')';
  }
  return s;
}

}  // namespace graft
