// What this machine can do at most, measured: multiply-adds from registers and bytes through memory, with all threads of a queue. The roofline that
// benchmarks are held against (Williams, Waterman, Patterson 2009).
#pragma once
#include "kernels/core/queue.h"

namespace graft {

struct Peak {
  double gflops = 0;  // f32, 2 FLOPs per multiply-add
  double gbps = 0;    // read + written, 1e9 bytes per second
};
Peak measure_peak(Queue& q);  // takes some 0.3 s

}  // namespace graft
