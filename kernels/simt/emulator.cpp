#include "kernels/simt/emulator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/context/detail/fcontext.hpp>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/core/host_stream.h"
#include "kernels/core/scope.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace graft::simt {

constinit thread_local Lane* self = nullptr;

namespace {

namespace ctx = boost::context::detail;
std::atomic<std::int64_t> early{0};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true;
constexpr std::size_t kStackBytes = 512 * 1024;  // instrumented frames are larger
#else
constexpr bool kAsan = false;
constexpr std::size_t kStackBytes = 128 * 1024;
#endif
constexpr std::size_t kGuardBytes = 256;
constexpr std::size_t kArenaBytes = kSharedLimit + 65536;  // with guards
constexpr std::size_t kLanes = 1024;                       // of a block, at most
constexpr std::array<unsigned char, kGuardBytes> kUntouched = [] {
  std::array<unsigned char, kGuardBytes> a{};
  a.fill(0xff);
  return a;
}();

// A stack with a page below it that may not be touched: an overflow stops there instead of in somebody else's data. A guarded stack is two
// mappings, of which Linux gives a process 65530 (vm.max_map_count); pools of many threads with blocks of 1024 would want more, so beyond a
// number stacks have no guard.
constexpr int kGuarded = 16384;
std::atomic<int> stacks{0};
struct Stack {
  explicit Stack(std::size_t bytes) : size(bytes), page(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    base = mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) throw Error(Code::memory, "emu: no memory for the stack of a CUDA thread; use smaller blocks");
    if (stacks.fetch_add(1) < kGuarded) mprotect(base, page, PROT_NONE);
  }
  ~Stack() {
    munmap(base, size + page);
    --stacks;
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  std::byte* low() const { return static_cast<std::byte*>(base) + page; }
  void* base;
  std::size_t size, page;
};

std::string text(const uint3& v) { return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")"; }
std::string text(const dim3& v) { return std::to_string(v.x) + "x" + std::to_string(v.y) + "x" + std::to_string(v.z); }
std::string text(const Where& w) {
  std::string file = w.file_name();
  for (const char* top : {"kernels/", "tests/"})
    if (const auto at = file.rfind(top); at != std::string::npos) {
      file = file.substr(at);
      break;
    }
  return file + ":" + std::to_string(w.line());
}
bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

// Where execution stands while it is suspended, and what the sanitizers want to know about its stack.
struct Context {
  ctx::fcontext_t at = nullptr;
  const void* low = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
};
// Runs one lane after the other; while a lane waits, the fiber is bound to it. A fiber lives as long as its OS thread.
struct Fiber : Context {
  Stack stack{kStackBytes};
  Lane* lane = nullptr;
};

namespace {

struct Meeting {
  const char* kind;
  std::uint32_t mask;
  std::uint32_t arrived = 0;
  void* args[kWarp] = {};
};
struct Warp {
  std::uint32_t present = 0, exited = 0;  // lanes
  std::vector<Meeting> open;
};
struct GroupMeeting {
  const char* kind;
  int group;
  int arrived = 0;
  void* args[128] = {};
};
struct Named {
  int lanes = 0;
  std::vector<Lane*> waiting;
};
struct Polling {
  Lane* lane;
  bool (*ready)(void*);
  void* what;
};
struct Site {
  const void* key;
  std::size_t begin, bytes;
  Where at;
};
struct Unwind {};  // thrown into suspended lanes when their block has failed

// Lanes that may run. Each is in it at most once.
class Ring {
 public:
  bool empty() const { return count_ == 0; }
  void clear() { count_ = 0; }
  void push_back(Lane* l) { slots_[(first_ + count_++) % kLanes] = l; }
  void push_front(Lane* l) { first_ = (first_ + kLanes - 1) % kLanes, ++count_, slots_[first_] = l; }
  Lane* pop() {
    Lane* l = slots_[first_];
    first_ = (first_ + 1) % kLanes, --count_;
    return l;
  }

