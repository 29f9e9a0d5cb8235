// One OS thread's emulator: the block that it runs, and which of the block's lanes goes on next. A lane runs until it waits, for a barrier,
// for its warp or for a condition; who comes next is decided in one place, Machine::next. Only for the emulator's own files.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/simt/emulator.h"
#include "kernels/simt/emulator_arena.h"
#include "kernels/simt/emulator_fiber.h"

namespace graft::simt {

inline constexpr std::size_t kMaxLanes = 1024;  // of a block

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

// Lanes that may run. Each is in it at most once.
class Ring {
 public:
  bool empty() const { return count_ == 0; }
  void clear() { count_ = 0; }
  void push_back(Lane* l) { slots_[(first_ + count_++) % kMaxLanes] = l; }
  void push_front(Lane* l) { first_ = (first_ + kMaxLanes - 1) % kMaxLanes, ++count_, slots_[first_] = l; }
  Lane* pop() {
    Lane* l = slots_[first_];
    first_ = (first_ + 1) % kMaxLanes, --count_;
    return l;
  }

 private:
  std::size_t first_ = 0, count_ = 0;
  Lane* slots_[kMaxLanes];
};

struct Block : Place {
  std::vector<Lane> lanes;
  Warp warps[kMaxLanes / kWarp];
  int live = 0;
  bool exits = false;
  // barrier
  std::vector<Lane*> at_barrier;
  int barrier_sum = 0, barrier_result = 0;
  std::vector<GroupMeeting> groups;
  Named named[16];
  std::vector<Polling> polling;
};

enum class Side { front, back };

class Machine {
 public:
  Machine() : fibers_(&Machine::live, this) {}
  Block block;
  Arena arena;

  // Every lane of the block runs `f` to its end; throws what the first that failed threw, or Error(bug) for a deadlock or a guard.
  void run_block(const uint3& index, const Geometry& g, std::size_t dynamic_bytes, const std::function<void()>& f, LaneOrder order,
                 const Where& at);

  // For what lanes call. The running lane stops here until it is released.
  void wait(const char* what, const Where& at);
  // Lanes may run, in the order that is asked for; they are given sorted by index.
  void release(std::span<Lane*> lanes, Side side);
  void release_sorted(std::vector<Lane*>& lanes);
  // The lanes of `mask`, counted from lane `begin` of the block.
  void release_warp(std::size_t begin, std::uint32_t mask);
  void open_barrier();

 private:
  static void live(void* machine, Fiber& f);
  void lane_main(Lane* l);
  Context& next();
  void poll();
  void fail();
  void unwind();
  std::uint64_t random();
  std::string who_waits() const;

  Fibers fibers_;
  Ring ready_;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool unwinding_ = false;
  LaneOrder order_ = LaneOrder::up;
  std::uint64_t shuffle_ = 0;
  unsigned turns_ = 0;
  std::vector<Lane*> some_;  // for release
};
Machine& machine();  // this thread's

}  // namespace graft::simt
