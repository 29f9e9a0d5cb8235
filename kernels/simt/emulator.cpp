#include "kernels/simt/emulator.h"

#include <bit>
#include <cstring>

#include "kernels/core/error.h"
#include "kernels/core/host_stream.h"
#include "kernels/core/scope.h"
#include "kernels/simt/emulator_machine-inl.h"

namespace graft::simt {

void fault(const Where& at, const std::string& what) {
  std::string who;
  if (self) who = ", block " + text(self->block->index) + ", thread " + text(self->thread);
  throw Error(Code::bug, "emu: " + text(at) + who + ": " + what);
}

namespace {
bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}
}  // namespace

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
  Arena& a = machine().arena;
  if (!a.dynamic_bytes()) fault(at, "the kernel uses dynamic shared memory but was launched with 0 bytes of it");
  return a.dynamic();
}
std::size_t shared_dynamic_bytes() { return machine().arena.dynamic_bytes(); }
void* shared_site(const void* site, std::size_t bytes, const Where& at) { return machine().arena.site(site, bytes, at); }
void check_shared(const void* p, std::size_t bytes, std::size_t align, const char* what, const Where& at) {
  machine().arena.check(p, bytes, align, what, at);
}
void each_shared(void (*f)(std::byte*, std::size_t, void*), void* what) {
  machine().arena.each([&](std::byte* p, std::size_t bytes) { f(p, bytes, what); });
}
std::uint32_t shared_address(const void* p, const Where& at) {
  check_shared(p, 1, 1, "shared address", at);
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(p) - machine().arena.base());
}
void* shared_pointer(std::uint32_t address) { return machine().arena.base() + address; }

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

}  // namespace graft::simt