 private:
  std::size_t first_ = 0, count_ = 0;
  Lane* slots_[kLanes];
};

struct Block : Place {
  std::vector<Lane> lanes;
  Warp warps[kLanes / kWarp];
  int live = 0;
  bool exits = false;
  // barrier
  std::vector<Lane*> at_barrier;
  int barrier_sum = 0, barrier_result = 0;
  std::vector<GroupMeeting> groups;
  Named named[16];
  std::vector<Polling> polling;
  // shared memory: [guard][dynamic][guard] then [site][guard] ...
  std::size_t dynamic_begin = 1024, dynamic_bytes = 0, arena_end = 0, declared = 0;
  std::vector<Site> sites;
};

enum class Side { front, back };

// One OS thread's emulator: fibers, the arena of shared memory, the block it runs.
struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  Context scheduler;
  Context* running = &scheduler;
  Context* last = nullptr;  // the one that jumped to `running`
  Ring ready;
  std::vector<std::byte> arena = std::vector<std::byte>(kArenaBytes + 1024);
  std::byte* shared = nullptr;  // aligned to 1024
  Block block;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;
  bool unwinding = false;
  LaneOrder order = LaneOrder::up;
  std::uint64_t shuffle = 0;
  unsigned turns = 0;
  std::vector<Lane*> some;  // for release

  Machine() {
    shared = arena.data() + (1024 - reinterpret_cast<std::uintptr_t>(arena.data()) % 1024);
#if defined(__SANITIZE_THREAD__)
    scheduler.tsan = __tsan_get_current_fiber();
#endif
  }
  ~Machine() {
    poison(0, block.arena_end, false);
#if defined(__SANITIZE_THREAD__)
    for (const auto& f : fibers) __tsan_destroy_fiber(f->tsan);
#endif
  }

  std::uint64_t random() {
    shuffle = shuffle * 6364136223846793005ull + 1442695040888963407ull;
    return shuffle >> 33;
  }
  // Lanes, given by index, may run, in the order that is asked for.
  void release(std::span<Lane*> lanes, Side side) {
    if (order == LaneOrder::down) std::reverse(lanes.begin(), lanes.end());
    if (order == LaneOrder::seeded)
      for (std::size_t i = lanes.size(); i > 1; --i) std::swap(lanes[i - 1], lanes[random() % i]);
    for (Lane* l : lanes) l->waits = nullptr;
    if (side == Side::back)
      for (Lane* l : lanes) ready.push_back(l);
    else
      for (std::size_t i = lanes.size(); i > 0; --i) ready.push_front(lanes[i - 1]);
  }
  void release_sorted(std::vector<Lane*>& lanes) {
    std::sort(lanes.begin(), lanes.end(), [](const Lane* a, const Lane* b) { return a->index < b->index; });
    release(lanes, Side::back);
    lanes.clear();
  }
  // A warp that has met goes on before others begin: its stacks are in the cache, and it runs as far ahead of the others as it may, which
  // shows missing barriers. Now and then, and at random when the order is, it goes to the back: a warp that loops until another has done
  // something must not starve it.
  void release_warp(std::size_t begin, std::uint32_t mask) {
    some.clear();
    for (; mask; mask &= mask - 1) some.push_back(&block.lanes[begin + static_cast<std::size_t>(std::countr_zero(mask))]);
    const bool back = ++turns % 64 == 0 || (order == LaneOrder::seeded && random() % 2);
    release(some, back ? Side::back : Side::front);
  }

  void lane_main(Lane* l) {
    self = l;
    (*body)();
    l->exited = true;
    Block& b = block;
    --b.live;
    b.exits = true;
    Warp& w = b.warps[l->index / kWarp];
    const std::uint32_t bit = 1u << l->index % kWarp;
    w.exited |= bit;
    for (const Meeting& m : w.open)
      if (m.mask & bit) {
        const Lane& other = b.lanes[l->index / kWarp * kWarp + static_cast<unsigned>(std::countr_zero(m.arrived))];
        fault(other.at, std::string(m.kind) + ": thread " + text(other.thread) + " waits here for lane " +
                            std::to_string(l->index % kWarp) + ", which has returned");
      }
    if (!b.at_barrier.empty() && static_cast<int>(b.at_barrier.size()) == b.live) open_barrier();
  }
  void open_barrier() {
    Block& b = block;
    if (b.exits) early.fetch_add(1, std::memory_order_relaxed);
    b.barrier_result = b.barrier_sum;
    b.barrier_sum = 0;
    check_guards("at the latest by the barrier at ", b.at_barrier.front()->at);
    release_sorted(b.at_barrier);
  }

