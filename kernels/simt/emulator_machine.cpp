#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/simt/emulator_machine-inl.h"

namespace graft::simt {

constinit thread_local Lane* self = nullptr;

namespace {
std::atomic<std::int64_t> early{0};
}  // namespace

Machine& machine() {
  thread_local Machine m;
  return m;
}
std::int64_t early_exits() { return early.load(std::memory_order_relaxed); }

std::uint64_t Machine::random() {
  shuffle_ = shuffle_ * 6364136223846793005ull + 1442695040888963407ull;
  return shuffle_ >> 33;
}
void Machine::release(std::span<Lane*> lanes, Side side) {
  if (order_ == LaneOrder::down) std::reverse(lanes.begin(), lanes.end());
  if (order_ == LaneOrder::seeded)
    for (std::size_t i = lanes.size(); i > 1; --i) std::swap(lanes[i - 1], lanes[random() % i]);
  for (Lane* l : lanes) l->waits = nullptr;
  if (side == Side::back)
    for (Lane* l : lanes) ready_.push_back(l);
  else
    for (std::size_t i = lanes.size(); i > 0; --i) ready_.push_front(lanes[i - 1]);
}
void Machine::release_sorted(std::vector<Lane*>& lanes) {
  std::sort(lanes.begin(), lanes.end(), [](const Lane* a, const Lane* b) { return a->index < b->index; });
  release(lanes, Side::back);
  lanes.clear();
}
// A warp that has met goes on before others begin: its stacks are in the cache, and it runs as far ahead of the others as it may, which
// shows missing barriers. Now and then, and at random when the order is, it goes to the back: a warp that loops until another has done
// something must not starve it.
void Machine::release_warp(std::size_t begin, std::uint32_t mask) {
  some_.clear();
  for (; mask; mask &= mask - 1) some_.push_back(&block.lanes[begin + static_cast<std::size_t>(std::countr_zero(mask))]);
  const bool back = ++turns_ % 64 == 0 || (order_ == LaneOrder::seeded && random() % 2);
  release(some_, back ? Side::back : Side::front);
}

void Machine::lane_main(Lane* l) {
  self = l;
  (*body_)();
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
      fault(other.at, std::string(m.kind) + ": thread " + text(other.thread) + " waits here for lane " + std::to_string(l->index % kWarp) +
                          ", which has returned");
    }
  if (!b.at_barrier.empty() && static_cast<int>(b.at_barrier.size()) == b.live) open_barrier();
}
void Machine::open_barrier() {
  Block& b = block;
  if (b.exits) early.fetch_add(1, std::memory_order_relaxed);
  b.barrier_result = b.barrier_sum;
  b.barrier_sum = 0;
  arena.check_guards(b.index, "at the latest by the barrier at ", b.at_barrier.front()->at);
  release_sorted(b.at_barrier);
}

// A lane that begins gets the fiber that was idle last, this one: a kernel that never waits needs one fiber and no switch.
void Machine::live(void* machine, Fiber& f) {
  Machine& m = *static_cast<Machine*>(machine);
  for (;;) {
    try {
      m.lane_main(f.lane);
    } catch (const Unwind&) {
    } catch (...) { m.fail(); }
    m.fibers_.put_back(f);
    Context& to = m.next();
    if (&to != &f) m.fibers_.jump(to);
  }
}
void Machine::fail() {
  if (!error_) error_ = std::current_exception();
}
// Who runs next: the thread itself when the block has failed or no lane can run.
Context& Machine::next() {
  if (error_) return fibers_.thread();
  try {
    if (!block.polling.empty() && (ready_.empty() || ++turns_ % 64 == 0)) poll();
    if (ready_.empty()) return fibers_.thread();
    Lane* l = ready_.pop();
    if (!l->fiber) l->fiber = fibers_.take(l);
    return *l->fiber;
  } catch (...) {
    fail();
    return fibers_.thread();
  }
}
void Machine::poll() {
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

void Machine::run_block(const uint3& index, const Geometry& g, std::size_t dynamic_bytes, const std::function<void()>& f, LaneOrder order,
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
  arena.begin(dynamic_bytes);
  body_ = &f;
  error_ = nullptr;
  order_ = order;
  shuffle_ = 0x9e3779b97f4a7c15ull ^ (static_cast<std::uint64_t>(index.z) << 42) ^ (static_cast<std::uint64_t>(index.y) << 21) ^ index.x;
  turns_ = 0;
  ready_.clear();
  b.lanes.assign(threads, Lane{});
  some_.clear();
  uint3 t{0, 0, 0};
  for (std::size_t i = 0; i < threads; ++i) {
    Lane& l = b.lanes[i];
    l.thread = t;
    l.index = static_cast<unsigned>(i);
    l.block = &b;
    some_.push_back(&l);
    if (++t.x < g.block.x) continue;
    t.x = 0;
    if (++t.y < g.block.y) continue;
    t.y = 0;
    ++t.z;
  }
  release(some_, Side::back);

  Context& to = next();
  if (&to != &fibers_.thread()) fibers_.jump(to);
  self = nullptr;
  try {
    if (error_) std::rethrow_exception(error_);
    if (b.live > 0)
      throw Error(Code::bug, "emu: kernel launched at " + text(at) + ", block " + text(b.index) + ": deadlock: " + who_waits());
    if (b.state) b.state->end();
    arena.check_guards(b.index, "kernel launched at ", at);
  } catch (...) {
    fail();
    unwind();
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}
// Destructors of suspended lanes run; their fibers are idle again.
void Machine::unwind() {
  unwinding_ = true;
  for (Lane& l : block.lanes)
    if (l.fiber && l.fiber->lane == &l) fibers_.jump(*l.fiber);
  unwinding_ = false;
  self = nullptr;
}

std::string Machine::who_waits() const {
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

}  // namespace graft::simt
