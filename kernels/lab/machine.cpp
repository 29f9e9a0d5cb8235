#include "kernels/lab/machine.h"

#include <dlfcn.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "kernels/core/device.h"

namespace graft::lab {
namespace {
namespace fs = std::filesystem;

double seconds(clockid_t clock) {
  timespec t{};
  return clock_gettime(clock, &t) == 0 ? static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec) : -1;
}
// The clock of any thread of this process, by its number: what pthread_getcpuclockid gives for a handle (Linux,
// include/linux/posix-timers.h).
clockid_t clock_of(pid_t thread) { return static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | 6u); }

// "key : value" of /proc files
std::string field(const char* file, const std::string& key) {
  std::ifstream f(file);
  for (std::string line; std::getline(f, line);)
    if (line.starts_with(key)) {
      const auto colon = line.find(':');
      const auto from = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
      return from == std::string::npos ? std::string{} : line.substr(from);
    }
  return {};
}

std::optional<double> processor_mhz() {
  double sum = 0;
  int count = 0;
  std::error_code ec;
  for (int i = 0; i < 4096; ++i) {
    std::ifstream f("/sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpufreq/scaling_cur_freq");
    double khz = 0;
    if (!(f >> khz)) break;
    sum += khz * 1e-3;
    ++count;
  }
  if (!count) {
    std::ifstream f("/proc/cpuinfo");
    for (std::string line; std::getline(f, line);)
      if (line.starts_with("cpu MHz")) {
        sum += std::atof(line.c_str() + line.find(':') + 1);
        ++count;
      }
  }
  if (!count || sum <= 0) return {};
  return sum / count;
}

// NVIDIA's management library, which comes with the driver.
struct Nvml {
  int (*handle)(const char*, void**) = nullptr;
  int (*clock)(void*, int, unsigned*) = nullptr;
  int (*power)(void*, unsigned*) = nullptr;
  Nvml() {
    void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
    if (!init || init() != 0) return;
    handle = reinterpret_cast<decltype(handle)>(dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2"));
    clock = reinterpret_cast<decltype(clock)>(dlsym(library, "nvmlDeviceGetClockInfo"));
    power = reinterpret_cast<decltype(power)>(dlsym(library, "nvmlDeviceGetPowerUsage"));
  }
  static const Nvml& get() {
    static const Nvml one;
    return one;
  }
};

}  // namespace

Machine this_machine(Device d) {
  Machine m;
  utsname u{};
  if (uname(&u) == 0) {
    m.host = u.nodename;
    m.system = std::string(u.sysname) + " " + u.release + " " + u.machine;
  }
  m.cpu = field("/proc/cpuinfo", "model name");
  if (m.cpu.empty()) m.cpu = u.machine;
  m.compiler = __VERSION__;
  m.device = describe(d);
  m.cores = static_cast<int>(std::thread::hardware_concurrency());
  m.memory_mib = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) >> 20;
  return m;
}

std::vector<std::size_t> cache_sizes() {
  std::vector<std::size_t> all;
  const std::size_t otherwise[] = {32u << 10, 1u << 20, 32u << 20};
  int i = 0;
  for (const int name : {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE}) {
    const long bytes = sysconf(name);
    all.push_back(bytes > 0 ? static_cast<std::size_t>(bytes) : otherwise[i]);
    ++i;
  }
  return all;
}

std::optional<double> clock_mhz(Device d) {
  if (d.kind != DeviceKind::cuda) return processor_mhz();
  const Nvml& n = Nvml::get();
  void* device = nullptr;
  unsigned mhz = 0;
  constexpr int kMultiprocessors = 1;  // NVML_CLOCK_SM
  if (!n.handle || !n.clock || n.handle(bus_id(d).c_str(), &device) != 0 || n.clock(device, kMultiprocessors, &mhz) != 0) return {};
  return mhz;
}
std::optional<double> power_watts(Device d) {
  if (d.kind != DeviceKind::cuda) return {};
  const Nvml& n = Nvml::get();
  void* device = nullptr;
  unsigned milliwatts = 0;
  if (!n.handle || !n.power || n.handle(bus_id(d).c_str(), &device) != 0 || n.power(device, &milliwatts) != 0) return {};
  return 1e-3 * milliwatts;
}

namespace {
template <class F>
void each_thread(F&& f) {
  std::error_code ec;
  for (const auto& e : fs::directory_iterator("/proc/self/task", ec)) f(static_cast<pid_t>(std::atol(e.path().filename().c_str())));
}
}  // namespace
void Threads::adopt() {
  each_thread([&](pid_t t) { known_[t].owner = nullptr; });
}
bool Threads::claim(const void* owner) {
  bool any = false;
  each_thread([&](pid_t t) { any |= known_.try_emplace(t, Thread{0, owner}).second; });
  return any;
}
// The process's clock is read last here and first in foreign(), so that a thread which runs between two readings never makes time of
// nobody's.
void Threads::begin() {
  for (auto i = known_.begin(); i != known_.end();) {
    const double t = seconds(clock_of(i->first));
    if (t < 0) {
      i = known_.erase(i);  // it has ended
    } else {
      i->second.before = t;
      ++i;
    }
  }
  process_ = seconds(CLOCK_PROCESS_CPUTIME_ID);
}
double Threads::foreign(const void* owner) const {
  double rest = seconds(CLOCK_PROCESS_CPUTIME_ID) - process_;
  for (const auto& [thread, known] : known_) {
    if (known.owner && known.owner == owner) continue;
    const double now = seconds(clock_of(thread));
    if (now < 0) return 0;  // it has ended and taken its time along: nobody can tell
    rest -= now - known.before;
  }
  return rest;
}

}  // namespace graft::lab
