#include "engine/autograd/finite.h"

#include <cmath>

#include "engine/autograd/tape.h"

namespace graft {

std::int64_t count_not_finite(const Tensor& t) {
  if (!t.defined() || (t.dtype() != DType::f64 && t.dtype() != DType::f32 && t.dtype() != DType::bf16 && t.dtype() != DType::f16)) return 0;
  const NoWatch unseen;  // reading is made of operations too
  const NoGrad off;
  std::int64_t n = 0;
  for (const double v : t.detach().values()) n += !std::isfinite(v);
  return n;
}

void FiniteWatch::look(Text text, const void* call, const Tensors& in, const Tensors& out) {
  if (!found_.empty()) return;
  for (const Tensor& t : out) {
    const std::int64_t bad = count_not_finite(t);
    if (bad == 0) continue;
    for (const Tensor& i : in)
      if (count_not_finite(i) > 0) return;
    found_ = text(call) + (text_ && call != call_ ? ", in the " + text_(call_) + "," : "") + " gave " + std::to_string(bad) + " of " +
             std::to_string(t.numel()) + " values that are not finite";
    return;
  }
}

}  // namespace graft
