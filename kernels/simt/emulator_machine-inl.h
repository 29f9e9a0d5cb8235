// The jump from one fiber to another and the wait that jumps, to be inlined into what a lane calls. After a jump the processor still
// predicts the returns of the stack it has left, so every return between the jump and the kernel is a misprediction: with the two functions
// called instead, the norm family's kernels took 1.3 times as long.
#pragma once
#include <boost/context/detail/fcontext.hpp>

#include "kernels/simt/emulator_machine.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace graft::simt {

struct Unwind {};  // thrown into suspended lanes when their block has failed

inline void Fibers::jump(Context& to) {
  Context& from = *running_;
  last_ = &from;
  running_ = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.low, to.size);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan, 0);
#endif
  const boost::context::detail::transfer_t t = boost::context::detail::jump_fcontext(to.at, this);
  last_->at = t.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

inline void Machine::wait(const char* what, const Where& at) {
  Lane* l = self;
  l->waits = what;
  l->at = at;
  Context& to = next();
  if (&to != &fibers_.running()) fibers_.jump(to);
  self = l;
  if (unwinding_) throw Unwind{};
  l->waits = nullptr;
}

}  // namespace graft::simt
