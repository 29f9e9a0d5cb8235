#include "engine/base/context.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "kernels/core/device.h"

namespace graft {
namespace {
thread_local Queue* chosen = nullptr;
}

Queue& current_queue() {
  if (chosen) return *chosen;
  thread_local Queue own(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  return own;
}
UseQueue::UseQueue(Queue& q) : before_(chosen) { chosen = &q; }
UseQueue::~UseQueue() { chosen = before_; }

Queue& host_queue() {
  if (chosen && chosen->device().kind == DeviceKind::cpu) return *chosen;
  thread_local Queue own(1);
  return own;
}

struct Allocator::Impl {
  explicit Impl(Device d) : device(d), memory(device_memory(d)) {}
  Device device;
  DeviceMemory& memory;
  struct Live { std::int64_t bytes; std::string name; };
  mutable std::mutex mutex;
  std::map<std::int64_t, std::vector<void*>> cache;  // by size class
  std::unordered_map<void*, Live> live;
  MemoryStats stats;

  // Size classes: multiples of 64 up to 1 KiB, then eight steps per power of two: at most 12.5 % is wasted.
  static std::int64_t size_class(std::int64_t bytes) {
    if (bytes <= 1024) return std::max<std::int64_t>(64, (bytes + 63) / 64 * 64);
    const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(bytes))) / 8;
    return (bytes + step - 1) / step * step;
  }
  void release_cache() {
    for (auto& [size, blocks] : cache)
      for (void* p : blocks) memory.release(p);
    cache.clear();
    stats.cached = 0;
  }
  [[noreturn]] void out_of_memory(std::int64_t bytes) const {
    std::vector<Live> all;
    for (const auto& [p, l] : live) all.push_back(l);
    std::sort(all.begin(), all.end(), [](const Live& a, const Live& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name; });
    const auto mib = [](std::int64_t b) { return std::to_string((b + (1 << 19)) >> 20) + " MiB"; };
    std::string s = (device.kind == DeviceKind::cpu ? "" : name_of(device) + ": ") + "out of memory: " + mib(bytes) + " wanted, " + mib(stats.in_use) + " in use" +
                    (stats.limit ? ", limit " + mib(stats.limit) : "") + "; largest:";
    for (std::size_t i = 0; i < std::min<std::size_t>(5, all.size()); ++i)
      s += (i ? ", " : " ") + (all[i].name.empty() ? std::string("(unnamed)") : all[i].name) + " " + mib(all[i].bytes);
    throw Error(Code::memory, s + "; use a smaller batch or recompute");
  }
};

Allocator::Allocator(Device d) : impl_(std::make_unique<Impl>(d)) {}
Allocator::~Allocator() { trim(); }

Allocator& Allocator::of(Device d) {
  static Allocator* host = new Allocator({});  // never destroyed: tensors held by static objects may outlive main
  if (d.kind == DeviceKind::cpu) return *host;
  static std::mutex mutex;
  static auto* others = new std::map<std::pair<DeviceKind, int>, std::unique_ptr<Allocator>>;
  std::lock_guard lock(mutex);
  auto& one = (*others)[{d.kind, d.index}];
  if (!one) one.reset(new Allocator(d));
  return *one;
}

void* Allocator::allocate(std::int64_t bytes) {
  if (bytes < 0) throw Error(Code::bug, "allocation of a negative size");
  Impl& a = *impl_;
  const std::int64_t size = Impl::size_class(bytes);
  std::lock_guard lock(a.mutex);
  void* p = nullptr;
  if (auto it = a.cache.find(size); it != a.cache.end() && !it->second.empty()) {
    p = it->second.back();
    it->second.pop_back();
    a.stats.cached -= size;
    ++a.stats.reused;
  } else {
    if (a.stats.limit && a.stats.in_use + a.stats.cached + size > a.stats.limit) a.release_cache();
    if (a.stats.limit && a.stats.in_use + size > a.stats.limit) a.out_of_memory(bytes);
    p = a.memory.allocate(static_cast<std::size_t>(size));
    if (!p) {
      a.release_cache();
      p = a.memory.allocate(static_cast<std::size_t>(size));
    }
    if (!p) a.out_of_memory(bytes);
    ++a.stats.allocations;
  }
  a.live[p] = {size, {}};
  a.stats.in_use += size;
  a.stats.peak = std::max(a.stats.peak, a.stats.in_use);
  return p;
}

void Allocator::free(void* p, std::int64_t bytes) {
  if (!p) return;
  Impl& a = *impl_;
  const std::int64_t size = Impl::size_class(bytes);
  std::lock_guard lock(a.mutex);
  a.live.erase(p);
  a.stats.in_use -= size;
  a.stats.cached += size;
  a.cache[size].push_back(p);
}

void Allocator::label(void* p, const std::string& name) {
  std::lock_guard lock(impl_->mutex);
  if (auto it = impl_->live.find(p); it != impl_->live.end()) it->second.name = name;
}
void Allocator::set_limit(std::int64_t bytes) {
  std::lock_guard lock(impl_->mutex);
  impl_->stats.limit = bytes;
}
MemoryStats Allocator::stats() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}
void Allocator::trim() {
  std::lock_guard lock(impl_->mutex);
  impl_->release_cache();
}

}  // namespace graft
