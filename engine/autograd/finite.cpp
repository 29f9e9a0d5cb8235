#include "engine/autograd/finite.h"

#include <cmath>

#include "engine/autograd/tape.h"
#include "engine/autograd/trace.h"

namespace graft {
namespace {
thread_local FiniteWatch* watch = nullptr;
thread_local Trace* trace = nullptr;
}  // namespace

std::int64_t count_not_finite(const Tensor& t) {
  if (!t.defined() || (t.dtype() != DType::f64 && t.dtype() != DType::f32 && t.dtype() != DType::bf16 && t.dtype() != DType::f16)) return 0;
  FiniteWatch* const own = watch;
  watch = nullptr;  // reading is made of operations too
  const NoGrad off;
  std::int64_t n = 0;
  for (const double v : t.detach().values()) n += !std::isfinite(v);
  watch = own;
  return n;
}

FiniteWatch::FiniteWatch() : before_(watch) { watch = this; }
FiniteWatch::~FiniteWatch() { watch = before_; }
FiniteWatch* finite_watch() { return watch; }

Trace::Trace(Saw saw) : saw_(std::move(saw)), before_(trace) { trace = this; }
Trace::~Trace() { trace = before_; }
Trace* current_trace() { return trace; }

void FiniteWatch::look(Text text, const void* call, const Tensors& in, const Tensors& out) {
  if (trace) return trace->see(text(call), in, out);
  if (!found_.empty()) return;
  for (const Tensor& t : out) {
    const std::int64_t bad = count_not_finite(t);
    if (bad == 0) continue;
    for (const Tensor& i : in)
      if (count_not_finite(i) > 0) return;
    found_ = text(call) + (text_ && call != call_ ? ", in the " + text_(call_) + "," : "") + " gave " + std::to_string(bad) + " of " + std::to_string(t.numel()) + " values that are not finite";
    return;
  }
}

}  // namespace graft
