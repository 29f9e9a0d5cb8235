// Where did the NaN come from? While a FiniteWatch lives, every operation of its thread and every step of a backward pass is looked at; the
// first whose result holds NaN or infinity though no input does is remembered. It reads everything on the host: for finding out once, not
// for training.
#pragma once
#include <cstdint>
#include <string>

#include "engine/autograd/watch.h"

namespace graft {

std::int64_t count_not_finite(const Tensor& t);  // 0 for integers

class FiniteWatch : public CallWatch {
 public:
  // "div of f32[8,1], f32[8,1] in the backward of sqrt gave 1 of 8 values that are not finite", or empty.
  const std::string& found() const { return found_; }
  void look(Text text, const void* call, const Tensors& in, const Tensors& out) override;
  void within(Text text, const void* call) override { text_ = text, call_ = call; }

 private:
  Text text_ = nullptr;
  const void* call_ = nullptr;
  std::string found_;
};

}  // namespace graft
