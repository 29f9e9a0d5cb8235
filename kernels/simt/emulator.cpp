#include "kernels/simt/emulator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>

#include "kernels/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace graft::simt {

thread_local Lane* self = nullptr;

namespace {

namespace ctx = boost::context;
std::atomic<std::int64_t> early{0};

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 512 * 1024;  // instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif
constexpr std::size_t kGuardBytes = 256;
constexpr std::byte kNan{0xff};

// A stack with a page below it that may not be touched: an overflow stops there instead of in somebody else's data.
struct Stack {
  explicit Stack(std::size_t bytes) : size(bytes), page(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    base = mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) throw Error(Code::memory, "emu: no memory for the stack of a CUDA thread; use smaller blocks");
    mprotect(base, page, PROT_NONE);
  }
  ~Stack() { munmap(base, size + page); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  std::byte* low() const { return static_cast<std::byte*>(base) + page; }
  void* base;
  std::size_t size, page;
};
struct Borrowed {  // Boost frees through this; the stack belongs to the Fiber
  void deallocate(ctx::stack_context&) {}
};

std::string text(const uint3& v) { return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")"; }
std::string text(const Where& w) {
  std::string file = w.file_name();
  if (const auto at = file.rfind("kernels/"); at != std::string::npos) file = file.substr(at);
  return file + ":" + std::to_string(w.line());
}

}  // namespace

// A fiber runs one lane after the other; while a lane waits, the fiber is bound to it.
struct Fiber {
  Stack stack{kStackBytes};
  ctx::fiber other;  // the fiber when it is suspended; the scheduler while it runs
  Lane* lane = nullptr;
};

namespace {

struct Meeting {
  const char* kind;
  std::uint32_t mask;
  int warp;
  std::uint32_t arrived = 0;
  void* args[kWarp] = {};
};
struct GroupMeeting {
  const char* kind;
  int group;
  int arrived = 0;
  void* args[128] = {};
};
struct Named { int lanes = 0; std::vector<Lane*> waiting; };
struct Polling { Lane* lane; bool (*ready)(void*); void* what; };
struct Site { const void* key; std::size_t begin, bytes; };

}  // namespace

struct Block {
  uint3 index{};
  Geometry geometry;
  std::vector<Lane> lanes;
  int live = 0;
  // barrier
  std::vector<Lane*> at_barrier;
  int barrier_sum = 0, barrier_result = 0;
  bool exits = false;
  std::vector<Meeting> meetings;
  std::vector<GroupMeeting> groups;
  Named named[16];
  std::vector<Polling> polling;
  // shared memory: [guard][dynamic][guard] then [site][guard] ...
  std::size_t dynamic_begin = 0, dynamic_bytes = 0, arena_end = 0, declared = 0;
  std::vector<Site> sites;
};

namespace {

// One OS thread's emulator: fibers, the arena of shared memory, the block it runs.
struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  std::deque<Lane*> ready;
  std::vector<std::byte> arena = std::vector<std::byte>(kSharedLimit + 65536 + 1024);
  std::byte* shared = nullptr;  // aligned to 1024
  Block block;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;
  LaneOrder order = LaneOrder::up;
  std::uint64_t shuffle = 0;

#if defined(__SANITIZE_ADDRESS__)
  const void* main_low = nullptr;
  std::size_t main_size = 0;
#endif

  Machine() { shared = arena.data() + (1024 - reinterpret_cast<std::uintptr_t>(arena.data()) % 1024); }

  std::uint64_t random() {
    shuffle = shuffle * 6364136223846793005ull + 1442695040888963407ull;
    return shuffle >> 33;
  }
  // Lanes that may run, in the order that is asked for.
  void release(std::vector<Lane*> lanes) {
    std::sort(lanes.begin(), lanes.end(), [](const Lane* a, const Lane* b) { return a->index < b->index; });
    if (order == LaneOrder::down) std::reverse(lanes.begin(), lanes.end());
    if (order == LaneOrder::seeded)
      for (std::size_t i = lanes.size(); i > 1; --i) std::swap(lanes[i - 1], lanes[random() % i]);
    for (Lane* l : lanes) {
      l->waits = nullptr;
      ready.push_back(l);
    }
  }

