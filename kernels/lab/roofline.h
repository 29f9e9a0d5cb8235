// What this machine can do at most, measured in the run that is held against it (Williams, Waterman, Patterson 2009), and the floor under
// any honest time. CPU: multiply-adds from registers, products of tiles where there is AMX (f32 takes six of bf16), and bytes per second
// out of each cache level and memory. CUDA: the copy and matmul families under events. The emulator has no roofline: its times mean
// nothing.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/queue.h"

namespace graft::lab {

struct Level {
  std::string name;   // "L1", "L2", "L3", "memory"
  std::size_t holds;  // bytes, all threads together, as the system states
  double rate;        // bytes/s, read + written
};
struct Work {
  double flops = 0, bytes = 0;  // as the case counts them
  std::size_t working_set = 0;  // bytes of all operands
  DType dtype = DType::f32;
  double least_flops = 1;  // share of `flops` that the best known algorithm needs: Winograd's 1/4 for a convolution
};
struct Bound {
  double seconds = 0;  // no kernel is expected to be faster; 0 when nothing is known
  std::string by;      // "flops", or the level whose bandwidth bounds
};

class Roofline {
 public:
  explicit Roofline(Queue& q);
  bool known() const { return !levels_.empty(); }
  double flops(DType t) const;  // FLOP/s
  const std::vector<Level>& levels() const { return levels_; }
  // `cold`: operands come from memory whatever their size.
  Bound bound(const Work& w, bool cold) const;
  // A time below this is refused. CPU: half of the bound, with the bandwidth of a working set of a quarter of the size, since reading,
  // copying and updating in place differ by up to 1.7 and a machine does not always have the cache that it states; 16-bit products may run
  // at four times the f32 rate. GPU: what the chip's units and wires can do by their clock, on any generation. 0 when nothing is known.
  double floor(const Work& w) const;
  void measure();  // again, keeping the best: a busy machine measures too little

 private:
  void measure_host();
  void measure_cuda();
  Queue& q_;
  double f32_ = 0, f64_ = 0, half_ = 0;        // FLOP/s
  double vectors_ = 0, tiles_ = 0;             // of the CPU: f32 multiply-adds, products of bf16 on tiles
  double rate(std::size_t working_set) const;  // bytes/s
  std::vector<Level> levels_;
  struct Rung {
    std::size_t bytes;
    double rate;
  };
  std::vector<Rung> ladder_;  // working sets of all threads together, doubling; the rate never rises
};

}  // namespace graft::lab
