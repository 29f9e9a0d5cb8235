// What this machine can do at most, measured: multiply-adds from registers and bytes through memory, with all threads of a queue. The
// roofline that benchmarks are held against (Williams, Waterman, Patterson 2009).
#pragma once
#include <cstddef>

#include "kernels/core/queue.h"

namespace graft {

struct Peak {
  double gflops = 0;  // f32, 2 FLOPs per multiply-add
  double tiles = 0;   // products of bf16 on AMX tiles, the same unit; 0 where there is no AMX
  double gbps = 0;    // read + written, 1e9 bytes per second
};
Peak measure_peak(Queue& q);  // takes some 0.3 s

// Bytes per second (1e9) out of and into the cache that holds `bytes` per thread, the best of reading and of copying within them; some 10
// ms.
double measure_cache(Queue& q, std::size_t bytes);

}  // namespace graft
