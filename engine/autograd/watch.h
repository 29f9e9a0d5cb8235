// Who looks at every operation of this thread while it lives: the tape shows it each call with what went in and what came out. One at a
// time; an inner one hides the outer.
#pragma once
#include <string>

#include "engine/tensor/tensor.h"

namespace graft {

class CallWatch {
 public:
  CallWatch(const CallWatch&) = delete;
  // `text(call)`: "conv2d(stride=1x1, ...) of f32[2,3,8,8], ...", made only when asked for. Tensors are the very ones of the call.
  using Text = std::string (*)(const void*);
  virtual void look(Text text, const void* call, const Tensors& in, const Tensors& out) = 0;
  // The step of a backward pass that operations now belong to; nullptr: none.
  virtual void within(Text, const void*) {}

 protected:
  CallWatch();
  ~CallWatch();

 private:
  CallWatch* before_;
};
CallWatch* call_watch();  // of this thread, or nullptr

// Nobody looks while it lives: what a watch does itself is made of operations too.
class NoWatch {
 public:
  NoWatch();
  ~NoWatch();
  NoWatch(const NoWatch&) = delete;

 private:
  CallWatch* before_;
};

}  // namespace graft
