#include "engine/base/context.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "kernels/core/device.h"
#include "kernels/core/graph.h"
#include "kernels/core/scope.h"

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
  struct Live {
    std::int64_t bytes;
    std::string name, op;     // op: in which it was asked for
    std::uint64_t graph = 0;  // whose pool it is from
    std::string text() const { return !name.empty() ? name : !op.empty() ? "a result of " + op : "(unnamed)"; }
  };
  using Cache = std::map<std::int64_t, std::vector<void*>>;  // by size class
  // What was handed out while a graph was captured: its replays write there, so nobody else gets these blocks before it dies. Also blocks
  // that were handed out before and freed while it was captured: it may have recorded reads of them.
  struct Pool {
    Cache cache, held;
  };
  mutable std::mutex mutex;
  Cache cache;
  std::map<std::uint64_t, Pool> pools;
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
  // The graph that is captured on this device in this thread, or 0. The first time it gets its pool.
  std::uint64_t capturing(Allocator& self) {
    Graph* g = chosen && chosen->device() == device ? chosen->capturing() : nullptr;
    if (!g) return 0;
    if (pools.try_emplace(g->id()).second)
      g->keep({static_cast<const void*>(this), [&self, id = g->id()](const void*) { self.impl_->end_pool(id); }});
    return g->id();
  }
  void end_pool(std::uint64_t id) {
    std::lock_guard lock(mutex);
    Pool& pool = pools.at(id);
    for (Cache* from : {&pool.cache, &pool.held})
      for (auto& [size, blocks] : *from) {
        auto& to = cache[size];
        to.insert(to.end(), blocks.begin(), blocks.end());
        const std::int64_t bytes = size * static_cast<std::int64_t>(blocks.size());
        stats.pooled -= bytes;
        stats.cached += bytes;
      }
    pools.erase(id);
    for (auto& [p, l] : live)
      if (l.graph == id) l.graph = 0;
  }
  void* take(Cache& from, std::int64_t size) {
    auto it = from.find(size);
    if (it == from.end() || it->second.empty()) return nullptr;
    void* p = it->second.back();
    it->second.pop_back();
    return p;
  }
  [[noreturn]] void out_of_memory(std::int64_t bytes) const {
    std::vector<Live> all;
    for (const auto& [p, l] : live) all.push_back(l);
    std::sort(all.begin(), all.end(),
              [](const Live& a, const Live& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.text() < b.text(); });
    const auto mib = [](std::int64_t b) {
      return b < 1 << 20 ? std::to_string((b + 1023) >> 10) + " KiB" : std::to_string((b + (1 << 19)) >> 20) + " MiB";
    };
    std::string s = (device.kind == DeviceKind::cpu ? "" : name_of(device) + ": ") + "out of memory: " + mib(bytes) + " wanted, " +
                    mib(stats.in_use) + " in use" + (stats.limit ? ", limit " + mib(stats.limit) : "") + (all.empty() ? "" : "; largest:");
    for (std::size_t i = 0; i < std::min<std::size_t>(5, all.size()); ++i) s += (i ? ", " : " ") + all[i].text() + " " + mib(all[i].bytes);
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
  const std::uint64_t graph = a.capturing(*this);
  void* p = graph ? a.take(a.pools[graph].cache, size) : nullptr;
  if (p) {
    a.stats.pooled -= size;
    ++a.stats.reused;
  } else if ((p = a.take(a.cache, size))) {
    a.stats.cached -= size;
    ++a.stats.reused;
  } else {
    const auto full = [&] { return a.stats.limit && a.stats.in_use + a.stats.pooled + a.stats.cached + size > a.stats.limit; };
    if (full() && !graph) a.release_cache();  // memory cannot be given back in the middle of a capture
    if (full()) a.out_of_memory(bytes);
    p = a.memory.allocate(static_cast<std::size_t>(size));
    if (!p && !graph) {
      a.release_cache();
      p = a.memory.allocate(static_cast<std::size_t>(size));
    }
    if (!p) a.out_of_memory(bytes);
    ++a.stats.allocations;
  }
  a.live[p] = {size, {}, std::string(running_name()), graph};
  a.stats.in_use += size;
  a.stats.peak = std::max(a.stats.peak, a.stats.in_use);
  return p;
}

void Allocator::free(void* p, std::int64_t bytes) {
  if (!p) return;
  Impl& a = *impl_;
  const std::int64_t size = Impl::size_class(bytes);
  std::lock_guard lock(a.mutex);
  const std::uint64_t graph = a.live[p].graph;
  a.live.erase(p);
  a.stats.in_use -= size;
  if (const std::uint64_t now = a.capturing(*this); graph || now) {
    (graph ? a.pools[graph].cache : a.pools[now].held)[size].push_back(p);
    a.stats.pooled += size;
  } else {
    a.cache[size].push_back(p);
    a.stats.cached += size;
  }
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
