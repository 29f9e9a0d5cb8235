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

// Processor time that this process spends in threads of a kernel's own: not those that were there at the last adopt() (a queue's are there
// from the start), and not those that another kernel has left behind. So a kernel that starts threads is seen, whether they end before it
// returns or go on after it.
class Threads {
 public:
  Threads() { adopt(); }
  void adopt();                             // those that are there now are nobody's from now on
  void begin();                             // what was spent until now does not count
  bool claim(const void* owner);            // those that are not known yet are `owner`'s; are there any?
  double foreign(const void* owner) const;  // s since begin(), in threads of `owner` and in such as came and went

 private:
  struct Thread {
    double before = 0;
    const void* owner = nullptr;
  };  // s at begin()
  std::map<pid_t, Thread> known_;
  double process_ = 0;
};

}  // namespace graft::lab