  void lane_main(Lane* l) {
    self = l;
    (*body)();
    l->exited = true;
    after_exit();
  }
  void after_exit() {
    Block& b = block;
    --b.live;
    b.exits = true;
    if (!b.at_barrier.empty() && static_cast<int>(b.at_barrier.size()) == b.live) open_barrier();
  }
  void open_barrier() {
    Block& b = block;
    if (b.exits) early.fetch_add(1, std::memory_order_relaxed);
    b.barrier_result = b.barrier_sum;
    b.barrier_sum = 0;
    std::vector<Lane*> all;
    all.swap(b.at_barrier);
    release(std::move(all));
  }

  // From inside a fiber: suspend the running lane and go back to the scheduler.
  void wait(const char* what, const Where& at) {
    Lane* l = self;
    l->waits = what;
    l->at = at;
    Fiber* f = l->fiber;
    leave(f);
    self = l;
    l->waits = nullptr;
  }
  void leave(Fiber* f) {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, main_low, main_size);
#endif
    f->other = std::move(f->other).resume();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &main_low, &main_size);
#endif
  }
  void enter(Fiber* f) {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, f->stack.low(), f->stack.size);
#endif
    f->other = std::move(f->other).resume();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }

  Fiber* make_fiber() {
    fibers.push_back(std::make_unique<Fiber>());
    Fiber* f = fibers.back().get();
    ctx::stack_context sc;
    sc.size = f->stack.size;
    sc.sp = f->stack.low() + f->stack.size;
    f->other = ctx::fiber(std::allocator_arg, ctx::preallocated(sc.sp, sc.size, sc), Borrowed{}, [this, f](ctx::fiber&& scheduler) {
      f->other = std::move(scheduler);
#if defined(__SANITIZE_ADDRESS__)
      __sanitizer_finish_switch_fiber(nullptr, &main_low, &main_size);
#endif
      for (;;) {
        while (f->lane) {
          try {
            lane_main(f->lane);
          } catch (const ctx::detail::forced_unwind&) {
            throw;
          } catch (...) {
            error = std::current_exception();
          }
          f->lane = nullptr;
          // The next lane that has not begun runs here: kernels that never wait need one fiber.
          if (!error && !ready.empty() && !ready.front()->fiber) {
            f->lane = ready.front();
            f->lane->fiber = f;
            ready.pop_front();
          }
        }
        idle.push_back(f);
        leave(f);
      }
      return std::move(f->other);
    });
    return f;
  }

  bool poll() {
    std::vector<Lane*> now;
    auto& p = block.polling;
    for (std::size_t i = 0; i < p.size();) {
      if (p[i].ready(p[i].what)) {
        now.push_back(p[i].lane);
        p.erase(p.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
    release(now);
    return !now.empty();
  }

  void run_block(const uint3& index, const Geometry& g, std::size_t dynamic_bytes, const std::function<void()>& f, LaneOrder wanted, const Where& at) {
    Block& b = block;
    const auto threads = static_cast<int>(g.block.x * g.block.y * g.block.z);
    b.index = index;
    b.geometry = g;
    b.live = threads;
    b.exits = false;
    b.barrier_sum = 0;
    b.at_barrier.clear();
    b.meetings.clear();
    b.groups.clear();
    b.polling.clear();
    for (auto& n : b.named) n = {};
    b.sites.clear();
    b.declared = dynamic_bytes;
    b.dynamic_begin = 1024;
    b.dynamic_bytes = dynamic_bytes;
    b.arena_end = 0;
    unpoison();
    std::memset(shared, 0xff, 1024 + dynamic_bytes + kGuardBytes);
    b.arena_end = 1024 + dynamic_bytes + kGuardBytes;
    poison_guards();
    b.lanes.resize(static_cast<std::size_t>(threads));
    body = &f;
    error = nullptr;
    order = wanted;
    shuffle = 0x9e3779b97f4a7c15ull ^ (static_cast<std::uint64_t>(index.z) << 42) ^ (static_cast<std::uint64_t>(index.y) << 21) ^ index.x;
    ready.clear();
    std::vector<Lane*> all;
    for (int i = 0; i < threads; ++i) {
      const auto u = static_cast<unsigned>(i);
      Lane& l = b.lanes[u];
      l = Lane{};
      l.thread = {u % g.block.x, u / g.block.x % g.block.y, u / (g.block.x * g.block.y)};
      l.index = u;
      l.block = &b;
      all.push_back(&l);
    }
    release(std::move(all));

    while (b.live > 0 && !error) {
      if (!b.polling.empty()) poll();
      if (ready.empty()) {
        error = std::make_exception_ptr(Error(Code::bug, "emu: kernel launched at " + text(at) + ", block " + text(b.index) + ": deadlock: " + who_waits()));
        break;
      }
      Lane* l = ready.front();
      ready.pop_front();
      if (!l->fiber) {
        if (idle.empty()) make_fiber(), idle.push_back(fibers.back().get());
        l->fiber = idle.back();
        idle.pop_back();
        l->fiber->lane = l;
      }
      enter(l->fiber);
      self = nullptr;
    }
    if (error) {  // suspended lanes are unwound, their fibers with them
      idle.clear();
      fibers.clear();
      self = nullptr;
      unpoison();
      std::rethrow_exception(error);
    }
    check_guards(at);
    unpoison();
  }

  std::string who_waits() const {
    // lanes that wait at the same place, as one phrase
    std::vector<std::pair<std::string, std::vector<unsigned>>> places;
    for (const Lane& l : block.lanes) {
      if (l.exited || !l.waits) continue;
      const std::string place = std::string(l.waits) + " at " + text(l.at);
      auto it = std::find_if(places.begin(), places.end(), [&](const auto& p) { return p.first == place; });
      if (it == places.end()) it = places.insert(places.end(), {place, {}});
      it->second.push_back(l.index);
    }
    std::string s;
    for (const auto& [place, lanes] : places) {
      s += s.empty() ? "" : "; ";
      s += lanes.size() == 1 ? "lane " : "lanes ";
      for (std::size_t i = 0; i < lanes.size(); ++i) {
        std::size_t j = i;
        while (j + 1 < lanes.size() && lanes[j + 1] == lanes[j] + 1) ++j;
        s += (i ? "," : "") + std::to_string(lanes[i]) + (j > i ? "-" + std::to_string(lanes[j]) : "");
        i = j;
      }
      s += " in " + place;
    }
    int gone = 0;
    for (const Lane& l : block.lanes) gone += l.exited;
    return s + (gone ? "; " + std::to_string(gone) + " lanes have returned" : "");
  }

  // Guard bytes: [1024 - 256, 1024) before dynamic memory, kGuardBytes after it and after each site.
  template <class F>
  void each_guard(F&& f) {
    const Block& b = block;
    f(b.dynamic_begin - kGuardBytes, "dynamic shared memory");
    f(b.dynamic_begin + b.dynamic_bytes, "dynamic shared memory");
    for (const Site& s : b.sites) f(s.begin + s.bytes, "a shared array");
  }
  void check_guards(const Where& at) {
    unpoison();
    each_guard([&](std::size_t begin, const char* what) {
      for (std::size_t i = begin; i < begin + kGuardBytes; ++i)
        if (shared[i] != kNan)
          throw Error(Code::bug, "emu: kernel launched at " + text(at) + ", block " + text(block.index) + ": wrote outside of " + what);
    });
  }
#if defined(__SANITIZE_ADDRESS__)
  void unpoison() { ASAN_UNPOISON_MEMORY_REGION(arena.data(), arena.size()); }
  void poison_guards() {
    each_guard([&](std::size_t begin, const char*) {
      const std::size_t from = (begin + 7) / 8 * 8;
      ASAN_POISON_MEMORY_REGION(shared + from, kGuardBytes - (from - begin));
    });
  }
#else
  void unpoison() {}
  void poison_guards() {}
#endif
};

Machine& machine() {
  thread_local Machine m;
  return m;
}
Block& block() { return machine().block; }

}  // namespace

void fault(const Where& at, const std::string& what) {
  std::string who;
  if (self) who = ", block " + text(self->block->index) + ", thread " + text(self->thread);
  throw Error(Code::bug, "emu: " + text(at) + who + ": " + what);
}

unsigned lane_of_warp() { return self->index % kWarp; }
const uint3& block_index() { return block().index; }
const Geometry& geometry() { return block().geometry; }

int sync_block(int predicate, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  if (!b.at_barrier.empty()) {
    const Lane* first = b.at_barrier.front();
    if (first->at.line() != at.line() || std::strcmp(first->at.file_name(), at.file_name()) != 0)
      fault(at, "divergent barrier: thread " + text(first->thread) + " waits in __syncthreads at " + text(first->at) + ", this one at " + text(at));
  }
  b.barrier_sum += predicate != 0;
  b.at_barrier.push_back(self);
  self->waits = "__syncthreads";
  self->at = at;
  if (static_cast<int>(b.at_barrier.size()) == b.live) m.open_barrier();
  m.wait("__syncthreads", at);
  return b.barrier_result;
}

void sync_named(int id, int lanes, const Where& at) {
  Machine& m = machine();
  if (id < 0 || id > 15) fault(at, "barrier " + std::to_string(id) + " does not exist: they are 0 to 15");
  if (lanes <= 0 || lanes % kWarp) fault(at, "a barrier of " + std::to_string(lanes) + " lanes: wants a multiple of 32");
  Named& n = m.block.named[id];
  if (!n.waiting.empty() && n.lanes != lanes) fault(at, "barrier " + std::to_string(id) + " is met with " + std::to_string(lanes) + " and " + std::to_string(n.lanes) + " lanes");
  n.lanes = lanes;
  n.waiting.push_back(self);
  if (static_cast<int>(n.waiting.size()) == lanes) {
    std::vector<Lane*> all;
    all.swap(n.waiting);
    m.release(std::move(all));
  }
  m.wait("bar.sync", at);
}

void meet_warp(const char* kind, std::uint32_t mask, void* arg, Combine combine, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  const int warp = static_cast<int>(self->index / kWarp);
  const unsigned lane = self->index % kWarp;
  if (!(mask >> lane & 1)) fault(at, std::string(kind) + ": the mask does not name the calling lane " + std::to_string(lane));
  const std::size_t begin = static_cast<std::size_t>(warp) * kWarp;
  for (unsigned i = 0; i < kWarp; ++i)
    if (mask >> i & 1) {
      if (begin + i >= b.lanes.size()) fault(at, std::string(kind) + ": the mask names lane " + std::to_string(i) + ", which the block does not have");
      if (b.lanes[begin + i].exited) fault(at, std::string(kind) + ": the mask names lane " + std::to_string(i) + ", which has returned");
    }
  Meeting* found = nullptr;
  for (Meeting& o : b.meetings) {
    if (o.warp != warp || !(o.mask & mask)) continue;
    if (o.mask != mask || std::strcmp(o.kind, kind) != 0) {
      unsigned other = 0;
      while (!(o.arrived >> other & 1)) ++other;
      const Lane& l = b.lanes[begin + other];
      fault(at, "lane " + std::to_string(lane) + " calls " + kind + " with another mask or operation than lane " + std::to_string(other) + ", which waits in " + o.kind + " at " + text(l.at));
    }
    found = &o;
  }
  if (!found) {
    b.meetings.push_back({kind, mask, warp});
    found = &b.meetings.back();
  }
  found->args[lane] = arg;
  found->arrived |= 1u << lane;
  self->at = at;
  if (found->arrived == mask) {
    const Meeting done = *found;
    b.meetings.erase(b.meetings.begin() + (found - b.meetings.data()));
    combine(done.args, mask);
    if ((mask & (mask - 1)) == 0) return;
    std::vector<Lane*> all;
    for (unsigned i = 0; i < kWarp; ++i)
      if (mask >> i & 1) all.push_back(&b.lanes[begin + i]);
    m.release(std::move(all));
  }
  m.wait(kind, at);
}

void meet_warp_group(const char* kind, void* arg, void (*combine)(void* const*), const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  const int group = static_cast<int>(self->index / 128);
  const std::size_t begin = static_cast<std::size_t>(group) * 128;
  if (begin + 128 > b.lanes.size()) fault(at, std::string(kind) + ": the warp group is not whole: the block has " + std::to_string(b.lanes.size()) + " lanes");
  GroupMeeting* found = nullptr;
  for (GroupMeeting& o : b.groups)
    if (o.group == group) found = &o;
  if (found && std::strcmp(found->kind, kind) != 0) fault(at, std::string(kind) + " is called while other lanes of the warp group wait in " + found->kind);
  if (!found) {
    b.groups.push_back({kind, group});
    found = &b.groups.back();
  }
  found->args[self->index % 128] = arg;
  if (++found->arrived == 128) {
    const GroupMeeting done = *found;
    b.groups.erase(b.groups.begin() + (found - b.groups.data()));
    combine(done.args);
    std::vector<Lane*> all;
    for (std::size_t i = 0; i < 128; ++i) all.push_back(&b.lanes[begin + i]);
    m.release(std::move(all));
  }
  m.wait(kind, at);
}

void wait_until(const char* kind, bool (*ready)(void*), void* what, const Where& at) {
  Machine& m = machine();
  if (ready(what)) return;
  m.block.polling.push_back({self, ready, what});
  m.wait(kind, at);
}

void* shared_dynamic(const Where& at) {
  if (!block().dynamic_bytes) fault(at, "the kernel uses dynamic shared memory but was launched with 0 bytes of it");
  return machine().shared + block().dynamic_begin;
}
std::size_t shared_dynamic_bytes() { return block().dynamic_bytes; }

void* shared_site(const void* site, std::size_t bytes, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  for (const Site& s : b.sites)
    if (s.key == site) return m.shared + s.begin;
  std::size_t fixed = bytes;
  for (const Site& s : b.sites) fixed += s.bytes;
  if (fixed > kStaticLimit) fault(at, "shared arrays of " + std::to_string(fixed) + " bytes: a block may declare " + std::to_string(kStaticLimit) + "; use dynamic shared memory");
  if (b.declared + bytes > kSharedLimit)
    fault(at, "shared memory of " + std::to_string(b.declared + bytes) + " bytes: a block may have " + std::to_string(kSharedLimit));
  b.declared += bytes;
  const std::size_t begin = (b.arena_end + 127) / 128 * 128;
  m.unpoison();
  std::memset(m.shared + b.arena_end, 0xff, begin - b.arena_end + bytes + kGuardBytes);
  b.sites.push_back({site, begin, bytes});
  b.arena_end = begin + bytes + kGuardBytes;
  m.poison_guards();
  return m.shared + begin;
}

void check_shared(const void* p, std::size_t bytes, std::size_t align, const char* what, const Where& at) {
  Machine& m = machine();
  const auto* q = static_cast<const std::byte*>(p);
  if (q < m.shared || q >= m.shared + m.block.arena_end) fault(at, std::string(what) + ": the address is not in shared memory");
  const auto begin = static_cast<std::size_t>(q - m.shared);
  bool inside = begin >= m.block.dynamic_begin && begin + bytes <= m.block.dynamic_begin + m.block.dynamic_bytes;
  for (const Site& s : m.block.sites) inside |= begin >= s.begin && begin + bytes <= s.begin + s.bytes;
  if (!inside) fault(at, std::string(what) + ": " + std::to_string(bytes) + " bytes reach outside of the shared array");
  if (begin % align) fault(at, std::string(what) + ": the shared address is not a multiple of " + std::to_string(align));
}
std::uint32_t shared_address(const void* p, const Where& at) {
  check_shared(p, 1, 1, "shared address", at);
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(p) - machine().shared);
}
void* shared_pointer(std::uint32_t address) { return machine().shared + address; }

