// The machine that numbers come from: what it is, how fast its clocks run now, and who uses its processors.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/queue.h"

namespace graft::lab {

struct Machine {
  std::string host, cpu, system, compiler, device;  // device: what device.h's describe() says
  int cores = 0;
  std::int64_t memory_mib = 0;
};
Machine this_machine(Device d);

// Bytes of the data caches, first level first; as the system states them, or 32 KiB, 1 MiB, 32 MiB where it does not.
std::vector<std::size_t> cache_sizes();

// MHz now: of the processors (mean), or of a GPU's multiprocessors (NVML, opened at run time). Empty where nobody says.
std::optional<double> clock_mhz(Device d);
// W now, of a GPU.
std::optional<double> power_watts(Device d);

// Processor time that this process spends in threads other than those that were there at the last adopt(). A queue's own threads are there from the start, so
// a kernel that starts more of them is seen, whether they end before it returns or go on after it.
class Threads {
 public:
  Threads() { adopt(); }
  void adopt();             // those that are there now are known from now on
  void begin();             // what was spent until now does not count
  double foreign() const;   // s since begin()

 private:
  std::map<pid_t, double> known_;  // s at begin()
  double process_ = 0;
};

}  // namespace graft::lab