  // ---- switching ----
  // Suspends what runs and continues `to`, which comes back here by another jump.
  void jump(Context& to) {
    Context& from = *running;
    last = &from;
    running = &to;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.low, to.size);
#elif defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.tsan, 0);
#endif
    const ctx::transfer_t t = ctx::jump_fcontext(to.at, this);
    last->at = t.fctx;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
  }
  static void fiber_main(ctx::transfer_t t) {
    Machine& m = *static_cast<Machine*>(t.data);
    m.last->at = t.fctx;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &m.last->low,
                                    &m.last->size);  // tells the bounds of the scheduler's stack, where we come from first
#endif
    Fiber& f = static_cast<Fiber&>(*m.running);
    for (;;) {
      try {
        m.lane_main(f.lane);
      } catch (const Unwind&) {
      } catch (...) { m.fail(); }
      f.lane = nullptr;
      m.idle.push_back(&f);
      Context& to = m.next();  // a lane that begins gets the fiber that was idle last, this one: a kernel that never waits needs one fiber
                               // and no switch
      if (&to != &f) m.jump(to);
    }
  }
  void fail() {
    if (!error) error = std::current_exception();
  }
  // Who runs next: the scheduler when the block has failed or no lane can run.
  Context& next() {
    if (error) return scheduler;
    try {
      if (!block.polling.empty() && (ready.empty() || ++turns % 64 == 0)) poll();
      if (ready.empty()) return scheduler;
      Lane* l = ready.pop();
      if (!l->fiber) {
        if (idle.empty()) make_fiber();
        l->fiber = idle.back();
        idle.pop_back();
        l->fiber->lane = l;
      }
      return *l->fiber;
    } catch (...) {
      fail();
      return scheduler;
    }
  }
  void make_fiber() {
    fibers.push_back(std::make_unique<Fiber>());
    Fiber& f = *fibers.back();
    f.low = f.stack.low();
    f.size = f.stack.size;
    // Stacks lie a multiple of 4 KiB apart; without the shift their hot ends would share a few sets of the cache.
    const std::size_t shift = fibers.size() % 32 * 128;
    f.at = ctx::make_fcontext(f.stack.low() + f.stack.size - shift, f.stack.size - shift, &Machine::fiber_main);
#if defined(__SANITIZE_THREAD__)
    f.tsan = __tsan_create_fiber(0);
#endif
    idle.push_back(&f);
  }
  // The running lane stops here until it is released.
  void wait(const char* what, const Where& at) {
    Lane* l = self;
    l->waits = what;
    l->at = at;
    Context& to = next();
    if (&to != running) jump(to);
    self = l;
    if (unwinding) throw Unwind{};
    l->waits = nullptr;
  }
  void poll() {
    Lane* const caller = self;
    std::vector<Lane*> now;
    std::erase_if(block.polling, [&](const Polling& p) {
      self = p.lane;
      if (!p.ready(p.what)) return false;
      now.push_back(p.lane);
      return true;
    });
    self = caller;
    release_sorted(now);
  }

  // ---- a block ----
  void run_block(const uint3& index, const Geometry& g, std::size_t dynamic_bytes, const std::function<void()>& f, LaneOrder wanted,
                 const Where& at) {
    Block& b = block;
    const std::size_t threads = std::size_t{g.block.x} * g.block.y * g.block.z;
    b.index = index;
    b.geometry = g;
    b.state.reset();
    b.live = static_cast<int>(threads);
    b.exits = false;
    b.barrier_sum = 0;
    b.at_barrier.clear();
    b.groups.clear();
    b.polling.clear();
    for (auto& n : b.named) n.waiting.clear();
    for (std::size_t w = 0; w * kWarp < threads; ++w) {
      b.warps[w].present = threads - w * kWarp >= kWarp ? ~0u : (1u << (threads - w * kWarp)) - 1;
      b.warps[w].exited = 0;
      b.warps[w].open.clear();
    }
    b.sites.clear();
    b.declared = b.dynamic_bytes = dynamic_bytes;
    poison(0, b.arena_end, false);
    b.arena_end = b.dynamic_begin + dynamic_bytes + kGuardBytes;
    poison(0, b.arena_end, false);
    std::memset(shared, 0xff, b.arena_end);
    poison(0, b.dynamic_begin, true);
    poison(b.dynamic_begin + dynamic_bytes, kGuardBytes, true);
    body = &f;
    error = nullptr;
    order = wanted;
    shuffle = 0x9e3779b97f4a7c15ull ^ (static_cast<std::uint64_t>(index.z) << 42) ^ (static_cast<std::uint64_t>(index.y) << 21) ^ index.x;
    turns = 0;
    ready.clear();
    b.lanes.assign(threads, Lane{});
    some.clear();
    uint3 t{0, 0, 0};
    for (std::size_t i = 0; i < threads; ++i) {
      Lane& l = b.lanes[i];
      l.thread = t;
      l.index = static_cast<unsigned>(i);
      l.block = &b;
      some.push_back(&l);
      if (++t.x < g.block.x) continue;
      t.x = 0;
      if (++t.y < g.block.y) continue;
      t.y = 0;
      ++t.z;
    }
    release(some, Side::back);

    Context& to = next();
    if (&to != &scheduler) jump(to);
    self = nullptr;
    try {
      if (error) std::rethrow_exception(error);
      if (b.live > 0)
        throw Error(Code::bug, "emu: kernel launched at " + text(at) + ", block " + text(b.index) + ": deadlock: " + who_waits());
      if (b.state) b.state->end();
      check_guards("kernel launched at ", at);
    } catch (...) {
      fail();
      unwind();
      std::rethrow_exception(std::exchange(error, nullptr));
    }
  }
  // Destructors of suspended lanes run; their fibers are idle again.
  void unwind() {
    unwinding = true;
    for (Lane& l : block.lanes)
      if (l.fiber && l.fiber->lane == &l) jump(*l.fiber);
    unwinding = false;
    self = nullptr;
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

  // Guard bytes: [1024 - 256, 1024) before dynamic memory, kGuardBytes after it and after each array. AddressSanitizer sees the access
  // itself.
  void check_guards(const char* when, const Where& at) {
    if (kAsan) return;
    const Block& b = block;
    check_guard(b.dynamic_begin - kGuardBytes, b.dynamic_begin, "dynamic shared memory", when, at);
    check_guard(b.dynamic_begin + b.dynamic_bytes, b.dynamic_begin + b.dynamic_bytes, "dynamic shared memory", when, at);
    for (const Site& s : b.sites)
      if (std::memcmp(shared + s.begin + s.bytes, kUntouched.data(), kGuardBytes) != 0)
        check_guard(s.begin + s.bytes, s.begin + s.bytes, "the shared array declared at " + text(s.at), when, at);
  }
  void check_guard(std::size_t begin, std::size_t edge, const std::string& of, const char* when, const Where& at) {
    if (std::memcmp(shared + begin, kUntouched.data(), kGuardBytes) == 0) return;
    std::size_t i = begin;
    while (shared[i] == std::byte{0xff}) ++i;
    const std::string where = i < edge ? std::to_string(edge - i) + " bytes before" : std::to_string(i - edge) + " bytes past the end";
    throw Error(Code::bug, "emu: block " + text(block.index) + ", " + when + text(at) + ": wrote outside of " + of + ", " + where);
  }
#if defined(__SANITIZE_ADDRESS__)
  void poison(std::size_t begin, std::size_t bytes, bool yes) {
    if (yes) ASAN_POISON_MEMORY_REGION(shared + begin, bytes);
    else ASAN_UNPOISON_MEMORY_REGION(shared + begin, bytes);
  }
#else
  void poison(std::size_t, std::size_t, bool) {}
#endif
};