void run_grid(Queue& q, dim3 grid, dim3 block, std::size_t dynamic_bytes, const std::function<void()>& body, const Where& at) {
  const auto refuse = [&](const std::string& what) { throw Error(Code::usage, "kernel launched at " + text(at) + ": " + what); };
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) refuse("a block of " + std::to_string(block.x) + "x" + std::to_string(block.y) + "x" + std::to_string(block.z) + " threads: 1 to 1024, z at most 64");
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    refuse("a grid of " + std::to_string(grid.x) + "x" + std::to_string(grid.y) + "x" + std::to_string(grid.z) + " blocks: at least 1, at most 2147483647 x 65535 x 65535");
  if (dynamic_bytes > kSharedLimit) refuse("dynamic shared memory of " + std::to_string(dynamic_bytes) + " bytes: a block may have " + std::to_string(kSharedLimit));
  const Geometry g{grid, block};
  const std::int64_t blocks = std::int64_t{grid.x} * grid.y * grid.z;
  const LaneOrder order = q.lane_order();
  const auto one = [&](std::int64_t t) {
    if (order == LaneOrder::down) t = blocks - 1 - t;
    const auto u = static_cast<std::uint64_t>(t);
    const uint3 index{static_cast<unsigned>(u % grid.x), static_cast<unsigned>(u / grid.x % grid.y), static_cast<unsigned>(u / grid.x / grid.y)};
    machine().run_block(index, g, dynamic_bytes, body, order, at);
  };
  if (blocks == 1) one(0);
  else q.pool().run(blocks, [&](std::int64_t t, int) { one(t); });
}

std::int64_t early_exits() { return early.load(std::memory_order_relaxed); }

}  // namespace graft::simt
