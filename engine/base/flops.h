// Floating point operations of the products and convolutions that this thread has asked for, a multiply-add as two: what training costs on
// any machine. Elementwise work is not counted; replays of a captured graph are not seen.
#pragma once

namespace graft {

inline double& counted_flops() {
  thread_local double count = 0;
  return count;
}

}  // namespace graft