Machine& machine() {
  thread_local Machine m;
  return m;
}

}  // namespace

void fault(const Where& at, const std::string& what) {
  std::string who;
  if (self) who = ", block " + text(self->block->index) + ", thread " + text(self->thread);
  throw Error(Code::bug, "emu: " + text(at) + who + ": " + what);
}

int sync_block(int predicate, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  if (!b.at_barrier.empty()) {
    const Lane* first = b.at_barrier.front();
    if (!same(first->at, at))
      fault(at, "divergent barrier: thread " + text(first->thread) + " waits in __syncthreads at " + text(first->at) + ", this one at " +
                    text(at));
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
  if (!n.waiting.empty() && n.lanes != lanes)
    fault(at, "barrier " + std::to_string(id) + " is met with " + std::to_string(lanes) + " and " + std::to_string(n.lanes) + " lanes");
  n.lanes = lanes;
  n.waiting.push_back(self);
  if (static_cast<int>(n.waiting.size()) == lanes) { m.release_sorted(n.waiting); }
  m.wait("bar.sync", at);
}

void meet_warp(const char* kind, std::uint32_t mask, void* arg, Combine combine, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  const std::size_t warp = self->index / kWarp, begin = warp * kWarp;
  Warp& w = b.warps[warp];
  const unsigned lane = self->index % kWarp;
  if (!(mask >> lane & 1)) fault(at, std::string(kind) + ": the mask does not name the calling lane " + std::to_string(lane));
  if (const std::uint32_t wrong = mask & ~(w.present & ~w.exited); wrong) {
    const int i = std::countr_zero(wrong);
    fault(at, std::string(kind) + ": the mask names lane " + std::to_string(i) +
                  (w.present >> i & 1 ? ", which has returned" : ", which the block does not have"));
  }
  Meeting* found = nullptr;
  for (Meeting& o : w.open) {
    if (!(o.mask & mask)) continue;
    if (o.mask != mask || std::strcmp(o.kind, kind) != 0) {
      const int other = std::countr_zero(o.arrived);
      fault(at, "lane " + std::to_string(lane) + " calls " + kind + " with another mask or operation than lane " + std::to_string(other) +
                    ", which waits in " + o.kind + " at " + text(b.lanes[begin + static_cast<unsigned>(other)].at));
    }
    found = &o;
  }
  if (!found) found = &w.open.emplace_back(Meeting{kind, mask});
  found->args[lane] = arg;
  found->arrived |= 1u << lane;
  if (found->arrived == mask) {
    combine(found->args, mask);
    if (found != &w.open.back()) *found = w.open.back();
    w.open.pop_back();
    if ((mask & (mask - 1)) == 0) return;
    m.release_warp(begin, mask);
  }
  m.wait(kind, at);
}

void meet_warp_group(const char* kind, void* arg, void (*combine)(void* const*), const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  const int group = static_cast<int>(self->index / 128);
  const std::size_t begin = static_cast<std::size_t>(group) * 128;
  if (begin + 128 > b.lanes.size())
    fault(at, std::string(kind) + ": the warp group is not whole: the block has " + std::to_string(b.lanes.size()) + " lanes");
  GroupMeeting* found = nullptr;
  for (GroupMeeting& o : b.groups)
    if (o.group == group) found = &o;
  if (found && std::strcmp(found->kind, kind) != 0)
    fault(at, std::string(kind) + " is called while other lanes of the warp group wait in " + found->kind);
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
    m.release(all, Side::back);
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
  Machine& m = machine();
  if (!m.block.dynamic_bytes) fault(at, "the kernel uses dynamic shared memory but was launched with 0 bytes of it");
  return m.shared + m.block.dynamic_begin;
}
std::size_t shared_dynamic_bytes() { return machine().block.dynamic_bytes; }

void* shared_site(const void* site, std::size_t bytes, const Where& at) {
  Machine& m = machine();
  Block& b = m.block;
  for (const Site& s : b.sites)
    if (s.key == site) return m.shared + s.begin;
  std::size_t fixed = bytes;
  for (const Site& s : b.sites) fixed += s.bytes;
  if (fixed > kStaticLimit)
    fault(at, "shared arrays of " + std::to_string(fixed) + " bytes: a block may declare " + std::to_string(kStaticLimit) +
                  "; use dynamic shared memory");
  if (b.declared + bytes > kSharedLimit)
    fault(at, "shared memory of " + std::to_string(b.declared + bytes) + " bytes: a block may have " + std::to_string(kSharedLimit));
  b.declared += bytes;
  const std::size_t begin = (b.arena_end + 127) / 128 * 128;
  if (begin + bytes + kGuardBytes > kArenaBytes) fault(at, "more shared arrays than the emulator has room for");
  m.poison(b.arena_end, begin - b.arena_end + bytes + kGuardBytes, false);
  std::memset(m.shared + b.arena_end, 0xff, begin - b.arena_end + bytes + kGuardBytes);
  m.poison(b.arena_end, begin - b.arena_end, true);
  m.poison(begin + bytes, kGuardBytes, true);
  b.sites.push_back({site, begin, bytes, at});
  b.arena_end = begin + bytes + kGuardBytes;
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
void each_shared(void (*f)(std::byte*, std::size_t, void*), void* what) {
  Machine& m = machine();
  if (m.block.dynamic_bytes) f(m.shared + m.block.dynamic_begin, m.block.dynamic_bytes, what);
  for (const Site& s : m.block.sites) f(m.shared + s.begin, s.bytes, what);
}
std::uint32_t shared_address(const void* p, const Where& at) {
  check_shared(p, 1, 1, "shared address", at);
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(p) - machine().shared);
}
void* shared_pointer(std::uint32_t address) { return machine().shared + address; }

namespace {
// "; launched at kernels/x.cu:30, grid 4x1x1, block 64x1x1, in softmax(axis=1) of f32[8,1024]", or empty when nobody has said what runs.
std::string context(const Geometry& g, const Where& at, const std::string& what) {
  return what.empty() ? "" : "; launched at " + text(at) + ", grid " + text(g.grid) + ", block " + text(g.block) + ", in " + what;
}
// `what` tells the operation; asked only after a failure, because the workers in which blocks fail do not know it.
template <class What>
void run_blocks(Queue& q, const Geometry& g, std::size_t dynamic_bytes, const std::function<void()>& body, const Where& at,
                const What& what) {
  const dim3& grid = g.grid;
  const std::int64_t blocks = std::int64_t{grid.x} * grid.y * grid.z;
  const LaneOrder order = q.lane_order();
  const auto one = [&](std::int64_t t) {
    if (order == LaneOrder::down) t = blocks - 1 - t;
    const auto u = static_cast<std::uint64_t>(t);
    const uint3 index{static_cast<unsigned>(u % grid.x), static_cast<unsigned>(u / grid.x % grid.y),
                      static_cast<unsigned>(u / grid.x / grid.y)};
    machine().run_block(index, g, dynamic_bytes, body, order, at);
  };
  try {
    if (blocks == 1) one(0);
    else q.pool().run(blocks, [&](std::int64_t t, int) { one(t); });
  } catch (const Error& e) { throw Error(e.code(), e.what() + context(g, at, what())); }
}
}  // namespace

void run_grid(Queue& q, dim3 grid, dim3 block, std::size_t dynamic_bytes, const std::function<void()>& body, const Where& at) {
  const Geometry g{grid, block};
  const auto refuse = [&](const std::string& what) {
    throw Error(Code::usage, "kernel launched at " + text(at) + ": " + what + context(g, at, running()));
  };
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) refuse("a block of " + text(block) + " threads: 1 to 1024, z at most 64");
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    refuse("a grid of " + text(grid) + " blocks: at least 1, at most 2147483647 x 65535 x 65535");
  if (dynamic_bytes > kSharedLimit)
    refuse("dynamic shared memory of " + std::to_string(dynamic_bytes) + " bytes: a block may have " + std::to_string(kSharedLimit));
  enqueue(
      q.stream(), [&] { run_blocks(q, g, dynamic_bytes, body, at, running); },
      [&]() -> std::function<void()> {
        return [&q, g, dynamic_bytes, body, at, what = running()] { run_blocks(q, g, dynamic_bytes, body, at, [&] { return what; }); };
      });
}

std::int64_t early_exits() { return early.load(std::memory_order_relaxed); }

}  // namespace graft::simt
