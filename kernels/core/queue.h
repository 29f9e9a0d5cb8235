// Where and in what order kernels run: a device, its stream, the host pool, and scratch memory that grows and is reused.
// Work on one queue is in order. On the CPU a call returns when the work is done.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/fault.h"
#include "kernels/core/thread_pool.h"

namespace graft {

enum class DeviceKind { cpu, emu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};
std::string name_of(Device d);  // "cpu", "emu", "cuda:0"

// In which order the emulator runs the threads of a block. A kernel whose result depends on it has a race or lacks a barrier.
enum class LaneOrder { up, down, seeded };

class Graph;  // kernels/core/graph.h

class Queue {
 public:
  explicit Queue(int threads, Device device = {});
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  Device device() const { return device_; }
  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  LaneOrder lane_order() const { return order_; }
  void set_lane_order(LaneOrder order) { order_ = order; }
  void* stream() const { return stream_; }         // of DeviceMemory::make_stream: a cudaStream_t on a GPU
  Graph* capturing() const { return capturing_; }  // what launches are recorded into instead of being run, or nullptr

  // At least `bytes` of 64-byte aligned scratch on the device, valid until the next call: what a variant asked for in its table row. A
  // graph keeps what was scratch while it was captured.
  std::byte* scratch(std::size_t bytes);
  std::size_t scratch_bytes() const { return capacity_; }
  void release_scratch();  // waits for what may use it; the next call allocates what it asks for and no more

  // Where the launch that comes next reports bad indices, in the name of the operation that runs now.
  FaultSink fault(FaultKind kind);
  // Call when the work so far has been waited for: throws Error(usage) with the first bad index that was reported since the last look; the
  // next look is clean.
  void look();
  void synchronize();  // waits for all work, then looks; Error(device) when a kernel has failed

 private:
  friend class Graph;
  struct Site {
    FaultKind kind;
    std::string op;
  };
  Device device_;
  ThreadPool pool_;
  LaneOrder order_ = LaneOrder::up;
  void* stream_ = nullptr;
  std::shared_ptr<std::byte> scratch_;
  std::size_t capacity_ = 0;
  FaultWord* fault_ = nullptr;
  std::vector<Site> sites_;
  std::uint32_t launches_ = 0;  // that may report, since the last look
  Graph* capturing_ = nullptr;
};

}  // namespace graft
