// A look at every call of an operation while it runs: for writing a network down in another language. It stands where a FiniteWatch stands and in its place: one of them at a time.
#pragma once
#include <functional>
#include <string>

#include "engine/autograd/finite.h"

namespace graft {

class Trace {
 public:
  // `call`: "conv2d(stride=1x1, ...) of f32[2,3,8,8], ...". Tensors are the very ones of the call: who keeps them can tell them again by impl().
  using Saw = std::function<void(const std::string& call, const Tensors& in, const Tensors& out)>;
  explicit Trace(Saw saw);
  ~Trace();
  Trace(const Trace&) = delete;
  void see(const std::string& call, const Tensors& in, const Tensors& out) { saw_(call, in, out); }

 private:
  Saw saw_;
  FiniteWatch place_;  // what the tape asks after each call
  Trace* before_;
};
Trace* current_trace();  // of this thread, or nullptr

}  // namespace graft
